"""Raw CMS ids: their fields, packed and unpacked.

Every id starts with detector 1 (tracker, bits 28 to 31) and a part (bits 25 to 27): 1 barrel, 2
forward (`DataFormats/DetId/interface/DetId.h`). The fields below that differ:

* ``phase1``, also of Phase 2: `Geometry/TrackerCommonData/data/PhaseI/trackerParameters.xml` and
  ``PhaseII/trackerParameters.xml`` (the vectors pxbPars and pxfPars). In Phase 2 the blade is the
  ring of a disk, and the panel is always 1.
* ``phase0``, 2008 to 2016: read off the ids in
  `CalibTracker/SiPixelESProducers/data/PixelSkimmedGeometry.txt`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pixlab.errors import PixlabError

__all__ = ["CmsScheme", "cms_detid", "cms_fields", "suggested_by"]

CmsScheme = Literal["phase0", "phase1"]

# field -> (shift, mask)
_BARREL = {
    "phase0": {"layer": (16, 0xF), "ladder": (8, 0xFF), "module": (2, 0x3F)},
    "phase1": {"layer": (20, 0xF), "ladder": (12, 0xFF), "module": (2, 0x3FF)},
}
_FORWARD = {
    "phase0": {
        "side": (23, 0x3), "disk": (16, 0xF), "blade": (10, 0x3F), "panel": (8, 0x3),
        "module": (2, 0x3F),
    },
    "phase1": {
        "side": (23, 0x3), "disk": (18, 0xF), "blade": (12, 0x3F), "panel": (10, 0x3),
        "module": (2, 0xFF),
    },
}  # fmt: skip
_TRACKER = 1 << 28


def cms_detid(scheme: CmsScheme, **fields: ArrayLike) -> NDArray[np.uint32]:
    """Raw ids from ``layer, ladder, module`` (barrel) or ``side, disk, blade, panel, module``.

    All numbers count from 1; side 1 is negative z, 2 positive.

    Raises
    ------
    PixlabError
        If the fields are those of neither part, or one does not fit its bits.
    """
    barrel = "layer" in fields
    layout = (_BARREL if barrel else _FORWARD)[scheme]
    if set(fields) != set(layout):
        raise PixlabError(
            f"the fields {', '.join(fields) or 'none'} make no {scheme} id",
            f"give all of {', '.join(layout)}",
        )
    packed = np.array(_TRACKER | (1 if barrel else 2) << 25, np.int64)
    for name, (shift, mask) in layout.items():
        value = np.asarray(fields[name], np.int64)
        if value.size and (value.min() < 0 or value.max() > mask):
            raise PixlabError(f"a {name} does not fit the ids of {scheme}", f"give 0 to {mask}")
        packed = packed | value << shift
    return packed.astype(np.uint32)


def cms_fields(scheme: CmsScheme, detid: int) -> dict[str, int]:
    """The fields that `cms_detid` made one id of.

    Raises
    ------
    PixlabError
        If the id is of no pixel module, or has bits where the scheme has no field.
    """
    raw = int(detid)
    parts = {_TRACKER | 1 << 25: _BARREL, _TRACKER | 2 << 25: _FORWARD}
    layouts = parts.get(raw & ~((1 << 25) - 1))
    if layouts is not None:
        layout = layouts[scheme]
        fields = {name: (raw >> shift) & mask for name, (shift, mask) in layout.items()}
        if int(cms_detid(scheme, **fields)) == raw:
            return fields
    raise PixlabError(f"id {raw} is no {scheme} id of a CMS pixel module")


def suggested_by(product: str) -> tuple[str, ...]:
    """Detectors that the name of a branch suggests, ``PixelDigi…_<label>_<instance>_<process>.``.

    The instance of Phase-2 digis is ``Pixel``, that of others is empty
    (`SimTracker/SiPhase2Digitizer/plugins/Phase2TrackerDigitizer.cc`).
    """
    parts = product.rstrip(".").split("_")
    if len(parts) != 4:
        return ()
    if parts[2] == "Pixel":
        return ("phase2", "phase2-premix", "phase2-25x100", "phase2-25x100-premix")
    return ("phase1", "phase1-run3", "phase0")
