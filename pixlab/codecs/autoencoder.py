"""`Autoencoder`: windows of clusters as a few continuous latents, quantised and entropy-coded.

::

    window (hits, log counts) ──► encoder ──► latents ──► levels of a grid ──► decoder ──► log counts

What Baler does for tables of numbers (F. Bengtsson et al., arXiv:2305.02283), with real bytes: both networks
run in integers, so that a stream decodes everywhere alike, and latents are coded in contexts.
The hit map is kept.
"""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import param
from numpy.typing import NDArray

from pixlab.codecs.base import Chunk
from pixlab.codecs.hitmaps import ContextCodec, ContextModel, to_digis, to_hits
from pixlab.codecs.layers import ONE, Layers, to_arrays
from pixlab.codecs.trained import Trained, TrainedModel, Training
from pixlab.codecs.windows import (
    CELLS,
    FEATURES,
    Windows,
    cut_windows,
    logarithms,
    nearest_counts,
)
from pixlab.coding.hits import HitCoder
from pixlab.coding.layout import make_layout, track_slopes
from pixlab.coding.levels import Levels
from pixlab.digis import Digis
from pixlab.errors import FormatError, PixlabError
from pixlab.progress import Progress

__all__ = ["Autoencoder", "AutoencoderModel", "LatentCodec", "LatentModel"]

Array = NDArray[Any]
_MIDDLE = 128  # of a feature that an earlier latent is
_LOG_COLUMNS: tuple[str, ...] = ("epoch", "pixel", "charge", "place", "bits")
_LOG_COLUMNS += ("held_out_pixel", "held_out_charge", "held_out_place", "held_out_bits")
_MOST_LATENT = 1 << 20


class LatentCodec(ContextCodec):
    """A codec that describes windows by latents."""

    n_layers: ClassVar[int] = 1  # of the encoder, and of the decoder

    latents = param.Integer(default=6, bounds=(1, 16), doc="numbers that describe a window")
    step = param.Number(
        default=0.25,
        bounds=(1 / 64, 16.0),
        doc="spacing of the grid that latents are rounded to, octaves of charge for PCA",
    )
    rate_weight = param.Number(
        default=0.5, bounds=(0.0, 4.0), doc="lambda: squared error, in spacings, a bit may cost"
    )

    @abstractmethod
    def learn_layers(
        self, windows: Windows, logs: Array, means: Array, **how: Any
    ) -> dict[str, Array]:
        """The arrays of encoder and decoder, for log counts int64[n, CELLS] less their means."""

    @property
    def model_type(self) -> type[LatentModel]:
        """What fitting gives."""
        return LatentModel

    def fit(self, digis: Digis, *, progress: Progress | None = None, **how: Any) -> LatentModel:
        """Learn encoder and decoder, then contexts of the latents.

        Codecs that train take more arguments, see `Trained`.

        Raises
        ------
        PixlabError
            If there is no digi to learn from.
        """
        if digis.n_digis == 0:
            raise PixlabError("there is no digi to learn from", "fit on other events")
        slopes = track_slopes(digis.detector)
        layout = make_layout(digis.detector, slopes)
        hits = to_hits(digis)
        arrays: dict[str, Array] = {"slopes": slopes}
        arrays |= HitCoder.learn(layout, len(digis), hits, reuse=self.reuse)
        windows = cut_windows(digis, layout)
        logs = windows.spread(logarithms(digis.detector.adc_max)[digis.adc])
        seen = windows.hit.sum(axis=0)
        whole = logs.sum() / max(windows.hit.sum(), 1)
        means = np.where(seen > 0, logs.sum(axis=0) / np.maximum(seen, 1), whole)
        arrays["means"] = np.rint(means).astype(np.int16)
        centred = np.where(windows.hit, logs - arrays["means"], 0)
        arrays |= self.learn_layers(windows, centred, arrays["means"], progress=progress, **how)
        # the levels of a latent are coded given those before
        latents = _Latents(self, arrays)
        x = latents.of(windows, centred)
        features = windows.features
        for j in range(self.latents):
            which = np.arange(len(x))
            arrays |= Levels.learn(
                f"latent{j}", features, which, x[:, j], windows.starts,
                rate_weight=self.rate_weight, reuse=self.reuse,
            )  # fmt: skip
            coder = Levels(f"latent{j}", arrays, features.shape[1])
            points = coder.quantise(
                features, which, x[:, j], windows.starts, rate_weight=self.rate_weight
            )[1]
            features = _with(features, points)
        return self.model_type(self, digis.detector, arrays)


class LatentModel(ContextModel):
    """A fitted `LatentCodec`."""

    codec: LatentCodec

    @property
    def needs(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of arrays that must be there."""
        n = self.codec.n_layers
        levels = [a for j in range(self.codec.latents) for a in Levels.needs(f"latent{j}")]
        layers = (*Layers.needs("encoder", n), *Layers.needs("decoder", n))
        return ("slopes", *HitCoder.needs, "means", *layers, *levels)

    def __post_init__(self) -> None:
        super().__post_init__()
        means = self.arrays["means"]
        if means.shape != (CELLS,) or means.dtype != np.int16:
            raise FormatError("the means of the model are damaged")

    @cached_property
    def _table(self) -> NDArray[np.int64]:
        return logarithms(self.detector.adc_max)

    @cached_property
    def _latents(self) -> _Latents:
        return _Latents(self.codec, self.arrays)

    @cached_property
    def _levels(self) -> list[Levels]:
        return [Levels(f"latent{j}", self.arrays, FEATURES + j) for j in range(self.codec.latents)]

    def _tell(self, digis: Digis) -> tuple[Windows, list[Array], NDArray[np.uint16]]:
        """Windows, the levels of each latent, and counts that they mean."""
        windows = cut_windows(digis, self.layout)
        logs = windows.spread(self._table[digis.adc])
        x = self._latents.of(windows, np.where(windows.hit, logs - self.arrays["means"], 0))
        features, which = windows.features, np.arange(len(x))
        said, meant = [], []
        for j, coder in enumerate(self._levels):
            levels, points = coder.quantise(
                features, which, x[:, j], windows.starts, rate_weight=self.codec.rate_weight
            )
            said.append(levels)
            meant.append(points)
            features = _with(features, points)
        return windows, said, self._paint(windows, np.stack(meant, axis=1))

    def _paint(self, windows: Windows, points: Array) -> NDArray[np.uint16]:
        """Counts of digis."""
        logs = self._latents.read(windows, points) + self.arrays["means"]
        return nearest_counts(logs[windows.window, windows.cell], self._table)

    def quantize(self, digis: Digis) -> Digis:
        """The digis with the counts that latents mean."""
        self.check(digis)
        return digis.with_adc(self._tell(digis)[2])

    def _encode(self, digis: Digis) -> dict[str, bytes]:
        windows, said, _ = self._tell(digis)
        sections = self.hit_coder.encode(len(digis), to_hits(digis))
        features, which = windows.features, np.arange(len(windows.hit))
        for j, coder in enumerate(self._levels):
            section = coder.encode(features, which, said[j], windows.starts)
            sections[f"latent{j}"] = section
            points = coder.decode(features, which, windows.starts, section)[0]
            features = _with(features, points)
        return sections

    def _decode(self, chunk: Chunk) -> Digis:
        hits = self.hit_coder.decode(chunk.n_events, chunk.n_digis, chunk.sections)
        adc = np.zeros(chunk.n_digis, np.uint16)
        digis = to_digis(self.detector, chunk.n_events, hits, adc)
        windows = cut_windows(digis, self.layout)
        features, which = windows.features, np.arange(len(windows.hit))
        meant = []
        for j, coder in enumerate(self._levels):
            section = chunk.sections[f"latent{j}"]
            meant.append(coder.decode(features, which, windows.starts, section)[0])
            features = _with(features, meant[-1])
        return digis.with_adc(self._paint(windows, np.stack(meant, axis=1)))


class _Latents:
    """Encoder and decoder of a model, and the grid between them."""

    def __init__(self, codec: LatentCodec, arrays: dict[str, Array] | Any) -> None:
        n, k = codec.n_layers, codec.latents
        self._encoder = Layers("encoder", arrays, n, 2 * CELLS, k)
        self._decoder = Layers("decoder", arrays, n, k + CELLS, CELLS)
        self._step = max(round(codec.step * ONE), 1)

    def of(self, windows: Windows, centred: Array) -> NDArray[np.float64]:
        """Latents in spacings of the grid: float64[n, latents]."""
        found = self._encoder(np.concatenate([centred, windows.hit * ONE], axis=1))
        return np.clip(found, -_MOST_LATENT, _MOST_LATENT) / self._step

    def read(self, windows: Windows, points: NDArray[np.int64]) -> NDArray[np.int64]:
        """Log counts less their means, of points of the grid: int64[n, CELLS]."""
        latents = np.clip(points * self._step, -_MOST_LATENT, _MOST_LATENT)
        return self._decoder(np.concatenate([latents, windows.hit * ONE], axis=1))


class Autoencoder(Trained, LatentCodec):
    """Windows of clusters through the latents of a trained autoencoder."""

    key = "autoencoder"
    n_layers = 2

    learning_rate = param.Number(default=1e-2)

    def learn_layers(
        self,
        windows: Windows,
        logs: Array,
        means: Array,
        **how: Any,
    ) -> dict[str, Array]:
        """Train both networks together; latents get noise as wide as a spacing of the grid."""
        import hashlib

        from pixlab.networks.training import device_of, seeded
        from pixlab.networks.windows import WindowNetwork, WindowTask

        training = Training(**how)
        with seeded(self.seed):
            network = WindowNetwork(CELLS, self.latents, self.width, self.step)
        task = WindowTask(
            network, windows.hit, logs, means, unit=ONE, rate_weight=self.rate_weight,
            device=device_of(training.device),
        )  # fmt: skip
        digest = hashlib.sha256(logs.tobytes()).hexdigest()[:16]
        log = self.train(task, digest, _LOG_COLUMNS, training)
        found = to_arrays("encoder", network.layers("encoder"))
        found |= to_arrays("decoder", network.layers("decoder"))
        return found | log

    @property
    def model_type(self) -> type[LatentModel]:
        """What fitting gives."""
        return AutoencoderModel


class AutoencoderModel(TrainedModel, LatentModel):
    """A fitted `Autoencoder`."""

    codec: Autoencoder
    log_columns = _LOG_COLUMNS


def _with(features: NDArray[np.uint8], points: Array) -> NDArray[np.uint8]:
    """Features of windows, with one more latent known."""
    said = np.clip(points + _MIDDLE, 0, 255).astype(np.uint8)
    return np.concatenate([features, said[:, None]], axis=1)
