"""The command group: how errors, interrupts and broken pipes end, whatever the command was."""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any

import click

from pixlab.errors import PixlabError, PixlabWarning
from pixlab.progress import Progress

__all__ = ["OUTSIDE", "Command", "Main", "bar", "print_json"]

OUTSIDE = 1  # `compare`: the files differ by more than the tolerance
REFUSED = 2  # a PixlabError or a wrong command line
DEFECT = 70  # an error that pixlab did not foresee (EX_SOFTWARE)
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
BROKEN_PIPE = 141  # 128 + SIGPIPE


class _Failure(click.ClickException):
    """One line on standard error."""

    exit_code = REFUSED

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"pixlab: {self.message}", file=file or sys.stderr)


class _Defect(_Failure):
    """The line that asks for a report."""

    exit_code = DEFECT


class Command(click.Command):
    """A command that also takes ``--debug`` after its name."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Its own parameters, then ``--debug`` and ``--help``."""
        *own, help_option = super().get_params(ctx)
        return [*own, debug_option(), help_option]


def debug_option() -> click.Option:
    """``--debug``: let exceptions through, so that Python shows where they came from."""

    def remember(ctx: click.Context, _: click.Parameter, value: bool) -> None:
        if value:
            ctx.find_root().meta["pixlab.debug"] = True

    return click.Option(
        ["--debug"],
        is_flag=True,
        expose_value=False,
        callback=remember,
        help="Show a traceback where an error ends the command.",
    )


class Main(click.Group):
    """The group of all commands; turns every exception into one line and an exit code."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(debug_option())

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Commands in the order in which they are used, not in that of the alphabet."""
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command."""
        try:
            with _warnings_in_a_line():
                result = super().invoke(ctx)
            sys.stdout.flush()  # a reader that has gone shows here, not at interpreter exit
            return result
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise click.exceptions.Exit(BROKEN_PIPE) from None
        except KeyboardInterrupt:
            click.echo("pixlab: interrupted", err=True)
            raise click.exceptions.Exit(INTERRUPTED) from None
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except Exception as error:
            if ctx.find_root().meta.get("pixlab.debug"):
                raise
            raise _failure(error) from error


@contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    """Show pixlab's own warnings as its errors are shown, and each once."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *where: Any) -> None:
            if issubclass(category, PixlabWarning):
                click.echo(f"pixlab: warning: {message}", err=True)
            else:
                others(message, category, *where)

        warnings.showwarning = show  # type: ignore[assignment]
        yield


def _failure(error: Exception) -> _Failure:
    if isinstance(error, PixlabError):
        return _Failure(str(error))
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return _Failure(f"{where}{error.strerror or error}")
    if isinstance(error, MemoryError):
        return _Failure("not enough memory; take fewer events, for instance with --events 0:100")
    return _Defect(
        f"unforeseen {type(error).__name__}: {error}; run it again with --debug and report it"
    )


def print_json(value: Any) -> None:
    """One JSON document on standard output; numbers that are none are null."""
    import json

    click.echo(json.dumps(_plain(value), indent=2, allow_nan=False))


def _plain(value: Any) -> Any:
    """A value as what JSON knows: no numpy, no infinities."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int)) else str(value)


@contextmanager
def bar(title: str) -> Iterator[Progress]:
    """A progress bar where standard error is a terminal, else nothing."""
    from pixlab.progress import progress_bar

    with progress_bar(title, show=sys.stderr.isatty()) as report:
        yield report
