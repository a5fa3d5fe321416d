"""The networks of `VQVAE`: encoder, vector quantiser, decoder and prior of the tokens.

::

    window (4 x 8 pixels: hits, log counts) ─► convolution ─┐
    barycentre ─────────────────────────────────────────────┴► latent ─► code ─► decoder ─► barycentre
    context: layer, place in the module, angle, box, charge ─► bins ─► embeddings ─► hidden ─┬─► centre, axes
                                                                                             └─► prior

The decoder is linear in the code, and its coefficients come from the context (FiLM: E. Perez et al.,
AAAI 2018), so that `pixlab.codecs.conditioner` does with integers what it did here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pixlab.networks.quantiser import Codebook

__all__ = ["ROW_COL", "Batch", "Encoder", "Losses", "ShapeNetwork"]

ROW_COL = ((0,), (1,), (0, 1))  # coordinates that codes of each kind have
_LEAST_AXIS = 1 / 32
_COMMITMENT = 0.25
_CHANNELS = 6


class Batch(NamedTuple):
    """Clusters: ``bins``: int64[n, features], rows of embeddings; ``window``: [n, 2, 4, 8];
    ``target``: [n, 2], barycentre in pitches; ``weight``: [n, 2], 1 / spacing, 0 where it cannot
    move; ``book``: int64[n], the codebook of each.
    """

    bins: Tensor
    window: Tensor
    target: Tensor
    weight: Tensor
    book: Tensor


class Losses(NamedTuple):
    """Sums over a batch: squared error in spacings, bits, commitment; and the tokens."""

    error: Tensor
    bits: Tensor
    commitment: Tensor
    tokens: list[tuple[Tensor, list[Tensor]]]  # clusters of each codebook, and a token a stage


class Encoder(nn.Module):
    """From a window, its barycentre and its hidden context to a latent."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, _CHANNELS, 3, stride=(1, 2), padding=1)
        self.mix = nn.Linear(_CHANNELS * 16 + width + 2, width)
        self.out = nn.Linear(width, 2)
        nn.init.zeros_(self.out.weight)  # it begins as: latent = barycentre - centre
        nn.init.zeros_(self.out.bias)

    def forward(self, window: Tensor, shift: Tensor, hidden: Tensor) -> Tensor:
        """Latents: [n, 2]; ``shift`` is the barycentre less the centre."""
        seen = torch.relu(self.convolution(window)).flatten(1)
        mixed = torch.relu(self.mix(torch.cat([seen, hidden, shift], dim=1)))
        return shift + self.out(mixed)


class ShapeNetwork(nn.Module):
    """All that is trained.

    Parameters
    ----------
    n_rows : int
        Of the embeddings: features times bins.
    kinds : sequence of int
        What the codes of each codebook of a stage move, see `ROW_COL`.
    sizes : sequence of int
        Codes of each of them.
    stages : int
        How many there are.
    width : int
        Hidden units.
    fixed : bool
        Codes stay on a grid.
    """

    def __init__(
        self,
        n_rows: int,
        kinds: Sequence[int],
        sizes: Sequence[int],
        stages: int,
        width: int,
        *,
        fixed: bool,
    ) -> None:
        super().__init__()
        self.axes = [ROW_COL[kind] for kind in kinds]
        self.embed = nn.Embedding(n_rows, width)
        nn.init.normal_(self.embed.weight, std=0.15)
        self.hidden = nn.Linear(width, width)
        self.out = nn.Linear(width, 5)
        nn.init.zeros_(self.out.weight)
        with torch.no_grad():
            self.out.bias.copy_(torch.tensor([0.0, 0.0, 1.0, 0.0, 1.0]))
        self.encoder = Encoder(width)
        self.books = nn.ModuleList(
            nn.ModuleList(
                Codebook(n, len(axes), fixed=fixed)
                for n, axes in zip(sizes, self.axes, strict=True)
            )
            for _ in range(stages)
        )
        self.priors = nn.ModuleList(
            nn.ModuleList(nn.Linear(width, n) for n in sizes) for _ in range(stages)
        )

    def book(self, stage: int, i: int) -> Codebook:
        """A codebook of a stage."""
        books: nn.ModuleList = self.books[stage]  # type: ignore[assignment]
        return books[i]  # type: ignore[return-value]

    def context(self, bins: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden context [n, width] and centre and axes [n, 5]."""
        first = torch.relu(self.embed(bins).sum(dim=1))
        hidden = torch.relu(self.hidden(first))
        up, along, a, b, d = self.out(hidden).unbind(dim=1)
        a, d = a.clamp(min=_LEAST_AXIS), d.clamp(min=_LEAST_AXIS)
        return hidden, torch.stack([up, along, a, b, d], dim=1)

    @staticmethod
    def place(frame: Tensor, code: Tensor) -> Tensor:
        """Where codes [n, 2] are put: [n, 2]."""
        up, along, a, b, d = frame.unbind(dim=1)
        y, x = code.unbind(dim=1)
        return torch.stack([up + a * y, along + b * y + d * x], dim=1)

    @staticmethod
    def unplace(frame: Tensor, target: Tensor) -> Tensor:
        """The latents that would be put at the targets: the inverse of `place`."""
        up, along, a, b, d = frame.unbind(dim=1)
        y = (target[:, 0] - up) / a
        return torch.stack([y, (target[:, 1] - along - b * y) / d], dim=1)

    def forward(self, batch: Batch, rate_weight: float, *, exact: bool) -> Losses:
        """Quantise a batch; with `exact` the latent is what the decoder would need, not the encoder's."""
        hidden, frame = self.context(batch.bins)
        free = (batch.weight > 0).to(frame.dtype)
        shift = (batch.target - frame[:, :2].detach()) * free
        latent = (
            self.unplace(frame, batch.target).detach() * free
            if exact
            else self.encoder(batch.window, shift, hidden) * free
        )
        code = torch.zeros_like(latent)
        bits = latent.new_zeros(len(latent))
        tokens = []
        for i, axes in enumerate(self.axes):
            which = torch.nonzero(batch.book == i).flatten()
            said: list[Tensor] = []
            for s in range(len(self.books)):
                codes = self.book(s, i).codes
                prior: nn.ModuleList = self.priors[s]  # type: ignore[assignment]
                log_p = torch.log_softmax(prior[i](hidden[which]), dim=1) / -math.log(2)
                with torch.no_grad():
                    rest = (latent - code)[which]
                    index = _cheapest(
                        codes, axes, rest, frame[which], batch.weight[which],
                        log_p.detach() * rate_weight,
                    )  # fmt: skip
                    said.append(index)
                    for j, axis in enumerate(axes):
                        code[which, axis] += codes[index, j]
                bits = bits.index_add(0, which, log_p.gather(1, index[:, None])[:, 0])
            tokens.append((which, said))
        # gradients go straight through the quantiser
        through = code if exact else latent + (code - latent).detach()
        off = (self.place(frame, through) - batch.target) * batch.weight
        lost = (self.place(frame.detach(), latent - code) - frame.detach()[:, :2]) * batch.weight
        commitment = _COMMITMENT * (lost**2).sum()
        self._seen = (latent.detach(), code)
        return Losses((off**2).sum(), bits.sum(), commitment, tokens)

    @torch.no_grad()
    def learn_codes(self, losses: Losses, generator: torch.Generator | None) -> None:
        """Let codebooks follow the latents of the last `forward`; see `Codebook.update`."""
        latent, _ = self._seen
        for i, (which, said) in enumerate(losses.tokens):
            rest = latent[which][:, list(self.axes[i])]
            for s, index in enumerate(said):
                book = self.book(s, i)
                before = book.codes[index]
                dead, parent = book.update(rest, index, generator)
                self._split_prior(s, i, dead, parent)
                rest = rest - before

    def _split_prior(self, stage: int, i: int, dead: Tensor, parent: Tensor) -> None:
        """Make revived codes as likely as those that they were split from; else nobody could pay them."""
        priors: nn.ModuleList = self.priors[stage]  # type: ignore[assignment]
        prior: nn.Linear = priors[i]  # type: ignore[assignment]
        prior.weight[dead] = prior.weight[parent]
        prior.bias[parent] -= math.log(2)
        prior.bias[dead] = prior.bias[parent]

    @torch.no_grad()
    def start_codes(self, batch: Batch, seed: int) -> None:
        """Begin with k-means of the latents of a batch."""
        frame = self.context(batch.bins)[1]
        free = (batch.weight > 0).to(frame.dtype)
        latent = self.unplace(frame, batch.target) * free
        for i, axes in enumerate(self.axes):
            which = batch.book == i
            rest = latent[which][:, list(axes)]
            for s in range(len(self.books)):
                book = self.book(s, i)
                book.start(rest, seed)
                if len(rest):
                    rest = rest - book.codes[torch.cdist(rest, book.codes).argmin(dim=1)]

    def weights(self) -> Mapping[str, Tensor]:
        """What a decoder needs, by the names of `Conditioner`."""
        return {
            "embed": self.embed.weight,
            "hidden": self.hidden.weight.T,
            "hidden_bias": self.hidden.bias,
            "out": self.out.weight.T,
            "out_bias": self.out.bias,
        }


def _cheapest(
    codes: Tensor, axes: tuple[int, ...], rest: Tensor, frame: Tensor, weight: Tensor, price: Tensor
) -> Tensor:
    """The code of each latent with the least error where it is decoded, and price."""
    _, _, a, b, d = frame.unbind(dim=1)
    cost = price
    if 0 in axes:
        off = codes[:, 0] - rest[:, :1]
        cost = cost + (off * (a * weight[:, 0])[:, None]) ** 2
    if 1 in axes:
        across = (codes[:, -1] - rest[:, 1:]) * d[:, None]
        if 0 in axes:
            across = across + off * b[:, None]
        cost = cost + (across * weight[:, 1:]) ** 2
    return cost.argmin(dim=1)
