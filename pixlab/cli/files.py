"""Commands from file to file: info, convert, simulate, fit, compress, decompress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pixlab.cli.base import OUTSIDE, Command, bar, print_json
from pixlab.cli.knobs import CodecName, FitCommand, KnobCommand, codec_from
from pixlab.cli.show import pairs

if TYPE_CHECKING:
    from pixlab.digis import Digis
    from pixlab.io import Lost
    from pixlab.progress import Progress

__all__ = [
    "COMMANDS",
    "OUTPUT",
    "Source",
    "as_json",
    "blocks",
    "load",
    "name_of",
    "premix",
    "reading",
    "source",
    "split",
    "tolerance",
]

_SIMULATED = 100  # events that are held at a time
OUTPUT = click.Path(path_type=Path, dir_okay=False)


class Source(click.ParamType[Path | str]):
    """A file, a URL, a pattern of files, or ``sample:NAME`` for an embedded sample."""

    name = "path"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Path | str:
        """The path of the file or of the sample; a URL stays as it is."""
        if isinstance(value, Path):
            return value
        if str(value).startswith("sample:"):
            from pixlab import samples

            return samples.path(str(value).removeprefix("sample:"))
        return str(value) if "://" in str(value) else Path(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[Any]:
        """Let the shell complete file names and those of samples."""
        from click.shell_completion import CompletionItem

        from pixlab import samples

        found = [CompletionItem(f"sample:{name}") for name in samples.list()]
        return [
            *(item for item in found if incomplete and item.value.startswith(incomplete)),
            *click.Path().shell_complete(ctx, param, incomplete),
        ]


class Events(click.ParamType[slice]):
    """A range of events as ``START:STOP``, either end left out at will, or one event number."""

    name = "start:stop"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> slice:
        """The slice."""
        if isinstance(value, slice):
            return value
        start, colon, stop = str(value).partition(":")
        try:
            first = int(start) if start or not colon else 0
            last = (int(stop) if stop else None) if colon else first + 1
        except ValueError:
            self.fail(f"'{value}' is no range of events; write for instance 0:100", param, ctx)
        if first < 0 or (last is not None and last < first):
            self.fail(f"'{value}' runs backwards; count events from 0", param, ctx)
        return slice(first, last)


source = click.argument("source", type=Source())
tolerance = click.option(
    "--tolerance",
    default="transparent",
    show_default=True,
    help="How far decoded digis may be from original ones: transparent, analysis, loose, or a "
    "TOML file.",
)
premix = click.option(
    "--premix", is_flag=True, help="Also compare after pre-mixing with another event."
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


_WHERE = (
    click.option("--detector", help="The detector: a name, or a file of a detector table."),
    click.option("--branch", help="The branch or table, where a file has several with digis."),
    click.option(
        "--duplicates",
        type=click.Choice(["error", "sum"]),
        help="What to do with a pixel that occurs twice in an event.",
    ),
)
_WHICH = click.option("--events", type=Events(), help="Take these events only, counted from 0.")


def opening(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say how an input file is to be understood."""
    for option in _WHERE:
        command = option(command)
    return command


def reading(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add those and the choice of events."""
    return opening(_WHICH(command))


def split(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Options of a command: those of `reading`, and all others."""
    names = ("events", "branch", "detector", "duplicates")
    how = {name: options[name] for name in names}
    return how, {name: value for name, value in options.items() if name not in names}


def load(path: Path, **how: Any) -> Digis:
    """Read a file with the options of `reading`."""
    from pixlab.io import read

    return read(path, **{key: value for key, value in how.items() if value is not None})


def name_of(path: Path) -> str:
    """The name of the sample whose file this is, or the path."""
    from pixlab import samples

    return next((name for name in samples.list() if samples.path(name) == path), str(path))


def blocks(path: Path, *, events: slice | None = None, **how: Any) -> Iterator[Digis]:
    """The events of a file block by block, at least one."""
    from pixlab.io import iterate

    given = {key: value for key, value in how.items() if value is not None}
    found = iterate(path, within=events, **given)
    first = next(found, None)
    yield load(path, events=slice(0, 0), **how) if first is None else first
    yield from found


def copy(title: str, found: Iterator[Digis], out: Path) -> None:
    """Write blocks of events, and say how much they were."""
    from pixlab.io import write

    events = digis = 0

    def counted() -> Iterator[Digis]:
        nonlocal events, digis
        for block in found:
            yield block
            events, digis = events + len(block), digis + block.n_digis
            progress(0.0, f"event {events:,}")

    with bar(title) as progress:
        write(counted(), out)
    click.echo(f"{out}: {events:,} events, {digis:,} digis")


@click.command(cls=Command)
@source
@opening
@as_json
def info(source: Path, as_json: bool, **how: Any) -> None:
    """Say what is in a file.

    That is detector, events, digis and layers; for .pxl also the codec and the size of each part. Of a model, by
    its file or by the name of one that comes with pixlab: codec, knobs, detector and size.
    """
    from pixlab.cli.models import describe_model, is_model
    from pixlab.io import info as describe

    given = {key: value for key, value in how.items() if value is not None}
    facts = describe_model(source) if is_model(source) else describe(source, **given)
    print_json(facts) if as_json else pairs(str(source), facts)


@click.command(cls=Command)
@source
@click.argument("out", type=OUTPUT)
@reading
def convert(source: Path, out: Path, **how: Any) -> None:
    """Write a file in another format.

    The ending of OUT names it.
    """
    copy("convert", blocks(source, **how), out)


@click.command(cls=Command)
@click.argument("out", type=OUTPUT)
@click.option("--events", "n_events", type=click.IntRange(0), default=100, show_default=True)
@click.option(
    "--pileup",
    type=click.FloatRange(0),
    default=60,
    show_default=True,
    help="Mean number of collisions in an event.",
)
@click.option("--fixed-pileup", is_flag=True, help="The same number in every event, not Poisson.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True)
@click.option(
    "--detector",
    default="phase1",
    show_default=True,
    help="Also phase1-run3, phase2, phase2-25x100, and the latter two with -premix behind.",
)
@click.option(
    "--generator",
    default="builtin",
    show_default=True,
    help="Where particles come from; pythia8 is installed with pip install 'pixlab[pythia]'.",
)
@click.option(
    "--truth",
    type=OUTPUT,
    help="Also write which particles crossed which modules, and left what, to this .npz file.",
)
@click.option("--threads", type=click.IntRange(1), help="Default: one a processor.")
def simulate(out: Path, n_events: int, truth: Path | None, **options: Any) -> None:
    """Simulate minimum-bias pile-up.

    The same seed gives the same events, whatever the number of threads.
    """
    from pixlab.io import write
    from pixlab.simulation import simulate as run

    digis = 0

    def made() -> Iterator[Digis]:
        nonlocal digis
        for first in range(0, max(n_events, 1), _SIMULATED):
            n = min(_SIMULATED, n_events - first)
            block = run(n, first=first, progress=part(first, n), **options)
            digis += block.n_digis
            yield block

    def part(first: int, n: int) -> Progress:
        return lambda done, text: progress(
            (first + n * done) / n_events, f"event {first + round(n * done)} of {n_events}"
        )

    with bar("simulate") as progress:
        if truth is None:
            write(made(), out)
        else:
            events, happened = run(n_events, truth=True, progress=progress, **options)
            digis = events.n_digis
            happened.save(truth)
            write(events, out)
    click.echo(f"{out}: {n_events:,} events, {digis:,} digis")
    if truth is not None:
        particles, crossings = (len(t["event"]) for t in (happened.particles, happened.crossings))
        click.echo(f"{truth}: {particles:,} particles, {crossings:,} crossings")


@click.command(cls=FitCommand)
@click.argument("codec", type=CodecName())
@source
@click.argument("model", type=OUTPUT)
@reading
@click.option(
    "--checkpoint",
    type=OUTPUT,
    help="Of a codec that trains: written after each epoch, and gone on from. Default: MODEL.training, "
    "removed in the end.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where a codec trains.",
)
@click.option("--log", type=OUTPUT, help="Write the log of a training to this .csv file.")
@click.option(
    "--stream",
    is_flag=True,
    help="Read SOURCE anew in each epoch of a training, for files larger than memory (vqvae, patch-vqvae).",
)
def fit(
    codec: str,
    source: Path,
    model: Path,
    events: slice | None,
    branch: str | None,
    detector: str | None,
    checkpoint: Path | None,
    device: str,
    log: Path | None,
    stream: bool,
    **knobs: Any,
) -> None:
    """Learn a codebook, or what else a codec needs.

    `pixlab fit CODEC --help` lists the knobs of a codec. A training that was stopped goes on where it
    was when the same command is given again.
    """
    from pixlab.codecs.trained import Streamed, Trained, TrainedModel

    made = codec_from(codec, knobs)
    if not isinstance(made, Trained) and (checkpoint or log or device != "auto"):
        raise click.UsageError(f"codec '{codec}' does not train: no --checkpoint, --device, --log")
    if stream and not isinstance(made, Streamed):
        raise click.UsageError(f"codec '{codec}' needs its events in memory: no --stream")
    how = {"events": events, "branch": branch, "detector": detector}
    digis: Any = _Anew(source, how) if stream else load(source, **how)
    training: dict[str, Any] = {}
    kept = checkpoint or model.with_name(f"{model.name}.training")
    if isinstance(made, Trained):
        training = {"checkpoint": kept, "device": device}
    with bar(f"fit {codec}") as progress:
        fitted = made.fit(digis, progress=progress, **training)
    fitted.save(model)
    if log is not None and isinstance(fitted, TrainedModel):
        fitted.log.to_csv(log, index=False)
    if training and checkpoint is None:
        kept.unlink(missing_ok=True)
    n = "a stream of" if stream else f"{len(digis):,}"
    click.echo(f"{model}: {codec}, {model.stat().st_size:,} bytes, fitted on {n} events")


class _Anew:
    """The blocks of a file, read anew each time that they are gone through."""

    def __init__(self, source: Path, how: dict[str, Any]) -> None:
        self._source, self._how = source, how

    def __iter__(self) -> Iterator[Digis]:
        return blocks(self._source, **self._how)


@click.command(cls=KnobCommand)
@source
@click.argument("out", type=OUTPUT)
@click.option("--codec", type=CodecName(), help="Fit this codec on the file itself.")
@click.option("--model", type=Source(), help="Use a model that `pixlab fit` made.")
@click.option(
    "--embed/--no-embed",
    default=True,
    help="Put the model into OUT, or leave it outside: then OUT only names it, and whoever reads OUT "
    "needs MODEL.",
)
@reading
@as_json
def compress(
    source: Path,
    out: Path,
    codec: str | None,
    model: Path | None,
    embed: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Write a .pxl file, lossless or lossy.

    Without --codec and --model it is lossless.

    `pixlab compress --codec NAME --help` lists the knobs of a codec.
    """
    from pixlab.io import compress as run

    how, knobs = split(options)
    how["within"] = how.pop("events")
    with bar("compress") as progress:
        facts = run(
            source,
            out,
            codec=codec_from(codec, knobs) if codec else None,
            model=model,
            embed=embed,
            progress=progress,
            **{key: value for key, value in how.items() if value is not None},
        )
    print_json(facts) if as_json else pairs(str(out), facts)


@click.command(cls=Command)
@click.argument("source", type=Source())
@click.argument("out", type=OUTPUT)
@_WHICH
@click.option("--model", type=Source(), help="The model of a file that was written without it.")
@click.option(
    "--skip-damaged",
    is_flag=True,
    help="Write what is whole, leave out lost events and name them; exits with 1 if there are any.",
)
def decompress(
    source: Path, out: Path, events: slice | None, model: Path | None, skip_damaged: bool
) -> None:
    """Write what a .pxl file holds in another format.

    The ending of OUT names it. Of the file, only the parts with the chosen events are read.
    """
    from pixlab.io import decompress as run
    from pixlab.io import salvage

    if skip_damaged and events is not None:
        raise click.UsageError("events of a damaged file cannot be chosen by their number")
    lost: list[Lost] = []
    if skip_damaged:
        digis, lost = salvage(source, model=model)
        found = iter([digis])
    elif model is not None:
        found = iter([run(source, events=events, model=model)])
    else:
        found = blocks(source, events=events, format="pxl")
    copy("decompress", found, out)
    for each in lost:
        click.echo(f"lost: {each}", err=True)
    raise click.exceptions.Exit(OUTSIDE if lost else 0)


COMMANDS = [info, convert, simulate, fit, compress, decompress]
