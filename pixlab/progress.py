"""How long work reports itself: a callback, and the bar that shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pixlab.errors import Cancelled

__all__ = ["Progress", "progress_bar", "tell"]

# called with the fraction that is done (0 to 1) and a word on what is going on; work that says so
# is ended by an exception or by returning False
Progress = Callable[[float, str], bool | None]


def tell(progress: Progress | None, done: float, what: str) -> None:
    """Report, and stop where the answer is False.

    Raises
    ------
    Cancelled
        If it is.
    """
    if progress is not None and progress(done, what) is False:
        raise Cancelled(f"cancelled while at: {what}" if what else "cancelled")


@contextmanager
def progress_bar(title: str, *, show: bool = True) -> Iterator[Progress]:
    """A progress bar with time left, on standard error of a terminal or in a notebook cell."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    bar = RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not show,
    )
    with bar:
        task = bar.add_task(title, total=1.0)
        yield lambda done, what: bar.update(
            task, completed=done, description=f"{title}: {what}" if what else title
        )
