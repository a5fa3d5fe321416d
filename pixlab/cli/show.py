"""Tables in the terminal."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import click

__all__ = ["ROOMY", "note", "pairs", "table", "width"]

ROOMY = 124  # columns of a terminal in which the widest table fits
_WIDE = 160  # columns where the output is no terminal, so that a pipe gets whole lines


def width() -> int:
    """Columns that a table may take."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDE


def number(value: Any) -> str:
    """A number with as many digits as a reader needs, anything else as it is."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; all columns but the first are aligned right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    tight = width() < ROOMY
    shown = Table(
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=not tight,
        padding=(0, 0, 0, 0 if tight else 1),
    )
    first, *others = columns
    shown.add_column(Text(first), overflow="fold", vertical="bottom")  # gives way to numbers
    for column in others:
        shown.add_column(Text(column), justify="right", no_wrap=True, vertical="bottom")
    for row in rows:
        # Text, not str: a file name may hold what rich takes for markup
        shown.add_row(*(Text(number(value)) for value in row))
    Console(width=width()).print(shown)


def note(text: str) -> None:
    """Print a paragraph below a table."""
    click.echo(click.wrap_text(" ".join(text.split()), min(width(), 100)))


def pairs(title: str, values: Mapping[str, Any]) -> None:
    """Print names and values below a title; nested mappings are indented."""
    lines = [title, *_lines(values, "  ")]
    click.echo("\n".join(lines))


def _lines(values: Mapping[str, Any], indent: str) -> Iterator[str]:
    wide = max((len(name) for name in values), default=0)
    right = max((len(number(v)) for v in values.values() if isinstance(v, (int, float))), default=0)
    for name, value in values.items():
        label = str(name).replace("_", " ")
        if isinstance(value, Mapping):
            yield f"{indent}{label}"
            yield from _lines(value, indent + "  ")
        elif isinstance(value, (int, float)):
            yield f"{indent}{label:<{wide}}  {number(value):>{right}}"
        else:
            yield f"{indent}{label:<{wide}}  {number(value)}"
