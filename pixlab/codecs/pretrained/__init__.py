"""Models that come with pixlab; ``scripts/train_pretrained.py`` makes them, README.md has figures."""

from __future__ import annotations

from pathlib import Path

__all__ = ["FOLDER", "path", "pretrained"]

FOLDER = Path(__file__).parent


def pretrained() -> list[str]:
    """Names that `load_model` knows."""
    return sorted(file.stem for file in FOLDER.glob("*.safetensors"))


def path(name: str) -> Path | None:
    """The file of a model that comes with pixlab, None if there is none of that name."""
    return FOLDER / f"{name}.safetensors" if name in pretrained() else None
