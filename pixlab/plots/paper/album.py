"""All figures of a comparison, and how they come to files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pixlab import __version__
from pixlab.errors import PixlabError
from pixlab.io.files import atomic
from pixlab.physics.metrics import METRICS
from pixlab.physics.resolution import HITS, LAYERS, TRACKS
from pixlab.physics.spectra import SPECTRA
from pixlab.physics.tolerances import TOLERANCES
from pixlab.plots.matched import pair_bins
from pixlab.plots.paper.base import layer_title, new_figure
from pixlab.plots.paper.counts import change, confusion, metric, residual, spectrum
from pixlab.plots.paper.maps import modules, pixel_map, space_map
from pixlab.plots.residuals import hit_residuals, track_residuals
from pixlab.progress import Progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pixlab.physics import Comparison

__all__ = ["Drawing", "figures", "save"]

Drawing = tuple[str, str, Callable[[], "Figure"]]


def figures(comparison: Comparison, *, layers: Sequence[str] | None = None) -> Iterator[Drawing]:
    """Everything that a comparison can be drawn as.

    Parameters
    ----------
    comparison : Comparison
        From `pixlab.compare`.
    layers : sequence of str, optional
        Layers of which spectra and changes are drawn; default: all together, and each.

    Yields
    ------
    (str, str, function)
        A name for a file, what it shows in words, and what draws it.
    """
    chosen = comparison.layers[-1:] + comparison.layers[:-1] if layers is None else tuple(layers)

    axis: Literal["row", "col"]
    quantity: Literal["d0", "z0", "pt"]

    def entry(name: str, caption: str, draw: Callable[..., Figure], *args: Any) -> Drawing:
        return name.replace(" ", "-"), caption, lambda: draw(*args)

    limited = [m for m in METRICS if any(m in limits for limits in TOLERANCES.values())]
    for name in limited:
        yield entry(f"metric-{name}", METRICS[name].meaning, metric, comparison, name)
    for layer in chosen:
        where = layer_title(layer)
        for name, spec in SPECTRA.items():
            caption = f"{spec.label}, {where}: original, decoded and their ratio"
            yield entry(f"spectrum-{name}-{layer}", caption, spectrum, comparison, name, layer)
        for name in ("response", "shift_row", "shift_col"):
            caption = f"{pair_bins(comparison, name, layer).x_label} of matched clusters, {where}"
            yield entry(f"{name}-{layer}", caption, change, comparison, name, layer)
        for axis, along in (("row", "rows"), ("col", "columns")):
            caption = f"cluster size in {along} before and after, {where}"
            yield entry(f"size-{axis}-{layer}", caption, confusion, comparison, axis, layer)
    for layer in comparison.detector.layers:
        caption = f"change of the number of digis in the modules of {layer}"
        yield entry(f"modules-{layer}", caption, modules, comparison, layer)
    if comparison.deep is not None and comparison.deep.maps is not None:
        found = comparison.deep.maps[0]
        for name in ("z_phi", "x_y"):
            for place in found[name].axes[0] if name in found else ():
                caption = f"clusters in space, {place}"
                yield entry(f"space-{place}", caption, space_map, comparison, place)
        for layer in comparison.detector.layers:
            caption = f"digis of each pixel, modules of {layer} on top of each other"
            yield entry(f"pixels-{layer}", caption, pixel_map, comparison, layer)
    if comparison.resolution is not None:
        for axis in ("row", "col"):
            for layer in chosen:
                caption = f"{HITS[axis].label} against the truth, {layer_title(layer)}"
                shown = hit_residuals(comparison, axis, layer)
                yield entry(f"hit-{axis}-{layer}", caption, residual, comparison, shown)
        for quantity in ("d0", "z0", "pt"):
            for number in LAYERS:
                caption = f"{TRACKS[quantity].label} of helix fits through {number} layers"
                name = f"track-{quantity}-{number}"
                fits = track_residuals(comparison, quantity, number)
                yield entry(name, caption, residual, comparison, fits)


def save(
    comparison: Comparison,
    folder: str | PathLike[str],
    *,
    formats: Sequence[str] = ("pdf",),
    layers: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> list[Path]:
    """Write all figures of a comparison.

    Parameters
    ----------
    comparison : Comparison
        From `pixlab.compare`.
    folder : path
        Made where it is missing; files in it of the same names are replaced.
    formats : sequence of str
        Endings that matplotlib knows: pdf, png, svg.
    layers : sequence of str, optional
        As for `figures`.
    progress : callable, optional
        Called with the fraction done.

    Raises
    ------
    PixlabError
        If a format is unknown.
    """
    known = new_figure().canvas.get_supported_filetypes()
    for ending in formats:
        if ending not in known:
            raise PixlabError(f"figures cannot be written as '{ending}'", "choose pdf, png or svg")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    drawings = list(figures(comparison, layers=layers))
    for i, (name, caption, draw) in enumerate(drawings):
        if progress is not None:
            progress(i / len(drawings), name)
        figure = draw()
        for ending in formats:
            path = folder / f"{name}.{ending}"
            about = {"Title": caption}
            about["Software" if ending == "png" else "Creator"] = f"pixlab {__version__}"
            with atomic(path) as temporary:
                figure.savefig(temporary, format=ending, dpi=150, metadata=about)
            written.append(path)
    return written
