"""Bokeh figures that stay as they are while what they show changes.

A figure is built once; `show` gives it other columns, which is all that goes to the browser. That
makes a change of model some twenty times cheaper than drawing anew, and leaves zoom and tools alone.
"""

from pixlab.plots.live.codebook import Gallery, UsagePlot
from pixlab.plots.live.hits import Hits, ModuleMap
from pixlab.plots.live.overview import OverviewMap
from pixlab.plots.live.rates import RatePlot
from pixlab.plots.live.spectra import PairPlot, SpectrumPlot
from pixlab.plots.live.tiles import TileMap

__all__ = [
    "Gallery",
    "Hits",
    "ModuleMap",
    "OverviewMap",
    "PairPlot",
    "RatePlot",
    "SpectrumPlot",
    "TileMap",
    "UsagePlot",
]
