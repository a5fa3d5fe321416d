"""Tasks on all cores, each in a process of its own.

::

    run ──stdin: split, tasks (JSON lines)──► python -m pixlab.study
        ◄─stdout: progress, done, failed ──── results in files

Processes and not threads: a task's CPU time is its own, whatever it loads cannot harm the others,
and it can be ended at any moment. They are started afresh (no fork, which threads do not survive,
and no import of the user's script) and end when their standard input does: a sweep that is killed
leaves nothing running.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pixlab import errors
from pixlab.errors import PixlabError
from pixlab.study.journal import write_result
from pixlab.study.split import Split
from pixlab.study.tasks import perform

__all__ = ["main", "run"]

_POLL = 0.1  # seconds after which progress is told, though nothing has happened
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class _Worker:
    """One process, and the task it is at."""

    def __init__(
        self, split: Split, alone: bool, replies: queue.Queue[tuple[_Worker, dict[str, Any]]]
    ) -> None:
        here = str(Path(__file__).parents[2])
        path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
        self.task: int | None = None
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pixlab.study"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ
            | {"PYTHONPATH": path}
            | ({} if alone else dict.fromkeys(_ONE_THREAD, "1")),
        )
        self._last_words: list[str] = []
        self._listeners = [
            threading.Thread(target=self._listen, args=(replies,), daemon=True),
            threading.Thread(target=self._note, daemon=True),
        ]
        for thread in self._listeners:
            thread.start()
        self._say(asdict(split))

    def _listen(self, replies: queue.Queue[tuple[_Worker, dict[str, Any]]]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            replies.put((self, json.loads(line)))
        replies.put((self, {"gone": True}))

    def _note(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._last_words = [*self._last_words[-4:], line.strip()]

    def _say(self, message: Any) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # `_listen` tells that it is gone
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def start(self, number: int, task: dict[str, Any], path: Path) -> None:
        self.task = number
        self._say({"task": task, "path": str(path)})

    def how_it_ended(self) -> str:
        code = self._process.wait()
        self._listeners[1].join(1.0)
        words = " ".join(self._last_words[-1:])
        return f"exit status {code}" + (f": {words}" if words else "")

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for thread in self._listeners:
            thread.join()
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(BrokenPipeError):
                if pipe is not None:
                    pipe.close()


def run(
    tasks: Sequence[tuple[dict[str, Any], Path]],
    split: Split,
    jobs: int,
    report: Callable[[dict[int, tuple[float, str]]], None],
) -> None:
    """Perform tasks, each of which leaves its result in its file.

    Parameters
    ----------
    tasks : sequence of (task, path)
        What to do, and the file of `write_result`.
    split : Split
        The events, in a file.
    jobs : int
        Processes at a time.
    report : callable
        Told, several times a second, fraction and words of each task that was begun, by its place
        in `tasks`; whatever it raises ends all processes.

    Raises
    ------
    PixlabError
        What the first task that failed raised.
    """
    replies: queue.Queue[tuple[_Worker, dict[str, Any]]] = queue.Queue()
    waiting = list(range(len(tasks)))[::-1]
    state: dict[int, tuple[float, str]] = {}
    workers: list[_Worker] = []

    def feed(worker: _Worker) -> None:
        worker.task = None
        if waiting:
            number = waiting.pop()
            state[number] = (0.0, "")
            worker.start(number, *tasks[number])

    try:
        for _ in range(min(jobs, len(tasks))):
            workers.append(_Worker(split, jobs == 1, replies))
            feed(workers[-1])
        while waiting or any(worker.task is not None for worker in workers):
            report(state)
            try:
                worker, said = replies.get(timeout=_POLL)
            except queue.Empty:
                continue
            number = worker.task
            if said.get("gone"):
                raise PixlabError(
                    f"a process of the sweep ended by itself ({worker.how_it_ended()})",
                    "is there enough memory? finished rows are kept: call it again",
                )
            if number is None:
                continue
            if "failed" in said:
                kind = getattr(errors, said["kind"], PixlabError)
                raise kind(*said["failed"])
            state[number] = (1.0, "") if "done" in said else (said["fraction"], said["text"])
            if "done" in said:
                feed(worker)
        report(state)
    finally:
        for worker in workers:
            worker.end()


# -- in the process -----------------------------------------------------------------------------
def main() -> None:
    """Perform tasks until standard input ends."""
    orders: queue.Queue[dict[str, Any]] = queue.Queue()
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever prints shall not disturb the replies

    def listen() -> None:
        for line in sys.stdin:
            orders.put(json.loads(line))
        os._exit(0)  # in the middle of whatever is done: nobody waits for it any more

    def say(**message: Any) -> None:
        replies.write(json.dumps(message) + "\n")
        replies.flush()

    threading.Thread(target=listen, daemon=True).start()
    split = Split(**orders.get())
    while True:
        order = orders.get()
        try:
            result = perform(
                order["task"], split, lambda done, what: say(fraction=float(done), text=what)
            )
            write_result(result, Path(order["path"]))
        except PixlabError as error:
            say(failed=[error.cause, error.hint], kind=type(error).__name__)
        else:
            say(done=True)
