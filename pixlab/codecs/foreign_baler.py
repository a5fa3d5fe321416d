"""Baler behind the contract of a codec: an autoencoder trained on the data (baler-collaboration.github.io).

F. Bengtsson et al., "Baler: Machine learning based compression of scientific data", EPJ Web Conf.
295 (2024) 09023. Baler 1.4 is not on the package index; what the index has under this name is
something else. It is run as its authors mean it to be, ``python -m baler --mode train`` and so on in a
folder with a ``workspaces`` directory, which takes seconds a call and minutes to train.

Baler knows dense arrays of numbers. Of what digis can be turned into, tiles suit it best: the tiles
of the hit map in which anything is hit, as pictures, through its dense autoencoder; where the tiles
are is kept exactly, with Zstandard. Decoded pixels above half the smallest count become digis.
(A list of rows, columns and counts takes as many bits, and moves every hit.) Its network computes in
floating point: another machine may decode other digis.
"""

from __future__ import annotations

import math
import os
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import replace
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import ClassVar

import numpy as np
import param

from pixlab.codecs.base import Chunk
from pixlab.codecs.foreign import Array, ForeignModel, Zstd
from pixlab.codecs.foreign_process import add_usage
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.progress import Progress, tell

__all__ = ["Baler", "BalerModel"]

_PROJECT = ("pixlab", "tiles")
_CONFIG = """
def set_config(c):
    c.input_path = "workspaces/pixlab/data/tiles.npz"
    c.data_dimension, c.model_name, c.model_type = 2, "CFD_dense_AE", "dense"
    c.compression_ratio, c.epochs = {ratio!r}, {epochs!r}
    c.lr, c.batch_size, c.test_size = 0.001, 512, 0
    c.apply_normalization, c.custom_norm, c.convert_to_blocks = False, False, False
    c.early_stopping, c.early_stopping_patience, c.min_delta = False, 100, 0
    c.lr_scheduler, c.lr_scheduler_patience = False, 50
    c.reg_param, c.RHO, c.l1 = 0.001, 0.05, True
    c.mse_avg, c.mse_sum, c.emd = False, True, False
    c.activation_extraction, c.deterministic_algorithm = False, True
    c.intermittent_model_saving, c.intermittent_saving_patience = False, 100
    c.separate_model_saving, c.extra_compression = False, True
    c.save_error_bounded_deltas, c.error_bounded_requirement = False, 10
"""
_POLL = 0.2  # seconds between two looks at a program that runs


class Baler(Zstd):
    """An autoencoder over tiles of the hit map, trained and run by Baler."""

    key: ClassVar[str] = "baler"
    package: ClassVar[str] = "baler"
    quick: ClassVar[bool] = False
    searched: ClassVar[tuple[str, ...]] = ("compression_ratio",)

    compression_ratio = param.Number(
        default=8.0, bounds=(1.0, 256.0), doc="pixels of a tile for each number that is kept"
    )
    epochs = param.Integer(default=20, bounds=(1, 10_000), doc="passes over the training tiles")
    tile_rows = param.Integer(default=8, bounds=(1, 64), doc="rows of a tile")
    tile_cols = param.Integer(default=8, bounds=(1, 64), doc="columns of a tile")

    @classmethod
    def installed(cls) -> bool:
        """Whether Baler is there, and not the other package of that name."""
        spec = find_spec(cls.package)
        places = spec.submodule_search_locations if spec is not None else None
        return any((Path(p) / "modules" / "helper.py").is_file() for p in places or ())

    @classmethod
    def require(cls) -> None:
        """Refuse to go on without Baler.

        Raises
        ------
        PixlabError
            Saying where it is.
        """
        if not cls.installed():
            raise PixlabError(
                "codec 'baler' needs Baler 1.4, which is not installed",
                "docs/vqvae.md says how; it is not on the package index",
            )

    def fit(self, digis: Digis, *, progress: Progress | None = None) -> BalerModel:
        """Train the autoencoder.

        Raises
        ------
        PixlabError
            If there is no digi to learn from, or Baler fails.
        """
        self.require()
        if digis.n_digis == 0:
            raise PixlabError("there is no digi to learn from", "fit on other events")
        shape = (self.tile_rows, self.tile_cols)
        scale = float(np.quantile(digis.adc, 0.99)) + 1.0
        _, tiles = _to_tiles(digis, shape, scale)
        with _Workspace(self, tiles) as work:
            work.run("train", progress)
            network = work.network()
        arrays = {f"network.{i:02d}.{name}": a for i, (name, a) in enumerate(network.items())}
        smallest = (float(digis.adc.min()) + 1.0) / scale
        arrays |= {"scale": np.array([scale]), "cut": np.array([smallest / 2])}
        return BalerModel(self, digis.detector, arrays)


class BalerModel(ForeignModel):
    """The trained network."""

    codec: Baler
    needs: ClassVar[tuple[str, ...]] = ("scale", "cut")

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.needs:
            array = self.arrays[name]
            if array.shape != (1,) or array.dtype != np.float64 or not array[0] > 0:
                raise FormatError(f"array '{name}' of the model is damaged")

    @property
    def _shape(self) -> tuple[int, int]:
        return self.codec.tile_rows, self.codec.tile_cols

    @property
    def _numbers(self) -> int:
        """Numbers that are kept of a tile, as Baler computes it."""
        return math.ceil(self._shape[0] * self._shape[1] / self.codec.compression_ratio)

    def quantize(self, digis: Digis) -> Digis:
        """The digis after Baler."""
        self.check(digis)
        self.codec.require()
        columns, tiles = _to_tiles(digis, self._shape, float(self.arrays["scale"][0]))
        wide = {name: column.astype(np.int64) for name, column in columns.items()}
        found = self._from_tiles(len(digis), wide, self._unpacked(self._packed(tiles), len(tiles)))
        return replace(found, event_id=digis.event_id)

    def _encode(self, digis: Digis) -> dict[str, bytes]:
        self.codec.require()
        columns, tiles = _to_tiles(digis, self._shape, float(self.arrays["scale"][0]))
        count = np.array([len(tiles)], "<u4").tobytes()
        sections = {name: self.codec.pack(column) for name, column in columns.items()}
        return {"tiles": count, **sections, "baler": self._packed(tiles)}

    def _decode(self, chunk: Chunk) -> Digis:
        self.codec.require()
        if len(chunk.sections["tiles"]) != 4:
            raise FormatError("the number of tiles is damaged")
        n = int.from_bytes(chunk.sections["tiles"], "little")
        if n > chunk.n_digis:
            raise FormatError("there are more tiles than digis")
        names = ("events", "modules", "lengths", "positions")
        columns = dict(zip(names, self._read_positions(chunk, n), strict=True))
        if columns["modules"].max(initial=0) >= max(len(self.detector), 1):
            raise FormatError("the table of modules is damaged")
        return self._from_tiles(chunk.n_events, columns, self._unpacked(chunk.sections["baler"], n))

    def _packed(self, tiles: Array) -> bytes:
        """Baler's compressed file, nothing for no tile."""
        if not len(tiles):
            return b""
        with _Workspace(self.codec, tiles) as work:
            work.put_network(self._network())
            work.run("compress")
            return work.compressed.read_bytes()

    def _unpacked(self, data: bytes, n: int) -> Array:
        """The tiles of Baler's compressed file."""
        blank = np.zeros((n, *self._shape), np.float32)
        if not n:
            return blank
        kept = _checked(data, (n, self._numbers))
        with _Workspace(self.codec, blank) as work:  # of which Baler takes the shape
            work.put_network(self._network())
            np.savez(work.compressed, data=kept, names=np.array([]), normalization_features=[])
            work.run("decompress")
            return work.decompressed(blank.shape)

    def _network(self) -> dict[str, Array]:
        names = sorted(name for name in self.arrays if name.startswith("network."))
        return {name.split(".", 2)[2]: self.arrays[name] for name in names}

    def _from_tiles(self, n_events: int, where: dict[str, Array], tiles: Array) -> Digis:
        """Pixels above the cut as digis; the columns of `where` as of `_to_tiles`, int64."""
        detector, (tile_rows, tile_cols) = self.detector, self._shape
        modules, lengths, steps = where["modules"], where["lengths"], where["positions"]
        first = np.cumsum(lengths) - lengths
        total = np.cumsum(steps)
        place = total - np.repeat(total[first] - steps[first], lengths)
        high = np.repeat(-(-detector.rows[modules].astype(np.int64) // tile_rows), lengths)
        event = np.repeat(np.repeat(np.arange(n_events), where["events"]), lengths)
        module = np.repeat(modules, lengths)
        at, row, col = np.nonzero(tiles >= self.arrays["cut"][0])
        adc = np.rint(tiles[at, row, col].astype(float) * self.arrays["scale"][0]) - 1
        row, col = row + place[at] % high[at] * tile_rows, col + place[at] // high[at] * tile_cols
        module, event = module[at], event[at]
        inside = (row < detector.rows[module]) & (col < detector.cols[module])
        adc = np.clip(adc, 0, detector.adc_max).astype(np.int64)
        columns = (c[inside] for c in (event, detector.detid[module], row, col, adc))
        try:
            return Digis.from_arrays(*columns, detector=detector, n_events=n_events)
        except PixlabError as error:
            raise FormatError(error.cause) from error


def _to_tiles(digis: Digis, shape: tuple[int, int], scale: float) -> tuple[dict[str, Array], Array]:
    """Where tiles with hits are, as `in_columns` has it of digis, and their pixels.

    A pixel that is hit is (count + 1) / `scale`, one that is not 0.
    """
    detector, frames = digis.detector, digis.frames
    n_frames = len(frames.module)
    frame = np.repeat(np.arange(n_frames), np.diff(frames.offsets))
    high = -(-detector.rows[frames.module].astype(np.int64) // shape[0])
    row, col = digis.row.astype(np.int64), digis.col.astype(np.int64)
    place = col // shape[1] * high[frame] + row // shape[0]
    room = int(place.max(initial=0)) + 1
    found, of_digi = np.unique(frame * room + place, return_inverse=True)
    tiles = np.zeros((len(found), *shape), np.float32)
    tiles[of_digi, row % shape[0], col % shape[1]] = (digis.adc + 1.0) / scale
    lengths = np.bincount(found // room, minlength=n_frames)
    first = np.cumsum(lengths) - lengths
    places = found % room
    steps = np.diff(places, prepend=0)
    steps[first] = places[first]
    columns: dict[str, Array] = {
        "events": np.bincount(frames.event, minlength=len(digis)),
        "modules": frames.module,
        "lengths": lengths,
        "positions": steps,
    }
    return {name: column.astype(np.uint32) for name, column in columns.items()}, tiles


def _checked(data: bytes, shape: tuple[int, int]) -> Array:
    """The numbers in Baler's compressed file, if it is one and has that many.

    Raises
    ------
    FormatError
        If it is damaged.
    """
    size = 4 * shape[0] * shape[1]
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            if archive.getinfo("data.npy").file_size > size + 1024:
                raise ValueError("it claims more numbers than there are tiles")
        with np.load(BytesIO(data), allow_pickle=False) as file:
            found = file["data"]
        if found.shape != shape or found.dtype != np.float32:
            raise ValueError(f"it holds an array of shape {found.shape}")
        return found
    except (zipfile.BadZipFile, ValueError, KeyError, OSError, EOFError, NotImplementedError) as e:
        raise FormatError(f"Baler's file is damaged: {e}") from e


class _Workspace:
    """A folder as Baler wants it, with tiles as its input."""

    def __init__(self, codec: Baler, tiles: Array) -> None:
        self._temporary = tempfile.TemporaryDirectory()
        self._root = Path(self._temporary.name)
        workspace = self._root / "workspaces" / _PROJECT[0]
        project = workspace / _PROJECT[1]
        self._out = project / "output"
        for folder in ("compressed_output", "decompressed_output", "training"):
            (self._out / folder).mkdir(parents=True)
        (workspace / "data").mkdir()
        np.savez(workspace / "data" / "tiles.npz", data=tiles, names=np.array([]))
        (project / "config").mkdir()
        config = _CONFIG.format(ratio=codec.compression_ratio, epochs=codec.epochs)
        (project / "config" / f"{_PROJECT[1]}_config.py").write_text(config)

    def __enter__(self) -> _Workspace:
        return self

    def __exit__(self, *_: object) -> None:
        self._temporary.cleanup()

    @property
    def compressed(self) -> Path:
        return self._out / "compressed_output" / "compressed.npz"

    @property
    def _network_file(self) -> Path:
        return self._out / "compressed_output" / "model.pt"

    def run(self, mode: str, progress: Progress | None = None) -> None:
        """One call of Baler, which can be ended by the progress callback."""
        command = [sys.executable, "-m", "baler", "--mode", mode, "--project", *_PROJECT]
        search = [*sys.path, os.environ.get("PYTHONPATH", "")]  # the working directory is another
        env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, search))}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        log = self._root / "log"
        with log.open("wb") as out, subprocess.Popen(
            command, cwd=self._root, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        ) as child:  # fmt: skip
            try:
                while child.poll() is None:
                    time.sleep(_POLL)
                    tell(progress, 0.0, f"Baler, {mode}")
            except BaseException:
                child.kill()
                raise
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        add_usage(sum(getattr(after, k) - getattr(before, k) for k in ("ru_utime", "ru_stime")))
        if child.returncode:
            last = log.read_text(errors="replace").strip().splitlines()[-1:] or ["no word"]
            raise PixlabError(f"Baler failed to {mode}: {last[0]}")

    def network(self) -> dict[str, Array]:
        """The weights that Baler has trained, in its order."""
        import torch

        found = torch.load(self._network_file, map_location="cpu", weights_only=True)
        return {name: tensor.numpy() for name, tensor in found.items()}

    def put_network(self, network: dict[str, Array]) -> None:
        """Give Baler weights."""
        import torch

        tensors = {name: torch.from_numpy(array.copy()) for name, array in network.items()}
        torch.save(tensors, self._network_file)

    def decompressed(self, shape: tuple[int, ...]) -> Array:
        """What Baler has made."""
        path = self._out / "decompressed_output" / "decompressed.npz"
        with np.load(path, allow_pickle=False) as file:
            tiles = file["data"]
        if tiles.shape != shape:
            raise FormatError("Baler's file is damaged: it holds another number of tiles")
        return np.nan_to_num(tiles.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0)
