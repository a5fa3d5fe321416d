"""What `pixlab info` says of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

__all__ = ["describe_model", "is_model"]

_BEGIN = b'{"__metadata__"'  # of a safetensors file that says what it is, behind 8 bytes of length


def is_model(source: Path | str) -> bool:
    """Whether this is the file of a model, or the name of one that comes with pixlab."""
    from pixlab.codecs.pretrained import pretrained

    path = Path(source)
    if not path.is_file():
        return str(source) in pretrained()
    try:
        with path.open("rb") as file:
            return file.read(8 + len(_BEGIN))[8:] == _BEGIN
    except OSError:  # whoever reads it says why
        return False


def describe_model(source: Path | str) -> dict[str, Any]:
    """Codec, knobs, detector and size of a model.

    Returns
    -------
    dict
        ``format``, ``detector``, ``codec``, ``knobs``, ``bytes`` (of the model file) and
        ``bytes_in_pxl`` (that the model takes in a .pxl file, where it is packed).

    Raises
    ------
    PixlabError
        If the file cannot be read, or is damaged or no model.
    """
    from pixlab.codecs import load_model

    model = load_model(source)
    return {
        "format": "model",
        "detector": model.detector.name,
        "codec": model.codec.key,
        "knobs": model.codec.knobs(),
        "bytes": len(model.packed),
        "bytes_in_pxl": model.nbytes,
    }
