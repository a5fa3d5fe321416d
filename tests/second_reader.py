"""A second reader of .pxl files, written from docs/format.md alone, in plain Python.

It shares no code with pixlab and uses the standard library only: what it reads shows that the
document says enough. It reads files of the codecs ``lossless`` and ``scalar`` (`second_clusters` those
of clusters), of the Phase-1 detector, and is slow.
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

TYPES = {"U8": ("B", 1), "U16": ("H", 2), "I16": ("h", 2), "U32": ("I", 4)}


def clip(x, low, high):
    return min(max(x, low), high)


# -- container --------------------------------------------------------------------------------
class File:
    """The members of the archive, checked against each other."""

    def __init__(self, path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            self.header = json.loads(archive.read("header.json"))
            assert self.header["format"] == "pixlab"
            assert self.header["version"] == 1
            model = archive.read("model.safetensors")
            count = len(self.header["chunks"])
            self.chunks = [archive.read(f"chunks/{i:06d}.bin") for i in range(count)]
        size = struct.unpack_from("<Q", model)[0]
        table = json.loads(model[8 : 8 + size])
        about = json.loads(table.pop("__metadata__")["pixlab"])
        self.codec, self.detector = about["codec"], about["detector"]["name"]
        self.arrays = {}
        for name, entry in table.items():
            letter, width = TYPES[entry["dtype"]]
            begin, end = entry["data_offsets"]
            flat = struct.unpack(f"<{(end - begin) // width}{letter}", model[8 + size :][begin:end])
            self.arrays[name] = (entry["shape"], flat)

    def rows(self, name: str) -> list[tuple[int, ...]]:
        (n, width), flat = self.arrays[name]
        return [flat[i * width : (i + 1) * width] for i in range(n)]

    def vector(self, name: str) -> tuple[int, ...]:
        return self.arrays[name][1]


def sections_of(chunk: bytes) -> tuple[int, int, dict[str, bytes]]:
    assert struct.unpack("<I", chunk[-4:])[0] == zlib.crc32(chunk[:-4])
    magic, events, digis, count = struct.unpack_from("<4sIQH", chunk)
    assert magic == b"PXC1"
    at, found = 18 + 16 * count, {}
    for i in range(count):
        name, size = struct.unpack_from("<12sI", chunk, 18 + 16 * i)
        found[name.rstrip(b"\0").decode()] = chunk[at : at + size]
        at += size
    assert at + 4 == len(chunk)
    return events, digis, found


# -- words, frequencies, contexts -------------------------------------------------------------
class Words:
    """Symbols from a stream of words."""

    def __init__(self, data: bytes) -> None:
        words = list(struct.unpack(f"<{len(data) // 4}I", data)) or [0, 1 << 31] * 4
        self.states = [words[i] << 32 | words[i + 1] for i in (0, 2, 4, 6)]
        self.left = words[:7:-1]  # the next one last

    def _advance(self, size: int, low: int) -> None:
        a = self.states.pop(0)
        a = size * (a >> 16) + (a & 65535) - low
        if a < 1 << 31:
            a = a << 32 | self.left.pop()
        self.states.append(a)

    def symbol(self, frequencies: list[int]) -> int:
        slot, low, s = self.states[0] & 65535, 0, 0
        while low + frequencies[s] <= slot:
            low += frequencies[s]
            s += 1
        self._advance(frequencies[s], low)
        return s

    def bits(self, n: int) -> int:
        value = (self.states[0] & 65535) >> (16 - n)
        self._advance(1 << (16 - n), value << (16 - n))
        return value

    def one_of(self, n: int) -> int:
        q = 65536 // n
        value = min((self.states[0] & 65535) // q, n - 1)
        self._advance(65536 - value * q if value == n - 1 else q, value * q)
        return value

    def end(self) -> None:
        assert self.states == [1 << 31] * 4
        assert not self.left


def normalised(weights: list[int]) -> list[int]:
    whole = sum(weights)
    found = [max((w << 16) // whole, 1) for w in weights]
    found[found.index(max(found))] += 65536 - sum(found)
    return found


def stored(row: tuple[int, ...]) -> list[int]:
    eighths = (256, 279, 304, 332, 362, 395, 431, 470)
    step, weights = 0, []
    for byte in row:
        step = (step + byte) & 255
        assert step <= 128
        weights.append(eighths[step & 7] << (step >> 3))
    return normalised(weights)


class Symbols:
    """What a model says of the symbols NAME."""

    def __init__(self, file: File, name: str, n_symbols: int) -> None:
        self.nodes = file.rows(f"{name}.tree")
        self.frequencies = [stored(row) for row in file.rows(f"{name}.codes")]
        self.shift = max((n_symbols - 1).bit_length() - 8, 0)
        assert len(self.frequencies[0]) == ((n_symbols - 1) >> self.shift) + 1
        if self.shift:
            self.lower = [stored(row) for row in file.rows(f"{name}.lower")]

    def context(self, features: list[int]) -> int:
        at = context = 0
        while self.nodes[at][0] != 255:
            feature, most = self.nodes[at]
            at += 1
            if features[feature] > most:  # pass over a subtree
                open_nodes = 1
                while open_nodes:
                    leaf = self.nodes[at][0] == 255
                    context += leaf
                    open_nodes += -1 if leaf else 1
                    at += 1
        return context

    def read(self, words: Words, features: list[int]) -> int:
        symbol = words.symbol(self.frequencies[self.context(features)])
        if self.shift:
            symbol = symbol << self.shift | words.symbol(self.lower[symbol])
        return symbol


# -- layout -----------------------------------------------------------------------------------
class Module:
    """A Phase-1 module: 160 x 416 pixels; long ones at chip edges of 80 rows and 52 columns."""

    rows, cols = 160, 416

    def __init__(self, layer: int, slopes: tuple[int, ...]) -> None:
        self.layer, self.slopes = min(layer, 7), slopes
        middle = abs(slopes[0] + slopes[1]) // 2
        bits = middle.bit_length()
        below = middle >> (bits - 2) & 1 if bits > 1 else 0
        self.ring = 16 * self.layer + min(max(2 * (bits - 1), 0) + below, 15)

    def track(self, c: int) -> int:
        s0, s1 = self.slopes[:2]
        return s0 + (((s1 - s0) << 16) // self.cols * c >> 16)

    def slant(self, r: int) -> int:
        s2, s3 = self.slopes[2:4]
        return clip(s2 + (((s3 - s2) << 16) // self.rows * r >> 16) + 128, 0, 255)

    def long_col(self, c: int) -> int:
        return int(0 <= c < 416 and c % 52 in (0, 51))

    def long_row(self, r: int) -> int:
        return int(r in (79, 80))


def edge(long, i: int) -> int:
    return long(i) | long(i - 1) << 1 | long(i + 1) << 2


# -- positions --------------------------------------------------------------------------------
def class_of(x: int) -> int:
    bits = x.bit_length()
    return x if x < 8 else 4 * (bits - 2) + (x >> (bits - 3) & 3)


def lowest(c: int) -> int:
    return c if c < 4 else (4 + (c & 3)) << (c // 4 - 1)


def poisson(c: int) -> list[int]:
    m = lowest(c) + lowest(c + 1)
    weights = [0] * 256
    mode = min(m // 32, 255)
    weights[mode] = 1 << 40
    for k in range(mode + 1, 256):
        weights[k] = weights[k - 1] * m // (32 * k)
    for k in range(mode, 0, -1):
        weights[k - 1] = weights[k] * 32 * k // m
    return normalised(weights)


def read_positions(
    file: File, modules: list[Module], n_events: int, data: bytes, prefix: str = ""
) -> list[tuple[int, int, list[int]]]:
    """Event, module and roots of each frame."""
    totals = struct.unpack_from(f"<{n_events}I", data)
    words = Words(data[4 * n_events :])
    gaps = Symbols(file, f"{prefix}hits.gaps", 144)
    rates = file.vector(f"{prefix}hits.rates")
    tables = [poisson(c) for c in range(45)]
    frames = []
    for event, left in enumerate(totals):
        expected = sum(rates[m.ring] for m in modules)
        for number, module in enumerate(modules):
            if not left:
                break
            rate = rates[module.ring]
            if rate == expected:
                count = left
            else:
                count = words.symbol(tables[min(class_of(16 * left * rate // expected), 44)])
                if count == 255:
                    count = words.bits(16) << 16 | words.bits(16)
            expected -= rate
            left -= count
            assert left >= 0
            roots, at, pixels = [], 0, module.rows * module.cols
            for k in range(count, 0, -1):
                room = pixels - at
                c = gaps.read(words, [min(k, 255), min(class_of(room // k), 255)])
                first, following = (-(-lowest(x) * room // (k << 8)) for x in (c, c + 1))
                n = min(following, room - k + 1) - first
                d = max((n - 1).bit_length() - 8, 0)
                parts = ((n - 1) >> d) + 1
                p = words.one_of(parts) if parts > 1 else 0
                while d:
                    taken = min(d, 16)
                    p = p << taken | words.bits(taken)
                    d -= taken
                assert p < n
                roots.append(at + first + p)
                at = roots[-1] + 1
            if roots:
                frames.append((event, number, roots))
        assert left == 0
    words.end()
    return frames


# -- shapes -----------------------------------------------------------------------------------
class Run:
    """A run, and what is known of its cluster."""

    def __init__(self, begin: int, end: int, parent: Run | None) -> None:
        self.begin, self.end = begin, end
        self.depth = self.length_above = 0
        self.shifts, self.reach = (0, 0), (begin, end)
        if parent:
            self.depth = parent.depth + 1
            self.length_above = parent.end - parent.begin + 1
            self.shifts = (begin - parent.begin, end - parent.end)
            self.reach = (min(parent.reach[0], begin), max(parent.reach[1], end))


class Shapes:
    """Runs of frames, from one stream of words."""

    def __init__(self, file: File, data: bytes, prefix: str = "") -> None:
        self.words = Words(data)
        self.begun = Symbols(file, f"{prefix}hits.begun", 32)
        self.placed = Symbols(file, f"{prefix}hits.placed", 29)
        self.ended = Symbols(file, f"{prefix}hits.ended", 32)

    def _length(self, symbols: Symbols, features: list[int]) -> int:
        x = symbols.read(self.words, features)
        return self.words.bits(16) if x == 31 else x

    def _common(self, module: Module, b: int, y: int) -> list[int]:
        t = clip((module.track(b) >> 2) + 128, 0, 255)
        found = [module.layer, module.slopes[4], edge(module.long_row, y), module.slant(y)]
        return [*found, min(abs(t - 128), 127), t]

    def frame(self, module: Module, roots: list[int]) -> Iterator[tuple[int, int]]:
        """Hits by row, then column."""
        above: list[Run] = []
        y = -1
        while above or roots:
            y = y + 1 if above else roots[0] // module.cols
            if y == module.rows:
                break
            here = self._children(module, above, y)
            while roots and roots[0] // module.cols == y:
                begin = roots.pop(0) % module.cols
                features = [*self._common(module, begin, y), edge(module.long_col, begin)]
                here.append(Run(begin, begin + self._length(self.begun, features), None))
            here.sort(key=lambda run: run.begin)
            for run in here:
                yield from ((y, c) for c in range(run.begin, run.end + 1))
            above = here
        assert not roots

    def _children(self, module: Module, above: list[Run], y: int) -> list[Run]:
        found: list[Run] = []
        floor = 0
        for i, up in enumerate(above):
            b, e = up.begin, up.end
            columns = up.reach[1] - up.reach[0] + 1
            known = [
                *self._common(module, b, y),
                min(up.depth, 7),
                min(e - b + 1, 31),
                *(clip(shift, -12, 12) + 12 for shift in up.shifts),
                min(columns, 31),
                min(up.length_above, 15),
                min(b - up.reach[0], 15),
                min(up.reach[1] - e, 15),
                clip(abs(module.track(b) >> 2) - 4 * columns + 128, 0, 255),
            ]
            space = min(above[i + 1].begin - e, 15) if i + 1 < len(above) else 15
            ends = sum(module.long_col(c) << k for k, c in enumerate((b, b - 1, e, e + 1)))
            more = 0
            while floor <= min(e + 1, module.cols - 1):
                features = [*known, clip(b - floor + 2, 0, 15), space, ends, more]
                symbol = self.placed.read(self.words, features)
                if symbol == 0:
                    break
                if symbol == 28:
                    begin = self.words.bits(16)
                else:
                    begin = b + symbol - 13 if symbol <= 24 else e + symbol - 26
                shift = begin - b
                features = [*known, clip(shift + 32, 0, 63), clip(begin - e + 32, 0, 63)]
                x = self._length(self.ended, features)
                found.append(Run(begin, (b - 1 if shift < -1 else begin) + x, up))
                floor = found[-1].end + 2
                more = 1
        return found


# -- values -----------------------------------------------------------------------------------
class Values:
    """Values of frames, from one stream of words; those beyond the reach are put in later."""

    def __init__(self, file: File, name: str, top: int, data: bytes) -> None:
        self.reach = file.vector(f"{name}.reach")[0]
        self.symbols = Symbols(file, name, self.reach + 1)
        self.beyond = []
        if self.reach < top:
            n, size = struct.unpack_from("<II", data)
            numbers = read_counts(data[8 : 8 + size], 2 * n)
            at = -1
            for skipped, excess in zip(numbers[::2], numbers[1::2], strict=True):
                at += skipped + 1
                self.beyond.append((at, self.reach + 1 + excess))
            data = data[8 + size :]
        self.words = Words(data)

    def frame(self, module: Module, hits: list[tuple[int, int]]) -> list[int]:
        known = dict.fromkeys(hits, 0)
        return [self._one(module, r, c, known) for r, c in hits]

    def _one(self, module: Module, r: int, c: int, known: dict[tuple[int, int], int]) -> int:
        def hit(y: int, x: int) -> int:
            return int((y, x) in known)

        def value(y: int, x: int) -> int:
            return known.get((y, x), 0)

        def count(rows: int, cols: int) -> int:
            return sum(
                hit(r + y, c + x) for y in range(-rows, rows + 1) for x in range(-cols, cols + 1)
            )

        left = right = 0
        while left < 5 and hit(r, c - 1 - left):
            left += 1
        while right < 5 and hit(r, c + 1 + right):
            right += 1
        w, n = value(r, c - 1), value(r - 1, c)
        m = max(value(r - 1, c + x) for x in (-1, 0, 1))
        features = [
            module.layer, module.slopes[4], module.slant(r), min(abs(module.track(c)) >> 2, 255),
            hit(r - 1, c) + 2 * hit(r + 1, c),
            hit(r - 1, c - 1) + 2 * hit(r - 1, c + 1),
            hit(r + 1, c - 1) + 2 * hit(r + 1, c + 1),
            left, right, left + right,
            hit(r - 2, c) + 2 * hit(r + 2, c),
            module.long_col(c) + 2 * module.long_row(r),
            module.long_col(c - 1) + 2 * module.long_col(c + 1) + 4 * module.long_row(r - 1)
            + 8 * module.long_row(r + 1),
            count(1, 5), count(2, 2),
            sum(hit(r - 1, c + x) for x in range(-5, 6)),
            sum(hit(r + 1, c + x) for x in range(-5, 6)),
            w, m, max(w, m), (w + n) >> 1, n,
        ]  # fmt: skip
        found = self.symbols.read(self.words, features)
        known[r, c] = min(1 + (found >> self.symbols.shift), 255)
        return found


# -- counts -----------------------------------------------------------------------------------
class RangeReader:
    """The binary range coder."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.range = data, 0, (1 << 64) - 1
        self.low = self._take(8)

    def _take(self, n: int) -> int:
        part = self.data[self.at : self.at + n].ljust(n, b"\0")
        self.at += n
        return int.from_bytes(part, "big")

    def _renew(self) -> None:
        if self.range < 1 << 32:
            self.range <<= 32
            self.low = self.low << 32 | self._take(4)

    def raw(self, n: int) -> int:
        step = self.range >> n
        value = min(self.low // step, (1 << n) - 1)
        self.low -= step * value
        self.range = step
        self._renew()
        return value

    def adaptive(self, table: dict[int, tuple[int, int]], number: int) -> int:
        p, n = table.get(number, (1 << 21, 0))
        bound = (self.range >> 16) * clip((p << 10 | n) >> 16, 16, 65520)
        bit = int(self.low < bound)
        if bit:
            self.range = bound
        else:
            self.low -= bound
            self.range -= bound
        self._renew()
        p += ((4194303 if bit else 0) - p) * (655360 // (10 * n + 16)) >> 16
        table[number] = (p, min(n + 1, 255))
        return bit


def read_counts(data: bytes, n: int) -> list[int]:
    coder, table, found = RangeReader(data), {}, []
    for _ in range(n):
        node = 1
        for _ in range(5):
            node = 2 * node + coder.adaptive(table, node)
        length, m = node - 32, 1
        for _ in range(min(length, 3)):
            m = 2 * m + coder.adaptive(table, 32 + 8 * length + m)
        left = max(length - 3, 0)
        while left:
            taken = min(left, 16)
            left -= taken
            m = m << taken | coder.raw(taken)
        found.append(m - 1)
    return found


# -- all of it --------------------------------------------------------------------------------
def read(path: Path, detids: list[int], layers: list[int], adc_max: int) -> list[tuple[int, ...]]:
    """Digis of a file as (event, detid, row, col, adc), given the table of the detector."""
    file = File(path)
    assert file.detector == "phase1"
    modules = [Module(*each) for each in zip(layers, file.rows("slopes"), strict=True)]
    digis: list[tuple[int, ...]] = []
    first_event = 0
    for chunk, (n_events, n_digis) in zip(file.chunks, file.header["chunks"], strict=True):
        found_events, found_digis, sections = sections_of(chunk)
        assert (found_events, found_digis) == (n_events, n_digis)
        frames = read_positions(file, modules, n_events, sections["positions"])
        shapes = Shapes(file, sections["shapes"])
        if file.codec == "lossless":
            values = Values(file, "adc", adc_max, sections["adc"])
            levels = list(range(adc_max + 1))
        else:
            assert file.codec == "scalar"
            levels = list(file.vector("values"))
            values = Values(file, "levels", len(levels) - 1, sections["levels"])
        part = []
        for event, number, roots in frames:
            hits = list(shapes.frame(modules[number], roots))
            for (r, c), value in zip(hits, values.frame(modules[number], hits), strict=True):
                part.append([first_event + event, detids[number], r, c, value])
        shapes.words.end()
        values.words.end()
        for at, value in values.beyond:
            part[at][4] = value
        digis += [(*row[:4], levels[row[4]]) for row in part]
        assert len(part) == n_digis
        first_event += n_events
    return digis
