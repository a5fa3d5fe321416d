"""What a raw detector id means: layer, shape, pitch, position, adc to electrons.

Nothing else in pixlab names a detector. A new one is one entry in `DETECTORS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module

from pixlab.detectors.base import Detector, Sensor
from pixlab.detectors.phase1 import phase1, phase1_detid
from pixlab.errors import PixlabError

__all__ = ["DETECTORS", "Detector", "Sensor", "get_detector", "phase1_detid"]

TABLES = (".json", ".csv", ".parquet")  # suffixes of files that describe a detector


class _Detectors(Mapping[str, Detector]):
    """Named detectors, each built when first asked for."""

    def __init__(self, builders: dict[str, Callable[[], Detector]]) -> None:
        self._builders = builders
        self._built: dict[str, Detector] = {}

    def __getitem__(self, name: str) -> Detector:
        if name not in self._builders:
            raise KeyError(name)
        if name not in self._built:
            self._built[name] = self._builders[name]()
        return self._built[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._builders)

    def __len__(self) -> int:
        return len(self._builders)


def _later(module: str, function: str, *arguments: str) -> Callable[[], Detector]:
    """A builder whose module is imported when it is first called."""
    return lambda: getattr(import_module(f"pixlab.detectors.{module}"), function)(*arguments)


# In the order in which a file without a detector's name is tried. Ids of Phase 0, of ACTS and of
# single chips are no one else's. Phase 1 and 2 share some; there, only Phase 1 has two panels, and
# only Phase 2 a ninth module on a ladder and more than one in a ring.
DETECTORS: Mapping[str, Detector] = _Detectors(
    {
        "phase1": lambda: phase1("linear"),
        "phase1-run3": lambda: phase1("run3"),
        "phase1-uniform": lambda: phase1("linear", uniform=True),
        "phase0": _later("phase0", "phase0"),
        "phase2": _later("phase2", "phase2", "50x50", "tot"),
        "phase2-premix": _later("phase2", "phase2", "50x50", "linear"),
        "phase2-25x100": _later("phase2", "phase2", "25x100", "tot"),
        "phase2-25x100-premix": _later("phase2", "phase2", "25x100", "linear"),
        "trackml": _later("generic", "generic", "trackml"),
        "acts-generic": _later("generic", "generic", "acts-generic"),
        "odd": _later("odd", "odd"),
        "fei4": _later("chips", "fei4"),
        "timepix": _later("chips", "timepix"),
    }
)


def get_detector(detector: str | Detector) -> Detector:
    """The detector itself, the named one, or that of a file for `Detector.from_file`.

    Raises
    ------
    PixlabError
        If no detector has that name, or the file is no table of a detector.
    """
    if isinstance(detector, Detector):
        return detector
    if detector in DETECTORS:
        return DETECTORS[detector]
    if str(detector).lower().endswith(TABLES):
        return Detector.from_file(detector)
    raise PixlabError(
        f"no detector is called '{detector}'",
        f"choose one of {', '.join(DETECTORS)}, or the file of a table ({', '.join(TABLES)})",
    )
