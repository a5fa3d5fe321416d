"""Training `ShapeNetwork` on clusters that come block by block."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pixlab.errors import PixlabError
from pixlab.networks.shapes import Batch, Losses, ShapeNetwork
from pixlab.networks.training import Task, held_out_batches, training_batches, use_of

__all__ = ["Examples", "ShapeTask"]

_HELD_OUT = 10  # one of so many clusters
_FIRST = 60_000  # clusters that codebooks begin with
_EXACT_FROM = 0.6  # of the epochs: from then on latents are those that the decoder needs


class Examples(NamedTuple):
    """Clusters whose barycentre can move, as networks see them.

    ``bins``: int32[n, features]; ``windows``: uint8[n, 2, 4, 8], share of each cell that is hit and
    of the charge, 255 for 1; ``charge``: int64[n], counts; ``target``: float32[n, 2], barycentre
    in pitches; ``weight``: float32[n, 2], 1 / spacing; ``book``: int64[n], the codebook of each.
    """

    bins: NDArray[np.int32]
    windows: NDArray[np.uint8]
    charge: NDArray[np.int64]
    target: NDArray[np.float32]
    weight: NDArray[np.float32]
    book: NDArray[np.int64]

    def take(self, which: Any) -> Examples:
        """Some of them."""
        return Examples(*(column[which] for column in self))


class ShapeTask(Task):
    """The network of `VQVAE` on blocks of examples, which can be gone through again and again."""

    network: ShapeNetwork

    def __init__(
        self,
        network: ShapeNetwork,
        blocks: Iterable[Examples],
        *,
        rate_weight: float,
        epochs: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.network = network.to(device)
        self._blocks, self._rate_weight, self._device = blocks, rate_weight, device
        self._exact_from = self.counts_from(epochs)
        self._losses: Losses | None = None
        self._settles = False
        self._counts: list[Tensor] = []
        first = next((block for block in self._blocks if len(block.book)), None)
        if first is None:
            raise PixlabError(
                "no cluster has more than one pixel: there is no shape to learn",
                "fit on other events, or use codec cluster-vq",
            )
        self.network.start_codes(self._to_batch(first.take(slice(_FIRST))), seed)

    def counts_from(self, epochs: int) -> int:
        """The first epoch in which latents are those that the decoder needs."""
        return int(_EXACT_FROM * epochs)

    def batches(self, generator: torch.Generator) -> Iterator[Batch]:
        """Shuffled within each block."""
        for block in self._blocks:
            for which in training_batches(len(block.book), _HELD_OUT, generator):
                yield self._to_batch(block.take(which))

    def held_out(self) -> Iterator[Batch]:
        """Every tenth cluster."""
        self._counts = []
        for block in self._blocks:
            for which in held_out_batches(len(block.book), _HELD_OUT):
                yield self._to_batch(block.take(which))

    def loss(self, batch: Batch, epoch: int) -> tuple[Tensor, dict[str, float], int]:
        """Error + lambda bits + commitment."""
        self._settles = epoch >= self._exact_from
        losses = self.network(batch, self._rate_weight, exact=self._settles)
        n = len(batch.book)
        total = losses.error + self._rate_weight * losses.bits + losses.commitment
        self._losses = losses
        if not self.network.training:
            self._count(losses)
        parts = {
            "loss": losses.error + self._rate_weight * losses.bits,
            "error": losses.error,
            "bits": losses.bits,
            "commitment": losses.commitment,
        }
        return total / n, {k: float(v.detach()) for k, v in parts.items()}, n

    def learned(self, generator: torch.Generator) -> None:
        """Codebooks follow the latents; in the last epochs no code is moved elsewhere."""
        if self._losses is not None:
            self.network.learn_codes(self._losses, None if self._settles else generator)

    def summary(self, epoch: int) -> dict[str, float]:
        """Perplexity of the held-out tokens of all codebooks, and the share of codes in use."""
        return use_of(torch.cat(self._counts) if self._counts else torch.ones(1))

    def _count(self, losses: Losses) -> None:
        found = []
        for i, (_, said) in enumerate(losses.tokens):
            for s, index in enumerate(said):
                size = self.network.book(s, i).size
                found.append(torch.bincount(index.cpu(), minlength=size).float())
        before = self._counts or [torch.zeros_like(f) for f in found]
        self._counts = [a + b for a, b in zip(before, found, strict=True)]

    def _to_batch(self, e: Examples) -> Batch:
        windows = e.windows.astype(np.float32) / 255
        windows[:, 1] = np.log2(1 + windows[:, 1] * e.charge[:, None, None]) / 8
        columns = (e.bins.astype(np.int64), windows, e.target, e.weight, e.book)
        return Batch(*(torch.from_numpy(c).to(self._device) for c in columns))
