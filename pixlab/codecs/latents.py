"""Discrete latents as awkward arrays, [event][record]: what a generative model samples.

`cluster_latents` and `tile_latents` say what the records of a codec are; here is how they are checked,
and kept as parquet.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pixlab.errors import PixlabError

if TYPE_CHECKING:
    import awkward

__all__ = ["event_of", "read_tokens", "reading", "whole", "write_tokens"]


@contextmanager
def reading(key: str) -> Iterator[None]:
    """Refuse, in one line, what is no latents of the codec called `key`.

    Raises
    ------
    PixlabError
        If fields are missing, or not of whole numbers.
    """
    import awkward as ak

    try:
        yield
    except (ak.errors.FieldNotFoundError, ValueError, TypeError, AttributeError) as error:
        raise PixlabError(
            f"these are no latents of codec '{key}': {str(error).splitlines()[0]}",
            "model.tokens makes them",
        ) from error


def event_of(tokens: awkward.Array) -> NDArray[np.int64]:
    """The event of each record of latents, from 0: int64[n].

    Raises
    ------
    TypeError
        If an event is missing.
    """
    import awkward as ak

    return np.repeat(np.arange(len(tokens)), whole(ak.num(tokens, axis=1)))


def whole(column: Any) -> NDArray[np.int64]:
    """A column without gaps: int64[n].

    Raises
    ------
    TypeError
        If it has other things than whole numbers or yes and no.
    """
    import awkward as ak

    values = ak.to_numpy(column)
    if values.dtype.kind not in "iub" or np.ma.is_masked(values):
        raise TypeError("a field that should hold whole numbers has others, or gaps")
    return np.asarray(values).astype(np.int64)


def write_tokens(tokens: awkward.Array, path: str | os.PathLike[str]) -> None:
    """Write latents as parquet, under a temporary name first; `read_tokens` reads them.

    Raises
    ------
    PixlabError
        If the file cannot be written.
    """
    import awkward as ak

    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        ak.to_parquet(tokens, temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise PixlabError(f"cannot write {path}: {error.strerror}") from error
    finally:
        temporary.unlink(missing_ok=True)


def read_tokens(path: str | os.PathLike[str]) -> awkward.Array:
    """Read what `write_tokens` wrote.

    Raises
    ------
    PixlabError
        If the file cannot be read.
    """
    import awkward as ak
    from pyarrow import ArrowException

    try:
        return ak.from_parquet(path)
    except (OSError, ArrowException, ValueError) as error:
        raise PixlabError(
            f"cannot read latents from {path}: {str(error).splitlines()[0]}", "check the path"
        ) from error
