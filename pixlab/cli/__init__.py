"""The command line: thin. Every command reads its options, calls one public function, prints.

Nothing heavy is imported before a command runs, so that help and completion answer at once.
"""

from __future__ import annotations

import click

from pixlab import __version__
from pixlab.cli import files, judge, look, study
from pixlab.cli.base import Main

__all__ = ["main"]


@click.group(cls=Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pixlab")
def main() -> None:
    """How small can simulated pixel digis become before the physics notices?

    SOURCE is a file of any readable format, or sample:NAME for an embedded sample.
    """


for command in (*files.COMMANDS, *judge.COMMANDS, *study.COMMANDS, *look.COMMANDS):
    main.add_command(command)
