"""Long work beside a page: in a thread, with progress, an end that can be asked for, and errors."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import panel as pn

from pixlab.errors import Cancelled, PixlabError
from pixlab.progress import Progress

__all__ = ["Task"]

logger = logging.getLogger(__name__)

_PAUSE = 0.2  # seconds between two looks at the progress


class Task:
    """One piece of work of one visitor.

    Parameters
    ----------
    work : function of a progress callback
        What is done; it ends early when that callback raises.
    shown : function of (float, str)
        Told fraction and words while it runs, in the state in which the page may be changed.
    done : function of (result, error)
        Told the end, likewise: a result, or the `PixlabError` that says why there is none.
    """

    def __init__(
        self,
        work: Callable[[Progress], Any],
        *,
        shown: Callable[[float, str], None],
        done: Callable[[Any, PixlabError | None], None],
    ) -> None:
        self._work, self._shown, self._done = work, shown, done
        self._stop = threading.Event()
        self._last = 0.0
        self._document = pn.state.curdoc
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.started = time.monotonic()
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether it is still at work."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Ask for the end; it comes with the next sign of progress."""
        self._stop.set()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end."""
        self._thread.join(timeout)

    def _progress(self, fraction: float, words: str) -> bool:
        if self._stop.is_set():
            raise Cancelled("cancelled")
        now = time.monotonic()
        if now - self._last >= _PAUSE:
            self._last = now
            self._in_page(lambda: self._shown(fraction, words))
        return True

    def _run(self) -> None:
        result, problem = None, None
        try:
            result = self._work(self._progress)
        except PixlabError as error:
            problem = error
        except Exception as error:
            logger.exception("work of the dashboard met an unexpected error")
            problem = PixlabError(
                f"unexpected {type(error).__name__}: {error}",
                "the terminal shows where it happened",
            )
        if self._stop.is_set():
            result, problem = None, Cancelled("cancelled")
        self._in_page(lambda: self._done(result, problem))

    def _in_page(self, then: Callable[[], None]) -> None:
        document = self._document
        if document is not None and document.session_context is not None:
            if not document.session_context.destroyed:
                document.add_next_tick_callback(then)
        else:
            then()
