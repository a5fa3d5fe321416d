"""Instructions that numba has no name for, and how coding kernels are compiled."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic

from pixlab.jit import kernel

__all__ = ["bit_length", "count_ones", "kernel", "trailing_zeros"]

_U64 = types.uint64


@intrinsic
def trailing_zeros(typing: Any, x: Any) -> Any:
    """How many of the lowest bits of a uint64 are 0: 64 for 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], context.get_constant(types.boolean, False))

    return _U64(_U64), generate


@intrinsic
def bit_length(typing: Any, x: Any) -> Any:
    """Bits that a uint64 needs: 0 for 0."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        zeros = builder.ctlz(args[0], context.get_constant(types.boolean, False))
        return builder.sub(context.get_constant(_U64, 64), zeros)

    return _U64(_U64), generate


@intrinsic
def count_ones(typing: Any, x: Any) -> Any:
    """How many bits of a uint64 are 1."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return _U64(_U64), generate
