"""The network of `PatchVQVAE`: encoder, vector quantiser, decoder with two heads, prior of the tokens.

::

    tile (hits, log counts), its cluster ─► encoder ─► latent ─► code ─► decoder ─┬─► mask (logits)
                                                                 └─► prior        └─► log counts

Encoder and decoder begin as what they learn to correct: the latent is the tile itself, and is read
as it is, so that codes can begin at pictures by k-means. In the last epochs the codes themselves
follow the gradient.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pixlab.networks.quantiser import Codebook
from pixlab.networks.training import BATCH, Task, held_out_batches, training_batches, use_of

__all__ = ["Examples", "TileNetwork", "TileTask", "Weights"]

_HELD_OUT = 20  # one of so many tiles
_EXACT_FROM = 0.6  # of the epochs: from then on codes follow the gradient, and no code is moved
_COMMITMENT = 1.0
_SURE = 8.0  # logit of a pixel that is hit in all tiles of a code, about twice over


class Weights(NamedTuple):
    """What errors cost: a wrong pixel; relative charge, place in pixels and log counts, squared."""

    pixel: float
    charge: float
    place: float
    shade: float


class Examples(NamedTuple):
    """Tiles, and the cluster of each.

    ``logs``: float32[n, pixels], log of counts + 1, -1 where there is no hit; ``lost``:
    float32[n, pixels], how many times as much as a wrong pixel a lost one costs; ``charge``:
    float32[n], counts of the cluster; ``centre``: float32[n, 2], its barycentre from the tile's
    first pixel.
    """

    logs: NDArray[np.float32]
    lost: NDArray[np.float32]
    charge: NDArray[np.float32]
    centre: NDArray[np.float32]


class _Sums(NamedTuple):
    """Charge of pictures, and its moments along rows and columns."""

    charge: Tensor
    row: Tensor
    col: Tensor


class TileNetwork(nn.Module):
    """All that is trained.

    Parameters
    ----------
    tile : (int, int)
        Rows and columns.
    size, width : int
        Codes, hidden units.
    middle, top : float
        Mean and largest log count.
    weights : Weights
        Of the loss.
    """

    places: Tensor

    def __init__(
        self,
        tile: tuple[int, int],
        size: int,
        width: int,
        middle: float,
        top: float,
        weights: Weights,
    ) -> None:
        super().__init__()
        self.pixels, self.middle, self.top, self.weights = tile[0] * tile[1], middle, top, weights
        n = 2 * self.pixels
        self.encoder = nn.Sequential(
            nn.Linear(n + self.pixels + 3, width), nn.ReLU(), nn.Linear(width, n)
        )
        self.decoder = nn.Sequential(
            nn.Linear(n, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, n)
        )
        for last in (self.encoder[-1], self.decoder[-1]):
            for weights_or_bias in last.parameters():
                nn.init.zeros_(weights_or_bias)
        self.book = Codebook(size, n)
        self.moved = nn.Parameter(torch.zeros(size, n))  # of codes, by the gradient
        self.prior = nn.Parameter(torch.zeros(size))
        cell = torch.arange(self.pixels)
        places = torch.stack([torch.ones(self.pixels), cell // tile[1], cell % tile[1]], dim=1)
        self.register_buffer("places", places.float(), persistent=False)

    @property
    def codes(self) -> Tensor:
        """Of the codebook: [codes, 2 pixels]."""
        return self.book.codes + self.moved

    @property
    def bits(self) -> Tensor:
        """Length of each code in the prior: [codes]."""
        return torch.log_softmax(self.prior, dim=0) / -math.log(2)

    def encode(self, logs: Tensor, lost: Tensor, charge: Tensor, centre: Tensor) -> Tensor:
        """Latents of tiles: [n, 2 pixels]."""
        hit = (logs >= 0).float()
        plain = torch.cat([hit, hit * (logs - self.middle)], dim=1)
        around = [torch.log(charge)[:, None] - self.middle, centre / 4, hit * (lost - 1)]
        return plain + self.encoder(torch.cat([plain, *around], dim=1))

    def decode(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the mask, and log counts, of latents: [n, pixels] each."""
        mask, logs = (latent + self.decoder(latent)).split(self.pixels, dim=1)
        return _SURE * (mask - 0.5), (logs + self.middle).clamp(0, self.top)

    def sums(self, mask: Tensor, logs: Tensor) -> _Sums:
        """Charges of pictures; each counts what it surely has, with the mask's gradient."""
        soft = torch.sigmoid(mask)
        sure = soft + ((mask > 0).float() - soft).detach()
        counts = sure * torch.expm1(logs)
        return _Sums(*(counts @ self.places).unbind(dim=1))

    def errors(self, examples: tuple[Tensor, ...], mask: Tensor, logs: Tensor) -> dict[str, Tensor]:
        """What the pictures cost that are read for tiles, one for each: [n]."""
        wanted, lost, charge, centre = examples
        hit = (wanted >= 0).float()
        bce = nn.functional.binary_cross_entropy_with_logits(
            mask, hit, lost * hit + 1 - hit, reduction="none"
        )
        own = torch.expm1(wanted.clamp(min=0)) @ self.places
        off = (torch.stack(self.sums(mask, logs), dim=1) - own) / charge[:, None]
        place = off[:, 1:] - centre * off[:, :1]
        w = self.weights
        return {
            "pixel": w.pixel * bce.sum(dim=1),
            "charge": w.charge * off[:, 0] ** 2,
            "place": w.place * (place**2).sum(dim=1),
            "shade": w.shade * (hit * (logs - wanted) ** 2).sum(dim=1),
        }

    @torch.no_grad()
    def costs(self, examples: tuple[Tensor, ...], mask: Tensor, logs: Tensor) -> Tensor:
        """The sum of `errors` of each tile read as each picture, as one product: [n, pictures]."""
        wanted, lost, charge, centre = examples
        hit, w = (wanted >= 0).float(), self.weights
        q, y, x = (torch.expm1(wanted.clamp(min=0)) @ self.places / charge[:, None]).unbind(dim=1)
        up, along = centre.unbind(dim=1)
        y, x = y - up * q, x - along * q
        a, c = w.charge / charge, w.place / charge  # of moments that are not over the charge yet
        plain = [
            hit,
            hit * (lost - 1),
            w.shade * hit,
            -2 * w.shade * hit * wanted,
            w.shade * hit * wanted**2,
        ]
        square = [
            (w.charge + w.place * (up**2 + along**2)) / charge**2,
            w.place / charge**2,
            -2 * c * up / charge,
            -2 * c * along / charge,
            -2 * (a * q - c * (y * up + x * along)),
            -2 * c * y,
            -2 * c * x,
            w.charge * q**2 + w.place * (y**2 + x**2),
        ]
        sums = self.sums(mask, logs)
        one = torch.ones_like(sums.charge)
        of_pictures = [
            sums.charge**2,
            sums.row**2 + sums.col**2,
            sums.charge * sums.row,
            sums.charge * sums.col,
            *sums,
            one,
        ]
        empty = w.pixel * nn.functional.softplus(mask).sum(dim=1)
        left = torch.cat([*plain, torch.stack(square, dim=1), torch.ones_like(q)[:, None]], dim=1)
        right = [
            -w.pixel * mask,
            w.pixel * nn.functional.softplus(-mask),
            logs**2,
            logs,
            torch.ones_like(logs),
            torch.stack(of_pictures, dim=1),
        ]
        return left @ torch.cat([*right, empty[:, None]], dim=1).T

    @torch.no_grad()
    def start(self, pictures: Examples, use: NDArray[np.floating]) -> None:
        """Begin with codes that stand for pictures, used in such shares."""
        codes = self.encode(*(torch.from_numpy(x) for x in pictures))
        share = torch.from_numpy(use / use.sum()).float()
        self.prior.copy_(torch.log(share.clamp(min=1e-6)))
        self.book.put(codes, share * BATCH)

    @torch.no_grad()
    def pictures(self) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """The table of the decoder: mask and counts of each code, bool and float64[codes, pixels]."""
        mask, logs = self.decode(self.codes)
        on = mask > 0
        on[torch.arange(len(on)), mask.argmax(dim=1)] = True  # a tile is never lost
        return on.cpu().numpy(), torch.expm1(logs).double().cpu().numpy()


class TileTask(Task):
    """The network on blocks of tiles, which can be gone through again and again."""

    network: TileNetwork

    def __init__(
        self,
        network: TileNetwork,
        blocks: Iterable[Examples],
        *,
        rate_weight: float,
        epochs: int,
        device: torch.device,
    ) -> None:
        self.network = network.to(device)
        self._blocks, self._rate_weight, self._device = blocks, rate_weight, device
        self._exact_from = self.counts_from(epochs)
        self._seen: tuple[Tensor, Tensor] | None = None
        self._counts = torch.zeros(network.book.size)

    def counts_from(self, epochs: int) -> int:
        """The first epoch in which codes follow the gradient."""
        return int(_EXACT_FROM * epochs)

    def batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, ...]]:
        """Shuffled within each block."""
        for block in self._blocks:
            for which in training_batches(len(block.logs), _HELD_OUT, generator):
                yield self._to_batch(block, which)

    def held_out(self) -> Iterator[tuple[Tensor, ...]]:
        """Every twentieth tile."""
        self._counts = torch.zeros(self.network.book.size)
        for block in self._blocks:
            for which in held_out_batches(len(block.logs), _HELD_OUT):
                yield self._to_batch(block, which)

    def _to_batch(self, block: Examples, which: NDArray[np.int64]) -> tuple[Tensor, ...]:
        return tuple(torch.from_numpy(x[which]).to(self._device) for x in block)

    def loss(self, batch: tuple[Tensor, ...], epoch: int) -> tuple[Tensor, dict[str, float], int]:
        """Errors + lambda bits + commitment; the code is the one that costs least."""
        net, settles = self.network, epoch >= self._exact_from
        codes, bits, n = net.codes, net.bits, len(batch[0])
        cost = net.costs(batch, *net.decode(codes)) + self._rate_weight * bits.detach()
        index = cost.argmin(dim=1)
        code, commitment = codes[index], torch.zeros((), device=self._device)
        if not settles:
            latent = net.encode(*batch)
            commitment = _COMMITMENT * ((latent - code.detach()) ** 2).sum()
            code = latent + (code - latent).detach()  # gradients go straight through
            self._seen = (latent.detach(), index) if net.training else None
        parts = {k: v.sum() for k, v in net.errors(batch, *net.decode(code)).items()}
        parts["bits"] = bits[index].sum()
        told = sum(v for k, v in parts.items() if k != "bits") + self._rate_weight * parts["bits"]
        if not net.training:
            self._counts += torch.bincount(index, minlength=net.book.size).cpu()
        shown = {"loss": told} | parts
        return (told + commitment) / n, {k: float(v.detach()) for k, v in shown.items()}, n

    @torch.no_grad()
    def learned(self, generator: torch.Generator) -> None:
        """Codes follow the latents, until they follow the gradient."""
        if self._seen is None:
            return
        dead, parent = self.network.book.update(*self._seen, generator)
        self._seen, prior = None, self.network.prior
        prior[parent] -= math.log(2)  # revived codes are as likely as those they were split from
        prior[dead] = prior[parent]

    def summary(self, epoch: int) -> dict[str, float]:
        """Perplexity of the held-out tokens, and the share of codes in use."""
        return use_of(self._counts)
