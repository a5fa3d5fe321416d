"""Small embedded samples, so that nobody needs an account or a download to begin.

>>> import pixlab
>>> [*pixlab.samples.list()]
['phase1-pu60', 'phase1-pu200', 'phase2-pu200']
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pixlab.errors import PixlabError

if TYPE_CHECKING:
    from pixlab.digis import Digis

__all__ = ["list", "load", "path", "sweep_path"]

_HERE = Path(__file__).parent
# name -> what it holds; scripts/make_samples.py writes the files
_DESCRIPTIONS = {
    "phase1-pu60": "10 minimum-bias events in the CMS Phase-1 detector, mean pile-up 60, "
    "made by pixlab.simulate (seed 60)",
    "phase1-pu200": "4 minimum-bias events in the CMS Phase-1 detector, mean pile-up 200, "
    "made by pixlab.simulate (seed 200)",
    "phase2-pu200": "1 minimum-bias event in the CMS Phase-2 Inner Tracker (50 x 50 um, 4-bit time "
    "over threshold), mean pile-up 200, made by pixlab.simulate (seed 200)",
}


def list() -> dict[str, str]:
    """Names of the samples, and what each holds in one line."""
    return dict(_DESCRIPTIONS)


def path(name: str) -> Path:
    """The .pxl file of a sample.

    Raises
    ------
    PixlabError
        If there is no sample of that name, or its file was not installed.
    """
    if name not in _DESCRIPTIONS:
        raise PixlabError(
            f"no sample is called '{name}'", f"choose one of {', '.join(_DESCRIPTIONS)}"
        )
    return _installed(_HERE / f"{name}.pxl", "python scripts/make_samples.py")


def load(name: str) -> Digis:
    """The digis of a sample.

    Raises
    ------
    PixlabError
        As `path`; or if the file is damaged.
    """
    from pixlab.io import read

    return read(path(name))


def sweep_path(name: str = "phase1-pu60") -> Path:
    """The table of the sweep that is shipped with a sample, for the dashboard's first view.

    Raises
    ------
    PixlabError
        If there is no sample of that name, or its sweep was not installed.
    """
    beside = path(name).with_suffix(".sweep.parquet")
    return _installed(beside, f"pixlab sweep {path(name)} --out {beside}")


def _installed(file: Path, remedy: str) -> Path:
    if not file.is_file():
        raise PixlabError(f"{file} is not installed", f"make it with: {remedy}")
    return file
