"""Data to HoloViews: pure functions, no state; every figure says its quantity, unit and binning.

Values are drawn in viridis, differences in a blue-grey-orange map whose middle is grey: a pixel
with count 0 or difference 0 is seen, a pixel that is not hit is empty. Names of value dimensions
hold no underscore, because hover boxes would show "???" for them. HoloViews is loaded when the
first figure is drawn.
"""

from pixlab.plots.maps import hit_map, hit_maps, occupancy_map
from pixlab.plots.rates import rate_distortion
from pixlab.plots.spectra import spectrum_ratio

__all__ = ["hit_map", "hit_maps", "occupancy_map", "rate_distortion", "spectrum_ratio"]
