"""Data to HoloViews: pure functions, no state; every figure says its quantity, unit and binning.

Values are drawn in viridis, differences in a blue-grey-orange map whose middle is grey: a pixel
with count 0 or difference 0 is seen, a pixel that is not hit is empty. Names of value dimensions
hold no underscore, because hover boxes would show "???" for them. HoloViews is loaded when the
first figure is drawn. `pixlab.plots.paper` draws the same for publications, `report` puts all of it
on one page.
"""

from pixlab.plots import paper
from pixlab.plots.codes import code_pictures, code_usage
from pixlab.plots.fronts import verdict_points
from pixlab.plots.maps import hit_map, hit_maps, occupancy_map
from pixlab.plots.page import report
from pixlab.plots.points import sweep_points
from pixlab.plots.rates import rate_distortion, verdict_front
from pixlab.plots.residuals import hit_residuals, track_residuals
from pixlab.plots.spectra import spectrum_ratio
from pixlab.plots.training import LiveTraining, training
from pixlab.plots.validation import (
    cluster_change,
    layer_metric,
    module_changes,
    residual_spectra,
    size_confusion,
)

__all__ = [
    "LiveTraining",
    "cluster_change",
    "code_pictures",
    "code_usage",
    "hit_map",
    "hit_maps",
    "hit_residuals",
    "layer_metric",
    "module_changes",
    "occupancy_map",
    "paper",
    "rate_distortion",
    "report",
    "residual_spectra",
    "size_confusion",
    "spectrum_ratio",
    "sweep_points",
    "track_residuals",
    "training",
    "verdict_front",
    "verdict_points",
]
