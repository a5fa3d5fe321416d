"""ONNX graphs under construction, and the pair of them that a codec is written as.

Whole numbers are computed in double precision, where sums and products of these sizes are exact.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pixlab.errors import PixlabError

__all__ = ["Graph", "write"]

_OPSET, _IR = 17, 8
T = TypeVar("T")


def write(
    folder: Path, tables: T, encoder: Callable[[T], Any], decoder: Callable[[T], Any]
) -> tuple[Path, Path]:
    """Write ``encoder.onnx`` and ``decoder.onnx``, as these functions make them of `tables`.

    Raises
    ------
    PixlabError
        If the package ``onnx`` is not installed, or the files cannot be written.
    """
    try:
        import onnx
    except ImportError as error:
        raise PixlabError(
            "the package 'onnx' is not installed", "pip install 'pixlab[onnx]'"
        ) from error
    paths = folder / "encoder.onnx", folder / "decoder.onnx"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, make in zip(paths, (encoder, decoder), strict=True):
            graph = make(tables)
            onnx.checker.check_model(graph)
            onnx.save(graph, str(path))
    except OSError as error:
        raise PixlabError(f"cannot write to {folder}: {error.strerror}") from error
    return paths


class Graph:
    """Nodes and constants under construction."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, value: Any, kind: Any = np.float64) -> str:
        """A name for a constant."""
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        """A node; the name of what comes out."""
        from onnx import helper

        name = f"x{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def shifted(self, x: str) -> str:
        """Divided by 256, rounded down."""
        return self.add("Floor", self.add("Mul", x, self.constant(1 / 256)))

    def double(self, x: str) -> str:
        """In double precision."""
        from onnx import TensorProto

        return self.add("Cast", x, to=TensorProto.DOUBLE)

    def column(self, x: str, i: int | list[int]) -> str:
        """One column: [n]; [n, 1] if `i` is a list of it."""
        return self.add("Gather", x, self.constant(i, np.int64), axis=1)

    def model(
        self, inputs: dict[str, tuple[Any, list[Any]]], out: str, name: str, shape: list[Any]
    ) -> Any:
        """The finished model, whose output is int64."""
        from onnx import TensorProto, helper

        self.nodes.append(helper.make_node("Cast", [out], [name], to=TensorProto.INT64))
        given = [helper.make_tensor_value_info(k, t, shape) for k, (t, shape) in inputs.items()]
        result = helper.make_tensor_value_info(name, TensorProto.INT64, shape)
        graph = helper.make_graph(self.nodes, name, given, [result], self.constants)
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", _OPSET)],
            ir_version=_IR,
            producer_name="pixlab",
        )
