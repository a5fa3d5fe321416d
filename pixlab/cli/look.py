"""Commands that end in a table or a page: sweep, serve, demo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pixlab.cli.base import Command, bar, print_json
from pixlab.cli.files import as_json, load, reading, source
from pixlab.cli.knobs import CodecName, SweepCommand, codecs_from
from pixlab.cli.show import table

if TYPE_CHECKING:
    from pixlab.study import Sweep

__all__ = ["COMMANDS"]

DEMO_CODEBOOKS = (16, 64, 256, 1024, 4096)


@click.command(cls=SweepCommand)
@source
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Where the table goes (.parquet).",
)
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
    """Try codecs and knobs on SOURCE: what each setting costs and what it does to the physics."""
    from pixlab.study import sweep as run

    digis = load(source, events=events, branch=branch, detector=detector)
    with bar("sweep") as progress:
        found = run(digis, codecs_from(codecs, knobs) if codecs else None, progress=progress)
    found.save(out)
    _print_sweep(str(out), found)


COMMANDS = [sweep]
