"""The second reader of .pxl files for clusters: codecs ``cluster-vq`` and ``residual-vq``.

Written from docs/format.md alone, like `second_reader`.
"""

from __future__ import annotations

import struct
from pathlib import Path

from tests.second_reader import (
    File,
    Module,
    Shapes,
    Symbols,
    Words,
    clip,
    read_counts,
    read_positions,
    sections_of,
    stored,
)

NEXT = ((0, 2), (5, 7), (1, 3), (6, 4), (2, 0), (4, 6), (3, 1), (7, 5))
M64 = (1 << 64) - 1
LIMIT = 40960


def log_of(n):
    n = min(n, 4096)
    o = n.bit_length() - 1
    return 4096 * o + ((n << 12) >> o) - 4096 if n else 0


def places(sizes):
    found, at = [], 0
    for size in sizes:
        found.append(128 * (2 * at + size - sizes[0]))
        at += size
    return found


ROWS = places([1 + (r in (79, 80)) for r in range(160)])
COLS = places([1 + (c % 52 in (0, 51)) for c in range(416)])


class Levels(Symbols):
    """Numbers by dependent quantisation."""

    def __init__(self, file, name, data):
        self.nodes = file.rows(f"{name}.tree")
        self.frequencies = [stored(row) for row in file.rows(f"{name}.codes")]
        self.centres = file.vector(f"{name}.centres")
        self.words, self.state, self.event = Words(data), 0, None

    def read_point(self, event, features):
        if event != self.event:
            self.event, self.state = event, 0
        c, q = self.context(features), self.state & 1
        frequencies = self.frequencies[2 * c + q]
        level = self.words.symbol(frequencies) - len(frequencies) // 2
        self.state = NEXT[self.state][level & 1]
        return self.centres[c] + 2 * level - q * ((level > 0) - (level < 0)), c


class Cluster:
    """Pixels of a cluster, or the box of one that is to be drawn."""

    def __init__(self, event, number, module, pixels, box=None):
        self.event, self.number, self.module, self.pixels = event, number, module, pixels
        if box:
            self.r0, self.c0, self.high, self.wide, self.tilt = box
            self.n = self.high * self.wide
            self.free = (self.high > 1) + 2 * (self.wide > 1)
            self.paintable = True
            return
        self.n = n = len(pixels)
        rows, cols = [r for r, _ in pixels], [c for _, c in pixels]
        self.r0, self.c0 = min(rows), min(cols)
        self.high, self.wide = max(rows) - self.r0 + 1, max(cols) - self.c0 + 1
        x, y = [r - rows[0] for r in rows], [c - cols[0] for c in cols]
        rr = n * sum(v * v for v in x) - sum(x) ** 2
        cc = n * sum(v * v for v in y) - sum(y) ** 2
        rc = n * sum(v * w for v, w in zip(x, y, strict=True)) - sum(x) * sum(y)
        self.tilt = int(rc < 0)
        if n > 255 or max(map(abs, x + y)) >= 80:
            self.free = 0
        elif rr == 0:
            self.free = 2 if cc > 0 else 0
        else:
            self.free = 3 if cc > 0 and rr * cc > rc * rc else 1
        self.paintable = self.free > 0 or n == 1
        self.rr, self.rc = rr, rc

    @property
    def region(self):
        return int(self.module.layer >= 4)

    @property
    def kind(self):
        return (
            ((2 * self.region + self.tilt) * 4 + min(self.high, 4) - 1) * 8 + min(self.wide, 8) - 1
        )

    def middle_of_pixels(self):
        n = len(self.pixels)
        return [
            (2 * sum(table[p[i]] for p in self.pixels) + n) // (2 * n)
            for i, table in enumerate((ROWS, COLS))
        ]

    def middle_of_box(self):
        rows = ROWS[self.r0] + ROWS[self.r0 + self.high - 1]
        return [rows // 2, (COLS[self.c0] + COLS[self.c0 + self.wide - 1]) // 2]

    def phase(self):
        mixed = 2654435761 * self.number + 2246822519 * self.r0 + 3266489917 * self.c0
        return ((mixed & M64) >> 15 & 15) - 8

    def features(self):
        m, s = self.module, self.module.slopes
        h, w, n = self.high - 1, self.wide - 1, self.n
        track = s[0] + (s[1] - s[0]) * (2 * self.c0 + w) // (2 * m.cols)
        slant = s[2] + (s[3] - s[2]) * (2 * self.r0 + h) // (2 * m.rows)

        def at_col(c):
            return sum(p[1] == c for p in self.pixels)

        def at_row(r):
            return sum(p[0] == r for p in self.pixels)

        c1, r1 = self.c0 + w, self.r0 + h
        doubled = m.long_col(self.c0) | m.long_col(c1) << 1
        doubled |= any(m.long_row(r) for r in range(self.r0, r1 + 1)) << 2
        doubled |= any(m.long_col(c) for c in range(self.c0 + 1, c1)) << 3
        found = [
            m.layer, abs(track) >> 2, (slant >> 1) + 128, h + 1, w + 1, n,
            at_col(self.c0), at_col(self.c0 + 1), at_col(c1),
            at_row(self.r0), at_row(self.r0 + 1), at_row(r1),
            doubled, n - 1 - max(h, w), 32 * self.rr // n**2,
            h + 1 - at_row(self.r0) - at_row(r1) + 128,
            4 * (at_col(self.c0) - at_col(c1)) + 128,
            16 * self.rc // self.rr + 128 if self.rr else 128,
        ]  # fmt: skip
        return [clip(v, 0, 255) for v in found]

    def box_features(self, wide=0, high=0, tilt=0):
        m, s, r, c = self.module, self.module.slopes, self.r0, self.c0
        track = s[0] + (s[1] - s[0]) * c // m.cols
        to_col = to_row = 0
        while to_col < 9 and c + to_col < m.cols and not m.long_col(c + to_col):
            to_col += 1
        while to_row < 9 and r + to_row < m.rows and not m.long_row(r + to_row):
            to_row += 1
        found = [
            m.layer, abs(track) >> 1, (track >> 2) + 128,
            ((s[2] + (s[3] - s[2]) * r // m.rows) >> 1) + 128,
            s[4], 256 * r // m.rows, 256 * c // m.cols, to_col, to_row,
            m.cols - 1 - c, m.rows - 1 - r, wide, high, tilt,
        ]  # fmt: skip
        return [clip(v, 0, 255) for v in found]


class Book:
    """Pictures by kind, and their barycentres."""

    def __init__(self, file):
        sizes = file.vector("codebook.sizes")
        self.shares, self.usage = file.rows("codebook.shares"), file.vector("codebook.usage")
        self.first = [sum(sizes[:k]) for k in range(len(sizes) + 1)]
        self.most = max(2, *sizes)
        self.centres = []
        for kind, size in enumerate(sizes):
            high, wide = kind // 8 % 4 + 1, kind % 8 + 1
            for shares in self.shares[self.first[kind] : self.first[kind] + size]:
                whole = sum(shares)
                rows = sum(w * 2 * (i // 8) for i, w in enumerate(shares))
                cols = sum(w * 2 * (i % 8) for i, w in enumerate(shares))
                up = 128 * rows // whole - 128 * (high - 1)
                self.centres.append((up, 128 * cols // whole - 128 * (wide - 1)))

    def offset(self, picture, c):
        if picture < 0:
            return [0, 0]
        up, along = self.centres[picture]
        return [up * max(c.high, 4) // 4, along * max(c.wide, 8) // 8]

    def nearest(self, c, offset, noise):
        y, x = offset
        y = y * 4 // c.high if c.high > 4 else y
        x = x * 8 // c.wide if c.wide > 8 else x
        begin, end = self.first[c.kind], self.first[c.kind + 1]
        scores = []
        for j in range(begin, end):
            dy, dx = self.centres[j][0] - y, self.centres[j][1] - x
            rarity = 16 - self.usage[j].bit_length()
            score = dy * dy + (dx * dx >> 1) + (rarity << 6)
            scores.append(score + ((noise * (2 * (j - begin) + 1) & 65535) >> 6))
        return begin + scores.index(min(scores)) if scores else -1


def read_charges(file, name, clusters, features, data):
    """The logarithm and the charge of each cluster."""
    levels, steps = Levels(file, name, data), file.rows("steps")
    at, shift = file.rows(f"{name}.at"), file.rows(f"{name}.shift")
    found = []
    for c, f in zip(clusters, features, strict=True):
        point, k = levels.read_point(c.event, [*f, 0, 0, 0, 0])
        step = steps[c.module.layer][0]
        log = (16 * point + c.phase()) * step // 16 + 24576 + log_of(c.n)
        x, a, s = clip(log, 0, 163840), at[k], shift[k]
        if x <= a[0]:
            x += s[0]
        elif x >= a[13]:
            x += s[13]
        else:
            j = max(i for i in range(13) if a[i] <= x)
            x += s[j] + (s[j + 1] - s[j]) * (x - a[j]) // (a[j + 1] - a[j])
        x = clip(x, 0, 163840)
        o, i, part = x >> 12, (x & 4095) >> 6, x & 63
        power = [round(65536 * 2 ** (k / 64)) for k in (i, i + 1)]
        value = (power[0] * (64 - part) + power[1] * part) >> 6
        found.append((log, min(((value << o) + 32768) >> 16, 1 << 24)))
    levels.words.end()
    return found


def read_shapes(file, prefix, clusters, features, logs, sections, coded):
    """The offset of each cluster, and the picture that is told (-1 for none)."""
    drawn, steps = bool(prefix), file.rows("steps")
    known = [
        [*f, clip((log >> 7) - 100, 0, 255), clip((log - log_of(c.n)) >> 7, 0, 255)]
        for c, f, log in zip(clusters, features, logs, strict=True)
    ]
    offsets = [[0, 0] for _ in clusters]
    if not coded:
        for axis, name in enumerate(("row", "col")):
            levels = Levels(file, prefix + name, sections[prefix + name])
            for c, f, offset in zip(clusters, known, offsets, strict=True):
                if axis:
                    up = offset[0]
                    tilt = 0 if drawn else f[17] - 128
                    said = [clip((up >> 2) + 128, 0, 255), clip((tilt * up >> 7) + 128, 0, 255)]
                else:
                    said = [0, 0]
                if c.free >> axis & 1:
                    point, _ = levels.read_point(c.event, [*f, *said])
                    offset[axis] = (point * steps[c.module.layer][axis + 1] + 8) // 16
            levels.words.end()
        return offsets, [-1] * len(clusters)
    book, name = Book(file), f"{prefix}code"
    symbols, words = Symbols(file, name, book.most), Words(sections[name])
    pictures = []
    for i, (c, f) in enumerate(zip(clusters, known, strict=True)):
        begin, end = book.first[c.kind], book.first[c.kind + 1]
        picture = begin if end > begin else -1
        if end - begin > 1:
            picture += symbols.read(words, [*f, 0, 0])
        pictures.append(picture)
        offsets[i] = book.offset(picture, c)
        if not drawn:
            box, pixels = c.middle_of_box(), c.middle_of_pixels()
            offsets[i] = [o + b - p for o, b, p in zip(offsets[i], box, pixels, strict=True)]
    words.end()
    told = [[*f, *(clip((o >> 2) + 128, 0, 255) for o in offset)]
            for f, offset in zip(known, offsets, strict=True)]  # fmt: skip
    stage = 1
    while any(f"{name}{stage}{axis}" in sections for axis in ("", "r")):
        for axis in ("", "r", "c"):
            part = f"{name}{stage}{axis}"
            if part not in sections:
                continue
            book_of = file.rows(f"{part}.book")
            symbols, words = Symbols(file, part, len(book_of)), Words(sections[part])
            for c, f, offset in zip(clusters, told, offsets, strict=True):
                if c.free:
                    v = book_of[symbols.read(words, f)]
                    for i in (0, 1):
                        if c.free >> i & 1:
                            offset[i] += v[i] * steps[c.module.layer][i + 1] // 4096
            words.end()
        stage += 1
    return offsets, pictures


def plane(free, up, along, rr, cc, rc):
    rr, cc = max(rr, 1), max(cc, 1)
    if free == 3:
        det = max(rr * cc - rc * rc, (rr * cc >> 12) + 1)
        return (up * cc - along * rc) * 65536 // det, (along * rr - up * rc) * 65536 // det
    return up * 65536 // rr if free == 1 else 0, along * 65536 // cc if free == 2 else 0


def roles(pixels):
    hit = set(pixels)
    around = ((0, -1), (0, 1), (-1, 0), (1, 0))
    return [sum(((r + y, c + x) in hit) << i for i, (y, x) in enumerate(around)) for r, c in pixels]


def share(weight, charge, least, most):
    weight, n = list(weight), len(weight)
    left, found = clip(charge, sum(least), sum(most)), [0] * n
    ratio, whole = 0, sum(weight)
    while whole > 0:
        ratio = (left << 38) // whole
        part = [w * ratio >> 38 for w in weight]
        over = sum(max(p - m, 0) for p, m, w in zip(part, most, weight, strict=True) if w)
        under = sum(max(m - p, 0) for p, m, w in zip(part, least, weight, strict=True) if w)
        if not over and not under:
            break
        for k in range(n):
            beyond = part[k] > most[k] if over >= under else part[k] < least[k]
            if weight[k] and beyond:
                found[k] = most[k] if over >= under else least[k]
                left -= found[k]
                whole -= weight[k]
                weight[k] = 0
    reached = done = 0
    for k in range(n):
        if weight[k]:
            reached += weight[k]
            upto = left if reached == whole else reached * ratio >> 38
            found[k] = clip(upto - done, least[k], most[k])
            done = upto
    return found


def paint(file, c, free, charge, target, base, least, most):
    """Counts of the pixels of a cluster."""
    if len(c.pixels) == 1:
        return [clip(charge, least[0], most[0])]
    if len(c.pixels) == 2:
        axis, table = (0, ROWS) if free == 1 else (1, COLS)
        length = table[c.pixels[1][axis]] - table[c.pixels[0][axis]]
        t = clip(target[axis], -LIMIT, LIMIT)
        total = clip(charge, sum(least), sum(most))
        part = (total * (2 * t + length) + length) // (2 * length)
        part = clip(part, least[1], most[1])
        part = max(min(part, total - least[0]), total - most[0])
        return [total - part, part]
    table = file.rows("texture.noise")
    noise = []
    for (row, col), role in zip(c.pixels, roles(c.pixels), strict=True):
        h = 3266489917 * c.number + 668265263 * charge + 2654435761 * row + 2246822519 * col & M64
        h ^= h >> 15
        h = h * 2246822519 & M64
        h ^= h >> 13
        noise.append(table[role][h >> 7 & 63])
    middle = c.middle_of_pixels()
    x = [ROWS[r] - middle[0] for r, _ in c.pixels]
    y = [COLS[col] - middle[1] for _, col in c.pixels]
    near, fewest, kept = 1 + 256 // max(charge, 1), None, None
    for calm in range(3):
        loud = [(v, (v + 64) >> 1, 64)[calm] for v in noise]
        own = [max(b * v >> 6, 1) for b, v in zip(base, loud, strict=True)]
        heavy = sum(own)
        mx = sum(o * v for o, v in zip(own, x, strict=True)) // heavy
        my = sum(o * v for o, v in zip(own, y, strict=True)) // heavy
        dx, dy = [v - mx for v in x], [v - my for v in y]
        rr = sum(o * a * a for o, a in zip(own, dx, strict=True)) // heavy
        cc = sum(o * b * b for o, b in zip(own, dy, strict=True)) // heavy
        rc = sum(o * a * b for o, a, b in zip(own, dx, dy, strict=True)) // heavy
        wish = [clip(target[0] - mx, -LIMIT, LIMIT), clip(target[1] - my, -LIMIT, LIMIT)]
        for _ in range(4):
            a, b = plane(free, *wish, rr, cc, rc)
            weight = [
                clip(65536 + a * u + b * v, 3276, 1048576) * o
                for o, u, v in zip(own, dx, dy, strict=True)
            ]
            parts = share(weight, charge, least, most)
            total, off = sum(parts), [0, 0]
            for i, along in enumerate((x, y)):
                if total and free >> i & 1:
                    got = sum(p * v for p, v in zip(parts, along, strict=True))
                    off[i] = target[i] - (2 * got + total) // (2 * total)
            largest = max(abs(off[0]), abs(off[1]))
            better = fewest is None or largest < fewest
            if better:
                fewest, kept = largest, parts
            if largest <= near or not better:
                break
            wish = [clip(w + o, -LIMIT, LIMIT) for w, o in zip(wish, off, strict=True)]
        if fewest <= 2 * near:
            break
    return kept


def groups(pixels):
    """Connected groups in the order of their first pixel."""
    left, found = dict.fromkeys(pixels), []
    while left:
        group, stack = [], [next(iter(left))]
        left.pop(stack[0])
        while stack:
            r, c = stack.pop()
            group.append((r, c))
            for to in ((r + y, c + x) for y in (-1, 0, 1) for x in (-1, 0, 1)):
                if to in left:
                    left.pop(to)
                    stack.append(to)
        found.append(sorted(group))
    return found


def pixel_features(c, charge, offset):
    n = len(c.pixels)
    x = [ROWS[r] - ROWS[c.pixels[0][0]] for r, _ in c.pixels]
    y = [COLS[col] - COLS[c.pixels[0][1]] for _, col in c.pixels]
    mx, my = sum(x) // n, sum(y) // n
    rr, cc = sum(v * v for v in x) // n - mx * mx, sum(v * v for v in y) // n - my * my
    rc = sum(v * w for v, w in zip(x, y, strict=True)) // n - mx * my
    offset = [clip(v, -LIMIT, LIMIT) for v in offset]
    a, b = plane(c.free, *offset, rr, cc, rc)
    r1, c1 = c.r0 + c.high - 1, c.c0 + c.wide - 1
    for (r, col), u, v, role in zip(c.pixels, x, y, roles(c.pixels), strict=True):
        tilted = clip(65536 + a * (u - mx) + b * (v - my), 0, 1 << 20)
        sides = (r == c.r0) + 2 * (r == r1) + 4 * (col == c.c0) + 8 * (col == c1)
        found = [charge // n * tilted >> 16, tilted >> 10, n, role, sides, c.high, c.wide]
        yield [clip(v, 0, 255) for v in (*found, c.module.layer)]


def read_kept(file, modules, n_events, sections, coded):
    """Digis as (event, module, row, col, adc)."""
    shapes, clusters = Shapes(file, sections["shapes"]), []
    for event, number, roots in read_positions(file, modules, n_events, sections["positions"]):
        hits = list(shapes.frame(modules[number], roots))
        clusters += [Cluster(event, number, modules[number], group) for group in groups(hits)]
    shapes.words.end()
    features = [c.features() for c in clusters]
    told = read_charges(file, "gain", clusters, features, sections["gain"])
    logs = [log for log, _ in told]
    offsets, _ = read_shapes(file, "", clusters, features, logs, sections, coded)
    n = read_counts(sections["explicit"], 1)[0]
    which, at = set(), 0
    for gap in read_counts(sections["explicit"], 1 + n)[1:]:
        at += gap
        which.add(at)
    in_order = sorted(
        (c.event, c.number, *pixel, i, k)
        for i, c in enumerate(clusters)
        for k, pixel in enumerate(c.pixels)
    )
    n_as_is = sum(row[4] in which for row in in_order)
    counts = iter(read_counts(sections["explicit"], 1 + n + n_as_is)[1 + n :])
    known = [
        None if i in which else list(pixel_features(c, charge, offset))
        for i, (c, (_, charge), offset) in enumerate(zip(clusters, told, offsets, strict=True))
    ]
    symbols, words = Symbols(file, "faint", 2), Words(sections["faint"])
    faint = [[False] * c.n for c in clusters]
    adc = [[0] * c.n for c in clusters]
    for *_, i, k in in_order:
        if i in which:
            adc[i][k] = next(counts)
        else:
            faint[i][k] = bool(symbols.read(words, known[i][k]))
    words.end()
    floor, pale, top = file.vector("limits")
    for i, c in enumerate(clusters):
        assert c.paintable or i in which
        if i not in which:
            base = [file.vector("texture.base")[role] for role in roles(c.pixels)]
            least = [floor if f else pale for f in faint[i]]
            most = [max(pale - 1, 0) if f else top for f in faint[i]]
            adc[i] = paint(file, c, c.free, told[i][1], offsets[i], base, least, most)
    return [(*row, adc[i][k]) for *row, i, k in in_order]


def read_drawn(file, modules, n_events, sections, coded):
    """Digis as (event, module, row, col, adc)."""
    positions = read_positions(file, modules, n_events, sections["drawn.at"], "drawn.")
    runs, corners = Shapes(file, sections["drawn.runs"], "drawn."), []
    for event, number, roots in positions:
        corners += [(event, number, *hit) for hit in runs.frame(modules[number], roots)]
    runs.words.end()
    boxes = [Cluster(e, m, modules[m], [], (r, c, 1, 1, 0)) for e, m, r, c in corners]
    sides = [[0, 0, 0] for _ in boxes]
    for i, name in enumerate(("wide", "high", "tilt")):
        symbols = Symbols(file, f"drawn.{name}", 2 if i == 2 else 80)
        words = Words(sections[f"drawn.{name}"])
        for box, side in zip(boxes, sides, strict=True):
            if i < 2:
                side[i] = 1 + symbols.read(words, [*box.box_features(*side), 0, 0, 0, 0])
            elif side[0] > 1 and side[1] > 1:
                side[2] = symbols.read(words, [*box.box_features(*side), 0, 0, 0, 0])
        words.end()
    boxes = [
        Cluster(e, m, modules[m], [], (r, c, high, wide, tilt))
        for (e, m, r, c), (wide, high, tilt) in zip(corners, sides, strict=True)
    ]
    features = [b.box_features(*side) for b, side in zip(boxes, sides, strict=True)]
    told = read_charges(file, "drawn.gain", boxes, features, sections["drawn.gain"])
    logs = [log for log, _ in told]
    offsets, pictures = read_shapes(file, "drawn.", boxes, features, logs, sections, coded)
    book, (_, pale, top), found = Book(file), file.vector("limits"), []
    for box, (_, charge), offset, picture in zip(boxes, told, offsets, pictures, strict=True):
        noise = 40503 * box.r0 + 30011 * box.c0 + 9973 * box.number + 7919 * charge & 65535
        which = picture if picture >= 0 else book.nearest(box, offset, noise)
        base, pixels = [], []
        for r in range(box.high):
            for c in range(box.wide):
                y = r * 4 // box.high if box.high > 4 else r
                x = c * 8 // box.wide if box.wide > 8 else c
                weight = book.shares[which][8 * y + x] if which >= 0 else 255
                if weight:
                    base.append(weight)
                    pixels.append((box.r0 + r, box.c0 + c))
        drawn = Cluster(box.event, box.number, box.module, pixels)
        target = [
            o + b - m
            for o, b, m in zip(offset, box.middle_of_box(), drawn.middle_of_pixels(), strict=True)
        ]
        limits = [pale] * len(pixels), [top] * len(pixels)
        counts = paint(file, drawn, drawn.free, charge, target, base, *limits)
        for pixel, count in zip(pixels, counts, strict=True):
            found.append((box.event, box.number, *pixel, count))
    return found


def read(path: Path, detids: list[int], layers: list[int]) -> list[tuple[int, ...]]:
    """Digis of a file as (event, detid, row, col, adc), given the table of the detector."""
    file = File(path)
    assert file.codec in ("cluster-vq", "residual-vq")
    modules = [Module(*each) for each in zip(layers, file.rows("slopes"), strict=True)]
    digis: list[tuple[int, ...]] = []
    first_event = 0
    for chunk in file.chunks:
        n_events, n_digis, sections = sections_of(chunk)
        part = read_kept(file, modules, n_events, sections, "code" in sections)
        if "counts" in sections:
            n_kept, _ = struct.unpack("<II", sections["counts"])
            assert len(part) == n_kept
            part += read_drawn(file, modules, n_events, sections, "drawn.code" in sections)
        else:
            assert len(part) == n_digis
        digis += [(first_event + e, detids[m], *rest) for e, m, *rest in sorted(part)]
        first_event += n_events
    return digis
