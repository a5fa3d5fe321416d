"""Figures for publications, by mplhep: the same content as on the screen, as matplotlib figures.

``paper.save(comparison, "plots")`` writes all of them as PDF; a single one is
``paper.spectrum(comparison, "charge", "BPIX 1").savefig("charge.pdf")``. No state is kept and
pyplot is not used, so that notebooks and servers can draw side by side.
"""

from pixlab.plots.paper.album import Drawing, figures, save
from pixlab.plots.paper.counts import change, confusion, front, metric, residual, spectrum
from pixlab.plots.paper.maps import modules, pixel_map, space_map

__all__ = [
    "Drawing",
    "change",
    "confusion",
    "figures",
    "front",
    "metric",
    "modules",
    "pixel_map",
    "residual",
    "save",
    "space_map",
    "spectrum",
]
