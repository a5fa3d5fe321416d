"""`pixlab compare`: what is fine, what is not, and by how much."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pixlab.cli.base import OUTSIDE, Command, bar, print_json
from pixlab.cli.files import OUTPUT, Source, as_json, blocks, name_of, premix, reading, tolerance

if TYPE_CHECKING:
    import hist

    from pixlab.digis import Digis
    from pixlab.physics import Comparison, Tolerances
    from pixlab.simulation import Truth

__all__ = ["COMMANDS"]


@click.command(cls=Command)
@click.argument("original", type=Source())
@click.argument("decoded", type=Source())
@tolerance
@premix
@click.option(
    "--full",
    is_flag=True,
    help="Also compare after pre-mixing, make maps, and measure FPD, KPD and a classifier.",
)
@click.option(
    "--truth",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What `pixlab simulate --truth` wrote with ORIGINAL: also measure hits, tracks and seeds.",
)
@click.option("--report", type=OUTPUT, help="Write all of it as one HTML page.")
@click.option(
    "--plots",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the figures into this folder, in the style of publications.",
)
@click.option(
    "--format",
    "formats",
    type=click.Choice(["pdf", "png", "svg"]),
    multiple=True,
    default=["pdf"],
    show_default=True,
    help="What the figures are written as; may be repeated.",
)
@click.option(
    "--histograms", type=OUTPUT, help="Write histograms as CMS DQM has them to this ROOT file."
)
@reading
@as_json
def compare(
    original: Path,
    decoded: Path,
    tolerance: str,
    premix: bool,
    full: bool,
    truth: Path | None,
    report: Path | None,
    plots: Path | None,
    formats: tuple[str, ...],
    histograms: Path | None,
    as_json: bool,
    **how: Any,
) -> None:
    """Compare the physics of two files.

    Exits with 1 if DECODED is outside the tolerance in any layer, after pre-mixing too if that is
    compared.
    """
    from pixlab.physics import Tolerances, write_root
    from pixlab.physics import compare as run

    limits = Tolerances.of(tolerance)  # a wrong name shows before the work, not after
    happened = None if truth is None else _truth(truth, how["events"])
    samples: dict[str, dict[str, hist.Hist]] = {}
    sides = [
        _counted(blocks(path, **how), name, samples) if histograms else blocks(path, **how)
        for name, path in (("original", original), ("decoded", decoded))
    ]
    after = premix or (None if full else False)
    with bar("compare") as progress:
        found = run(*sides, premixed=after, deep=full, truth=happened, progress=progress)
    if histograms:
        write_root(histograms, samples)
    facts = {"original": name_of(original), "decoded": name_of(decoded)}
    _drawn(found, limits, facts, report, plots, formats)
    verdict = found.passed(limits)
    if as_json:
        print_json(found.facts() | {"verdict": verdict.to_dict()})
    else:
        click.echo(found.summary(limits))
    raise click.exceptions.Exit(0 if verdict else OUTSIDE)


def _truth(path: Path, events: slice | None) -> Truth:
    from pixlab.errors import PixlabError
    from pixlab.simulation import Truth

    if events is not None and events.start:
        raise PixlabError("--truth counts events from the first", "take --events from 0 on")
    return Truth.load(path)


def _counted(
    events: Iterator[Digis], name: str, samples: dict[str, dict[str, hist.Hist]]
) -> Iterator[Digis]:
    """Pass blocks of events on, and add up their DQM histograms."""
    from pixlab.physics import dqm

    for block in events:
        found = dqm(block)
        before = samples.get(name)
        samples[name] = found if before is None else {k: before[k] + found[k] for k in found}
        yield block


def _drawn(
    found: Comparison,
    limits: Tolerances,
    facts: dict[str, str],
    report: Path | None,
    plots: Path | None,
    formats: tuple[str, ...],
) -> None:
    """Write the page and the figures that were asked for."""
    if report is not None:
        from pixlab.plots import report as write

        with bar("report") as progress:
            write(found, report, tolerances=limits, facts=facts, progress=progress)
    if plots is not None:
        from pixlab.plots import paper

        with bar("plots") as progress:
            paper.save(found, plots, formats=formats, progress=progress)


COMMANDS = [compare]
