"""Fully connected networks in integers, for encoders and decoders that give the same on every machine.

Inputs, weights and outputs are in 1/256; a layer is a sum of products, a shift, a bias and, but for
the last one, a ReLU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixlab.coding.bits import kernel
from pixlab.errors import FormatError

__all__ = ["ONE", "Layers", "to_arrays", "to_integers"]

Array = NDArray[Any]
ONE = 256  # what stands for 1
_MOST = 1 << 24  # of an activation, so that sums of products stay far within 64 bits
_WIDEST = 1024


class Layers:
    """A network that a model carries.

    Parameters
    ----------
    name : str
        Of the arrays in the model, ``name.0.weight`` (int16[inputs, outputs]), ``name.0.bias``
        (int16[outputs]) and so on.
    arrays : mapping of str to array
        Of the model.
    n_layers, n_inputs, n_outputs : int
        Of the network.

    Raises
    ------
    FormatError
        If arrays are missing or damaged.
    """

    def __init__(
        self,
        name: str,
        arrays: Mapping[str, Array],
        n_layers: int,
        n_inputs: int,
        n_outputs: int,
    ) -> None:
        self._layers: list[tuple[Array, Array]] = []
        width = n_inputs
        for i in range(n_layers):
            weight, bias = (arrays.get(f"{name}.{i}.{part}") for part in ("weight", "bias"))
            if weight is None or bias is None:
                raise FormatError(f"the model has no layer {i} of the network '{name}'")
            good = (
                weight.ndim == 2
                and weight.shape[0] == width
                and bias.shape == weight.shape[1:]
                and 1 <= weight.shape[1] <= _WIDEST
                and weight.dtype == bias.dtype == np.int16
            )
            if not good:
                raise FormatError(f"'{name}': the network of the model is damaged")
            self._layers.append((weight.astype(np.int64), bias.astype(np.int64)))
            width = weight.shape[1]
        if width != n_outputs:
            raise FormatError(f"'{name}': the network of the model is damaged")

    @staticmethod
    def needs(name: str, n_layers: int) -> tuple[str, ...]:
        """Arrays that a model must have."""
        return tuple(f"{name}.{i}.{part}" for i in range(n_layers) for part in ("weight", "bias"))

    def __call__(self, x: NDArray[np.int64]) -> NDArray[np.int64]:
        """Outputs: int64[n, outputs] for int64[n, inputs]."""
        for i, (weight, bias) in enumerate(self._layers):
            y = np.empty((len(x), weight.shape[1]), np.int64)
            _layer(np.ascontiguousarray(x), weight, bias, i < len(self._layers) - 1, y)
            x = y
        return x


def to_integers(weights: Any) -> NDArray[np.int16]:
    """Weights in 1/256."""
    return np.clip(np.rint(np.asarray(weights) * ONE), -32768, 32767).astype(np.int16)


def to_arrays(name: str, layers: Sequence[tuple[Any, Any]]) -> dict[str, Array]:
    """The arrays of a model for (weight [inputs, outputs], bias [outputs]) of each layer."""
    found: dict[str, Array] = {}
    for i, (weight, bias) in enumerate(layers):
        found |= {f"{name}.{i}.weight": to_integers(weight), f"{name}.{i}.bias": to_integers(bias)}
    return found


@kernel
def _layer(x, weight, bias, rectify, y):  # type: ignore[no-untyped-def]
    for i in range(x.shape[0]):
        for o in range(y.shape[1]):
            y[i, o] = 0
        for k in range(x.shape[1]):
            value = min(max(x[i, k], -_MOST), _MOST)
            if value != 0:
                for o in range(y.shape[1]):
                    y[i, o] += value * weight[k, o]
        for o in range(y.shape[1]):
            total = (y[i, o] >> 8) + bias[o]
            y[i, o] = max(total, 0) if rectify else total
