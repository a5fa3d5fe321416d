"""Tables in the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["pairs", "table"]

_WIDE = 160  # columns where the output is no terminal, so that a pipe gets whole lines


def number(value: Any) -> str:
    """A number with as many digits as a reader needs, anything else as it is."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
    return str(value)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table; all columns but the first are aligned right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for i, column in enumerate(columns):
        shown.add_column(Text(column), justify="right" if i else "left", no_wrap=i == 0)
    for row in rows:
        # Text, not str: a file name may hold what rich takes for markup
        shown.add_row(*(Text(number(value)) for value in row))
    Console(width=None if sys.stdout.isatty() else _WIDE).print(shown)


def pairs(title: str, values: Mapping[str, Any]) -> None:
    """Print a two-column table of names and values; nested mappings become tables of their own."""
    flat = {k: v for k, v in values.items() if not isinstance(v, Mapping)}
    table(title, ["", ""], flat.items())
    for name, inner in values.items():
        if isinstance(inner, Mapping) and inner:
            table(name.replace("_", " "), ["", ""], inner.items())
