"""A codebook that learns while it quantises.

Codes follow the mean of what was assigned to them (exponential moving averages: A. van den Oord,
O. Vinyals, K. Kavukcuoglu, NeurIPS 2017, appendix A), begin at the centres of k-means, and move to
where they are needed when nobody uses them (P. Dhariwal et al., Jukebox, 2020).

``vector-quantize-pytorch`` has all that, but chooses the nearest code in the latent space. Here the
code is chosen that costs least in what is decoded from it, code length included, which it has no
place for.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["Codebook"]

_DECAY = 0.97
_DEAD = 0.02  # of the mean use, below which a code is revived
_ROUNDS = 25


class Codebook(nn.Module):
    """Codes in a latent space.

    Parameters
    ----------
    size, dims : int
        Number of codes, and of their coordinates.
    fixed : bool
        Codes stay on a grid (finite scalar quantisation: F. Mentzer et al., ICLR 2024).
    """

    codes: Tensor
    use: Tensor
    sums: Tensor

    def __init__(self, size: int, dims: int, *, fixed: bool = False) -> None:
        super().__init__()
        self.size, self.dims, self.fixed = size, dims, fixed
        self.register_buffer("codes", torch.zeros(size, dims))
        self.register_buffer("use", torch.ones(size))
        self.register_buffer("sums", torch.zeros(size, dims))

    def start(self, latents: Tensor, seed: int) -> None:
        """Begin at the centres of k-means; or on a grid over the range of latents."""
        if self.fixed:
            self.codes.copy_(_grid(self.size, latents))
        else:
            from sklearn.cluster import KMeans

            n = min(self.size, len(torch.unique(latents, dim=0)))
            if n:
                means = KMeans(n, n_init=1, max_iter=_ROUNDS, random_state=seed).fit(
                    latents.cpu().numpy()
                )
                self.codes[:n] = torch.from_numpy(means.cluster_centers_).to(latents.dtype)
        self.put(self.codes, torch.ones_like(self.use))

    @torch.no_grad()
    def put(self, codes: Tensor, use: Tensor) -> None:
        """Begin at such codes, each used so often in a step."""
        self.codes.copy_(codes)
        self.use.copy_(use)
        self.sums.copy_(self.codes * use[:, None])

    @torch.no_grad()
    def update(
        self, latents: Tensor, index: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Move codes to what they were chosen for, and dead ones to some of the latents.

        Without a generator of random numbers, dead ones stay.

        Returns
        -------
        int64[m], int64[m]
            Codes that were dead, and the codes that had been chosen for the latents where they are now.
        """
        if self.fixed or len(latents) == 0:
            return index[:0], index[:0]
        counts = torch.bincount(index, minlength=self.size).to(latents.dtype)
        sums = torch.zeros_like(self.sums).index_add_(0, index, latents)
        self.use.mul_(_DECAY).add_(counts, alpha=1 - _DECAY)
        self.sums.mul_(_DECAY).add_(sums, alpha=1 - _DECAY)
        mean = self.use.mean()
        dead = torch.nonzero(self.use < _DEAD * mean).flatten() if generator else index[:0]
        chosen = torch.randint(len(latents), (len(dead),), generator=generator).to(index.device)
        # a moved code counts as much as a usual one until its use is known
        self.sums[dead], self.use[dead] = latents[chosen] * mean, mean
        self.codes.copy_(self.sums / self.use.clamp(min=1e-6)[:, None])
        return dead, index[chosen]


def _grid(size: int, latents: Tensor) -> Tensor:
    """About equally spaced codes, as many as `size`, over nearly all of the latents."""
    dims = latents.shape[1]
    if len(latents) == 0:
        latents = torch.zeros(1, dims)
    shares = torch.tensor([0.001, 0.999])
    low, high = torch.quantile(latents[:100_000].cpu(), shares, dim=0)
    span = (high - low).clamp(min=1e-3)
    if dims == 1:
        return torch.linspace(float(low), float(low + span), size)[:, None]
    rows = max(1, min(size, round(float((size * span[0] / span[1]).sqrt()))))
    found = []
    for i in range(rows):  # rows get one more column each until all codes are used
        cols = size // rows + (i < size % rows)
        x = torch.linspace(float(low[1]), float(low[1] + span[1]), cols)
        y = low[0] + span[0] * (i + 0.5) / rows
        found.append(torch.stack([torch.full_like(x, float(y)), x], dim=1))
    return torch.cat(found)
