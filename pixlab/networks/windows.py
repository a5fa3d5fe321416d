"""The networks of `Autoencoder`, and their training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pixlab.networks.training import Task, held_out_batches, training_batches

__all__ = ["WindowNetwork", "WindowTask"]

_HELD_OUT = 10  # one of so many windows
_WIDE = 8  # columns of a window
# what counts as one unit of error: octaves of a pixel, fraction of the charge, pixels
_PIXEL, _CHARGE, _PLACE = 0.5, 0.05, 0.05


class WindowNetwork(nn.Module):
    """Encoder and decoder with one hidden layer each, and a prior of the latents."""

    def __init__(self, cells: int, latents: int, width: int, step: float) -> None:
        super().__init__()
        self.step = step
        self.encoder = nn.Sequential(
            nn.Linear(2 * cells, width), nn.ReLU(), nn.Linear(width, latents)
        )
        self.decoder = nn.Sequential(
            nn.Linear(latents + cells, width), nn.ReLU(), nn.Linear(width, cells)
        )
        self.scale = nn.Parameter(torch.zeros(latents))  # logarithm of the prior's width

    def layers(self, name: str) -> list[tuple[NDArray[Any], NDArray[Any]]]:
        """Weights [inputs, outputs] and biases of ``encoder`` or ``decoder``."""
        linear = [m for m in getattr(self, name) if isinstance(m, nn.Linear)]
        return [(m.weight.detach().cpu().numpy().T, m.bias.detach().cpu().numpy()) for m in linear]

    def forward(self, hit: Tensor, logs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Log counts that are read back [n, cells], and bits of the latents [n]."""
        latent = self.encoder(torch.cat([logs, hit], dim=1))
        noisy = latent + noise * self.step
        prior = torch.distributions.Laplace(0.0, self.scale.exp())
        # the prior's density times the spacing is about the probability of a level
        bits = -(prior.log_prob(noisy) + math.log(self.step)).sum(dim=1) / math.log(2)
        return self.decoder(torch.cat([noisy, hit], dim=1)), bits


class _Batch(NamedTuple):
    hit: Tensor
    logs: Tensor


class WindowTask(Task):
    """The networks on windows: ``hit`` bool[n, cells], ``logs`` int[n, cells] less their ``means``, in 1/`unit`."""

    network: WindowNetwork

    def __init__(
        self,
        network: WindowNetwork,
        hit: NDArray[np.bool_],
        logs: NDArray[Any],
        means: NDArray[Any],
        *,
        unit: int,
        rate_weight: float,
        device: torch.device,
    ) -> None:
        self.network = network.to(device)
        self._hit, self._logs, self._unit = hit, logs, unit
        self._rate_weight, self._device = rate_weight, device
        self._means = torch.from_numpy((means / unit).astype(np.float32)).to(device)
        cell = torch.arange(hit.shape[1], device=device)
        self._places = torch.stack([cell // _WIDE, cell % _WIDE], dim=1).float()
        self._noise = torch.Generator().manual_seed(0)

    def batches(self, generator: torch.Generator) -> Iterator[_Batch]:
        """Shuffled."""
        batches = training_batches(len(self._hit), _HELD_OUT, generator)
        self._noise.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        yield from map(self._to_batch, batches)

    def held_out(self) -> Iterator[_Batch]:
        """Every tenth window, with the same noise each time."""
        self._noise.manual_seed(0)
        yield from map(self._to_batch, held_out_batches(len(self._hit), _HELD_OUT))

    def _to_batch(self, which: NDArray[np.int64]) -> _Batch:
        columns = self._hit[which], self._logs[which] / self._unit
        return _Batch(*(torch.from_numpy(c.astype(np.float32)).to(self._device) for c in columns))

    def loss(self, batch: _Batch, epoch: int) -> tuple[Tensor, dict[str, float], int]:
        """Errors of pixels, charge and barycentre, and lambda bits."""
        hit, logs = batch
        noise = torch.rand((len(hit), len(self.network.scale)), generator=self._noise) - 0.5
        read, bits = self.network(hit, logs, noise.to(self._device))
        pixel = ((((read - logs) * hit) / _PIXEL) ** 2).sum()
        was, now = (torch.exp2((x + self._means).clamp(max=14)) * hit for x in (logs, read))
        charge = (((now.sum(1) / was.sum(1) - 1) / _CHARGE) ** 2).clamp(max=400).sum()
        moved = now @ self._places / now.sum(1, keepdim=True).clamp(min=1e-6)
        moved = moved - was @ self._places / was.sum(1, keepdim=True).clamp(min=1e-6)
        place = ((moved / _PLACE) ** 2).clamp(max=400).sum()
        parts = {"pixel": pixel, "charge": charge, "place": place, "bits": bits.sum()}
        total = pixel + charge + place + self._rate_weight * parts["bits"]
        parts["loss"] = total
        n = len(hit)
        return total / n, {k: float(v.detach()) for k, v in parts.items()}, n
