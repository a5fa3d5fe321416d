"""`PCA`: windows of clusters by their principal components, the limit of what is linear."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.codecs.autoencoder import LatentCodec
from pixlab.codecs.layers import ONE, to_arrays
from pixlab.codecs.windows import CELLS, Windows

__all__ = ["PCA"]

Array = NDArray[Any]


class PCA(LatentCodec):
    """Windows of clusters through their first principal components."""

    key = "pca"

    def learn_layers(
        self, windows: Windows, logs: Array, means: Array, **how: Any
    ) -> dict[str, Array]:
        """Components of the second moments; pixels that are not hit count as the mean."""
        moments = (logs / ONE).T @ (logs / ONE) / max(len(logs), 1)
        axes = np.linalg.eigh(moments)[1][:, ::-1][:, : self.latents]
        axes = axes * np.where(axes.sum(axis=0) < 0, -1.0, 1.0)  # one sign on all machines
        encoder = np.concatenate([axes, np.zeros_like(axes)])
        decoder = np.concatenate([axes.T, np.zeros((CELLS, CELLS))])
        return to_arrays("encoder", [(encoder, np.zeros(self.latents))]) | to_arrays(
            "decoder", [(decoder, np.zeros(CELLS))]
        )
