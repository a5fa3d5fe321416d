"""Commands that end in a table or a page: sweep, serve, demo."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pixlab.cli.base import Command, bar, print_json
from pixlab.cli.files import OUTPUT, Source, as_json, load, name_of, reading, source
from pixlab.cli.knobs import CodecName, SweepCommand, codecs_from
from pixlab.cli.show import ROOMY, note, table, width

if TYPE_CHECKING:
    from pixlab.study import Sweep

__all__ = ["COMMANDS"]

DEMO_SAMPLE = "phase1-pu60"
DEMO_CODEBOOKS = [16, 64, 256, 1024, 4096]

# what a sweep is printed with: heading, only in a roomy terminal, text of a row of its table
_COLUMNS: tuple[tuple[str, bool, Callable[[dict[str, Any]], str]], ...] = (
    ("setting", False, lambda row: str(row["label"])),
    ("bits/\ndigi", False, lambda row: f"{row['bits_per_digi']:.2f}"),
    ("x ROOT\nZSTD-4", False, lambda row: f"{row['ratio_root_zstd4']:.1f}"),
    ("model\nkB", True, lambda row: f"{row['model_bytes'] / 1e3:.1f}"),
    ("write\nMdigi/s", True, lambda row: f"{row['digis'] / row['encode_s'] / 1e6:.1f}"),
    ("read\nMdigi/s", True, lambda row: f"{row['digis'] / row['decode_s'] / 1e6:.1f}"),
    ("charge\nrms %", False, lambda row: _metric(row, "charge_rms")),
    ("same\nsize %", False, lambda row: _metric(row, "size_unchanged")),
    ("occup.\n%", True, lambda row: _metric(row, "occupancy")),
    ("effic.\n%", False, lambda row: _metric(row, "efficiency")),
    ("fakes\n%", False, lambda row: _metric(row, "fakes")),
    ("inside", False, lambda row: _verdict(row)),
)
_LEGEND = """Fitted on {fitted_on}, measured on {measured_on}. bits/digi: every byte of the file, the model spread
over 1,000 events. ROOT: the same events as ROOT compresses them. Clusters of all layers: rms of the
relative charge, share with unchanged size_row and size_col, change of occupancy, efficiency, fakes.
inside: the strictest tolerances that every layer is inside (transparent, analysis, loose)."""


def _metric(row: dict[str, Any], name: str) -> str:
    from pixlab.physics import METRICS

    return METRICS[name].format(float(row[name]))


def _verdict(row: dict[str, Any]) -> str:
    """The strictest tolerances that a row of a sweep is inside, or "none"."""
    from pixlab.physics import TOLERANCES, Comparison

    found = Comparison.from_json(row["comparison"])
    return next((name for name in TOLERANCES if found.passed(name)), "none")


def print_sweep(title: str, sweep: Sweep) -> None:
    """One line a setting: cost, what happened to the physics, verdict."""
    room = width() >= ROOMY
    columns = [(heading, text) for heading, wide, text in _COLUMNS if room or not wide]
    rows = sweep.table.to_dict(orient="records")
    table(title, [h for h, _ in columns], ([text(row) for _, text in columns] for row in rows))
    note(_LEGEND.format(**sweep.provenance))


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
@reading
@as_json
def sweep(
    source: Path,
    out: Path,
    codecs: tuple[str, ...],
    as_json: bool,
    events: slice | None,
    branch: str | None,
    detector: str | None,
    **knobs: Any,
) -> None:
    """Try codecs and knobs on SOURCE and print one table.

    It says what each setting costs and what it does to the physics; OUT keeps the models too.
    """
    from pixlab.study import sweep as run

    digis = load(source, events=events, branch=branch, detector=detector)
    chosen = codecs_from(codecs, knobs) if codecs else None
    with bar("sweep") as progress:
        found = run(digis, chosen, source=name_of(source), progress=progress)
    found.save(out)
    if as_json:
        hidden = ("model", "comparison")
        rows = found.table.drop(columns=[c for c in hidden if c in found.table])
        print_json(rows.to_dict(orient="records"))
    else:
        print_sweep(str(out), found)


def _open_page(sources: Sequence[Any], port: int, show: bool) -> None:
    from pixlab.dashboards import serve as run

    hub = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")  # set by SWAN, Binder and other hubs
    if hub and port:
        click.echo(f"From outside this hub: {hub}proxy/{port}/")
    run(sources, port=port, show=show and not hub)


port = click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=5006,
    show_default=True,
    help="Where to listen on 127.0.0.1; 0 takes any free port.",
)


@click.command(cls=Command)
@click.argument("sources", type=Source(), nargs=-1)
@port
@click.option("--show/--no-show", default=True, help="Open a browser.")
def serve(sources: tuple[Path, ...], port: int, show: bool) -> None:
    """Open the dashboard on tables or event files.

    Tables are made by `pixlab sweep`; an event file is swept first. Without SOURCES: the embedded sample.
    """
    _open_page(sources, port, show)


@click.command(cls=Command)
@click.option("--serve/--no-serve", "and_serve", default=True, help="End in the dashboard.")
@port
@click.option("--show/--no-show", default=True, help="Open a browser.")
def demo(and_serve: bool, port: int, show: bool) -> None:
    """Do the main job on the embedded sample.

    In under a minute codebooks of several sizes are fitted, and with each of them the events are compressed,
    decompressed and compared. A table comes first, then the dashboard.
    """
    from pixlab import samples
    from pixlab.study import sweep as run

    sizes: list[Any] = list(DEMO_CODEBOOKS)
    codecs = codecs_from(["lossless", "cluster-vq", "patch-vq"], {"codebook_size": sizes})
    with bar("demo") as progress:
        found = run(samples.load(DEMO_SAMPLE), codecs, source=DEMO_SAMPLE, progress=progress)
    print_sweep(f"{DEMO_SAMPLE}: {samples.list()[DEMO_SAMPLE]}", found)
    if and_serve:
        _open_page([found], port, show)


COMMANDS = [sweep, serve, demo]
