"""Commands that study codecs and end in a table: sweep, find, bench."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pixlab.cli.base import OUTSIDE, bar, print_json
from pixlab.cli.files import OUTPUT, as_json, name_of, premix, reading, source, split, tolerance
from pixlab.cli.knobs import (
    CodecName,
    KnobCommand,
    SweepCommand,
    checked,
    codec_from,
    codecs_from,
    knobs_of,
)
from pixlab.cli.show import ROOMY, note, table, width

if TYPE_CHECKING:
    from pixlab.study import Sweep

__all__ = ["COMMANDS", "print_sweep"]

# what a sweep is printed with: heading, only in a roomy terminal, text of a row of its table
_COLUMNS: tuple[tuple[str, bool, Callable[[dict[str, Any]], str]], ...] = (
    ("setting", False, lambda row: str(row["label"])),
    ("bits/\ndigi", False, lambda row: f"{row['bits_per_digi']:.2f}"),
    ("x ROOT\nZSTD-4", False, lambda row: f"{row['ratio_root_zstd4']:.1f}"),
    ("model\nkB", True, lambda row: f"{row['model_bytes'] / 1e3:.1f}"),
    ("write\nMdigi/s", True, lambda row: _speed(row, "encode")),
    ("read\nMdigi/s", True, lambda row: _speed(row, "decode")),
    ("charge\nrms %", False, lambda row: _metric(row, "charge_rms")),
    ("same\nsize %", False, lambda row: _metric(row, "size_unchanged")),
    ("occup.\n%", True, lambda row: _metric(row, "occupancy")),
    ("effic.\n%", False, lambda row: _metric(row, "efficiency")),
    ("fakes\n%", False, lambda row: _metric(row, "fakes")),
    ("inside", False, lambda row: str(row["inside"])),
)
_LEGEND = """Fitted on {fitted_on}, measured on {measured_on}. bits/digi: every byte of the file, the model spread
over 1,000 events. ROOT: {root_reference}. Times are CPU times. Clusters of all layers: rms of the
relative charge, share with unchanged size_row and size_col, change of occupancy, efficiency, fakes.
inside: the strictest tolerances that every layer is inside (transparent, analysis, loose)."""
_FLOORS = """Lossless coding of these events needs, estimated from them: {positions:.2f} bits/digi for where clusters
begin, {shapes:.2f} for their shapes, and {noise:.2f} for the noise of the readout alone."""

# what a search is printed with, likewise
_TRAIL: tuple[tuple[str, bool, Callable[[dict[str, Any]], str]], ...] = (
    ("setting", False, lambda row: str(row["label"])),
    ("step", True, lambda row: str(row["step"])),
    ("bits/\ndigi", False, lambda row: f"{row['bits_per_digi']:.2f}"),
    ("allowance\nused", False, lambda row: f"{row['used']:.0%}"),
    ("inside", False, lambda row: "yes" if row["inside"] else "no"),
    ("worst check", True, lambda row: str(row["worst"])),
)


def _metric(row: dict[str, Any], name: str) -> str:
    from pixlab.physics import METRICS

    return METRICS[name].format(float(row[name]))


def _speed(row: dict[str, Any], verb: str) -> str:
    return f"{row['digis'] / max(row[f'{verb}_cpu_s'], 1e-9) / 1e6:.1f}"


def print_sweep(title: str, sweep: Sweep) -> None:
    """One line a setting: cost, what happened to the physics, verdict."""
    room = width() >= ROOMY
    columns = [(heading, text) for heading, wide, text in _COLUMNS if room or not wide]
    rows = sweep.table.to_dict(orient="records")
    table(title, [h for h, _ in columns], ([text(row) for _, text in columns] for row in rows))
    note(_LEGEND.format(**sweep.provenance))
    if all(bits == bits for bits in sweep.floors.values()) and sweep.floors:
        note(_FLOORS.format(**sweep.floors))


def _print_layers(sweep: Sweep, metric: str) -> None:
    """One line a setting, one column a layer."""
    from pixlab.physics import METRICS

    what = METRICS[metric]
    tables = [sweep.comparison(i).table for i in range(len(sweep))]
    rows = (
        [label, *(what.format(value) for value in found.loc[metric])]
        for label, found in zip(sweep.table["label"], tables, strict=True)
    )
    unit = f" [{what.unit}]" if what.unit else ""
    table(f"{what.label}{unit}", ["setting", *tables[0].columns], rows)


fit_events = click.option(
    "--fit-events",
    type=click.IntRange(1),
    help="Events from the beginning to fit on; the rest is measured.  [default: half]",
)


@click.command(cls=SweepCommand)
@source
@click.option("--out", type=OUTPUT, required=True, help="Where the table goes (.parquet).")
@click.option(
    "--codec",
    "codecs",
    type=CodecName(),
    multiple=True,
    help="A codec to try; may be repeated. Its knobs take lists: --codebook-size 16,64",
)
@fit_events
@click.option("--jobs", type=click.IntRange(1), help="Processes at a time.  [default: one a core]")
@click.option(
    "--per-layer", multiple=True, metavar="METRIC", help="Print this metric of every layer too."
)
@premix
@reading
@as_json
def sweep(
    source: Path,
    out: Path,
    codecs: tuple[str, ...],
    fit_events: int | None,
    jobs: int | None,
    per_layer: tuple[str, ...],
    premix: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Try codecs and knobs on SOURCE and print one table.

    It says what each setting costs and what it does to the physics; OUT keeps the models too. A sweep
    that was interrupted goes on where it stopped when the same command is given again.
    """
    from pixlab.study import sweep as run
    from pixlab.study.table import check_metrics

    check_metrics(per_layer)
    how, knobs = split(options)
    with bar("sweep") as progress:
        found = run(
            source,
            codecs_from(codecs, knobs) if codecs else None,
            out=out,
            fit_events=fit_events,
            source=name_of(source),
            premixed=premix,
            jobs=jobs,
            progress=progress,
            **{key: value for key, value in how.items() if value is not None},
        )
    if as_json:
        rows = found.plain.to_dict(orient="records")
        for i, row in enumerate(rows):
            if per_layer:
                values = found.comparison(i).table.loc[list(per_layer)]
                row["layers"] = values.to_dict(orient="index")
        print_json(rows)
    else:
        print_sweep(str(out), found)
        for metric in per_layer:
            _print_layers(found, metric)


class _Space(click.ParamType[tuple[str, Any]]):
    """KNOB=LOW:HIGH or KNOB=VALUE,VALUE,…"""

    name = "knob=low:high"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Any]:
        """The knob, and a pair or a list."""
        if isinstance(value, tuple):
            return value
        knob, equals, text = str(value).partition("=")
        if not equals or not text:
            self.fail(f"'{value}' is no KNOB=LOW:HIGH and no KNOB=VALUE,VALUE", param, ctx)
        name = knob.replace("-", "_")
        if ":" not in text:
            return name, [_number(part) for part in text.split(",")]
        low, _, high = text.partition(":")
        try:
            return name, (float(low), float(high))
        except ValueError:
            self.fail(f"'{text}' is no range of numbers", param, ctx)


def _number(text: str) -> Any:
    """A value of a knob: a number if it looks like one."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


@click.command(cls=KnobCommand)
@source
@click.option(
    "--codec",
    "codecs",
    type=CodecName(),
    multiple=True,
    required=True,
    help="A codec to look at; may be repeated. A knob that is given keeps its value.",
)
@tolerance
@click.option(
    "--search",
    "spaces",
    type=_Space(),
    multiple=True,
    help="Turn this knob in a range (levels=4:64) or among values (spacing=log,uniform); may be "
    "repeated.  [default: the knobs that trade rate for quality]",
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Part of each allowance to leave unused.",
)
@premix
@click.option("--out", type=OUTPUT, help="Save the model of the cheapest setting.")
@fit_events
@reading
@as_json
def find(
    source: Path,
    codecs: tuple[str, ...],
    tolerance: str,
    spaces: tuple[tuple[str, Any], ...],
    margin: float,
    premix: bool,
    out: Path | None,
    fit_events: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Find the cheapest setting of a codec within a tolerance.

    Knobs are turned by bisection; every setting is fitted on the first half of SOURCE and measured on
    the second, in every layer. Exits with 1 if nothing is inside the tolerance.
    """
    from pixlab.study import find as run

    how, given = split(options)
    kept = {name: value for name, value in given.items() if value is not None}
    starts = [
        codec_from(name, {k: v for k, v in kept.items() if k in knobs_of(checked(name))})
        for name in codecs
    ]
    knobs = {name: None for codec in starts for name in codec.searched if name not in kept}
    with bar("find") as progress:
        found = run(
            source,
            starts,
            tolerance,
            knobs=dict(spaces) or knobs,
            margin=margin,
            premixed=premix,
            fit_events=fit_events,
            source=name_of(source),
            progress=progress,
            **{key: value for key, value in how.items() if value is not None},
        )
    if out is not None and found:
        found.model.save(out)
    if as_json:
        trail = found.trail.to_dict(orient="records")
        best = found.best.plain.to_dict(orient="records")
        facts = {"tolerances": found.tolerances.name, "inside": bool(found)}
        print_json(facts | {"passed": found.passed, "best": best, "trail": trail})
    else:
        rows = found.trail.to_dict(orient="records")
        columns = [
            (heading, text) for heading, wide, text in _TRAIL if width() >= ROOMY or not wide
        ]
        table(
            name_of(source),
            [h for h, _ in columns],
            ([text(row) for _, text in columns] for row in rows),
        )
        print_sweep("the best of each codec", found.best)
        click.echo(str(found))
    raise click.exceptions.Exit(0 if found else OUTSIDE)


# what a bench is printed with, likewise
_BENCH: tuple[tuple[str, bool, Callable[[dict[str, Any]], str]], ...] = (
    ("codec", False, lambda row: str(row["label"])),
    ("bits/\ndigi", False, lambda row: f"{row['bits_per_digi']:.2f}"),
    ("x ROOT\nZSTD-4", False, lambda row: f"{row['ratio_root_zstd4']:.2f}"),
    ("x ROOT\nLZMA-4", True, lambda row: f"{row['ratio_root_lzma4']:.2f}"),
    ("encode\n1 core", False, lambda row: f"{row['encode_mdigi_s']:.1f}"),
    ("decode\n1 core", False, lambda row: f"{row['decode_mdigi_s']:.1f}"),
    ("encode\nall", True, lambda row: f"{row['encode_all_mdigi_s']:.1f}"),
    ("decode\nall", True, lambda row: f"{row['decode_all_mdigi_s']:.1f}"),
    ("speed-\nup", False, lambda row: f"{row['encode_speedup']:.1f}"),
    ("speed-\nup", True, lambda row: f"{row['decode_speedup']:.1f}"),
    ("memory\nMB", False, lambda row: f"{row['memory_mb']:.0f}"),
    ("inside", False, lambda row: str(row["inside"])),
)
_BENCH_LEGEND = """Fitted on {fitted_on}, measured on {measured_on}. bits/digi: every byte of the file, the model
spread over 1,000 events. x ROOT: {root_reference}. Speeds in Mdigi/s: CPU time on one core, elapsed
time on all {cores}; speed-up: elapsed time on one core over that on all, encoding{and_decoding}. Of ROOT
only the time inside ROOT counts. Memory: of the process, all that it had loaded included. inside: the
strictest tolerances that every layer is inside."""


@click.command(cls=SweepCommand)
@source
@click.option(
    "--codec",
    "codecs",
    type=CodecName(),
    multiple=True,
    help="Who takes part; may be repeated.  [default: all that are installed]",
)
@click.option(
    "--repeats",
    type=click.IntRange(1),
    default=3,
    show_default=True,
    help="How often each time is taken; the best counts.",
)
@click.option(
    "--parallel/--no-parallel", default=True, show_default=True, help="Measure all cores too."
)
@fit_events
@reading
@as_json
def bench(
    source: Path,
    codecs: tuple[str, ...],
    repeats: int,
    parallel: bool,
    fit_events: int | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Own and foreign codecs side by side: bytes, speed, memory.

    All are measured in one run on the same events of SOURCE, the second half; models are fitted on the
    first.
    """
    from pixlab.study import bench as run

    how, knobs = split(options)
    with bar("bench") as progress:
        found = run(
            source,
            codecs_from(codecs, knobs) if codecs else None,
            repeats=repeats,
            parallel=parallel,
            fit_events=fit_events,
            source=name_of(source),
            progress=progress,
            **{key: value for key, value in how.items() if value is not None},
        )
    if as_json:
        print_json(found.to_dict())
        return
    room = width() >= ROOMY
    columns = [(heading, text) for heading, wide, text in _BENCH if room or not wide]
    rows = found.table.to_dict(orient="records")
    headings = [heading for heading, _ in columns]
    table(found.source, headings, ([text(row) for _, text in columns] for row in rows))
    note(_BENCH_LEGEND.format(**found.provenance, and_decoding=", decoding" if room else ""))


COMMANDS = [sweep, find, bench]
