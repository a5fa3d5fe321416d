"""Commands that end in a page: serve, demo."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pixlab.cli.base import Command, bar
from pixlab.cli.files import Source
from pixlab.cli.knobs import codecs_from
from pixlab.cli.study import print_sweep

__all__ = ["COMMANDS"]

DEMO_SAMPLE = "phase1-pu60"
DEMO_CODEBOOKS = [16, 64, 256, 1024, 4096]


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
    codecs = codecs_from(["lossless", "cluster-vq"], {})
    codecs += codecs_from(["patch-vq"], {"codebook_size": sizes})
    with bar("demo") as progress:
        found = run(samples.load(DEMO_SAMPLE), codecs, source=DEMO_SAMPLE, progress=progress)
    print_sweep(f"{DEMO_SAMPLE}: {samples.list()[DEMO_SAMPLE]}", found)
    if and_serve:
        _open_page([found], port, show)


COMMANDS = [serve, demo]
