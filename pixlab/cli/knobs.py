"""Flags made from the knobs of a codec: declared once, in the codec, with bounds and help."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import click

from pixlab.cli.base import Command
from pixlab.errors import PixlabError

if TYPE_CHECKING:
    from pixlab.codecs import Codec

__all__ = ["CodecName", "FitCommand", "KnobCommand", "SweepCommand", "checked", "codec_from"]
__all__ += ["codecs_from", "knobs_of"]

_CHOSEN = "pixlab.codecs"  # where the context keeps the names that its command line has


def _codecs() -> dict[str, type[Codec]]:
    from pixlab.codecs import CODECS

    return dict(CODECS)


def checked(name: str) -> type[Codec]:
    """The codec of that name, which there must be."""
    codecs = _codecs()
    if name not in codecs:
        raise PixlabError(f"no codec is called '{name}'", f"choose one of {', '.join(codecs)}")
    return codecs[name]


class CodecName(click.ParamType[str]):
    """A key of `CODECS`, which is looked up only when somebody asks."""

    name = "codec"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, if there is such a codec."""
        checked(value)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[Any]:
        """Names that begin with what was typed."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(name) for name in _codecs() if name.startswith(incomplete)]


class _Several(click.ParamType[list[Any]]):
    """Values with commas between them."""

    def __init__(self, inner: click.ParamType[Any]) -> None:
        self.inner = inner
        self.name = f"{inner.name},..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[Any]:
        """Each part converted on its own."""
        if isinstance(value, list):
            return value
        return [self.inner.convert(part, param, ctx) for part in str(value).split(",")]


def knobs_of(codec: type[Codec]) -> dict[str, Any]:
    """The declared parameters of a codec class: name -> `param.Parameter`."""
    return {
        name: declared
        for name, declared in codec.param.objects("existing").items()
        if name != "name" and not name.startswith("_") and not declared.constant
    }


def _type_of(declared: Any) -> click.ParamType[Any]:
    import param

    if isinstance(declared, param.Boolean):
        return click.BOOL
    if isinstance(declared, param.Selector):
        return click.Choice([str(choice) for choice in declared.objects])
    if isinstance(declared, param.Number):  # Integer is a Number
        low, high = declared.bounds or (None, None)
        closed_low, closed_high = declared.inclusive_bounds
        kind: Any = click.IntRange if isinstance(declared, param.Integer) else click.FloatRange
        return kind(low, high, min_open=not closed_low, max_open=not closed_high)
    if isinstance(declared, param.String):
        return click.STRING
    raise TypeError(f"knob '{declared.name}' is a {type(declared).__name__}: no flag for that")


def option_for(name: str, declared: Any, *, several: bool = False) -> click.Option:
    """The flag of one knob; left out on the command line, it leaves the codec's default."""
    kebab = name.replace("_", "-")
    kind = _type_of(declared)
    switch = kind is click.BOOL and not several
    return click.Option(
        [f"--{kebab}/--no-{kebab}" if switch else f"--{kebab}", name],
        type=_Several(kind) if several else kind,
        default=None,
        help=f"{' '.join((declared.doc or '').split())}  [default: {declared.default}]",
    )


class KnobCommand(Command):
    """A command with ``--codec NAME`` and the knobs of the codecs so named as flags.

    Which flags exist is known only when the codec is, so the line is looked through for the
    name before it is parsed.
    """

    several = False

    def named(self, args: Sequence[str]) -> list[str]:
        """What stands after ``--codec`` on the command line."""
        pairs = zip(args, [*args[1:], ""], strict=True)
        equals = [text.removeprefix("--codec=") for text in args if text.startswith("--codec=")]
        return [value for flag, value in pairs if flag == "--codec"] + equals

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse with the flags of the codecs that are named, if any is."""
        names = list(dict.fromkeys(self.named(args)))
        known = _codecs() if names else {}
        if not ctx.resilient_parsing:
            for name in names:
                checked(name)
        ctx.meta[_CHOSEN] = [name for name in names if name in known]
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            knob = error.option_name.lstrip("-").replace("-", "_")
            owners = [name for name, codec in _codecs().items() if knob in knobs_of(codec)]
            if not owners:
                raise
            raise PixlabError(
                f"{error.option_name} is a knob of {', '.join(owners)}",
                f"which '{' '.join(names)}' is not" if names else "name the codec too",
            ) from error

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own parameters, then those of the codecs, then ``--debug``, ``--help``."""
        *own, debug, help_option = super().get_params(ctx)
        flags: dict[str, click.Parameter] = {}
        for codec in ctx.meta.get(_CHOSEN, []):
            for name, declared in knobs_of(_codecs()[codec]).items():
                flags.setdefault(name, option_for(name, declared, several=self.several))
        return [*own, *flags.values(), debug, help_option]


class FitCommand(KnobCommand):
    """The codec is the first argument that is the name of one."""

    def named(self, args: Sequence[str]) -> list[str]:
        """The first name of a codec on the command line."""
        return [text for text in args if text in _codecs()][:1]


class SweepCommand(KnobCommand):
    """Every knob takes several values, with commas between them."""

    several = True


def codec_from(name: str, knobs: dict[str, Any]) -> Codec:
    """The codec of that name with the knobs that were given."""
    from pixlab.codecs import make_codec

    return make_codec(name, **{k: v for k, v in knobs.items() if v is not None})


def codecs_from(names: Sequence[str], knobs: dict[str, list[Any] | None]) -> list[Codec]:
    """Each named codec in every combination of the values given for the knobs it has."""
    found = []
    for name in names:
        mine = {
            k: values
            for k, values in knobs.items()
            if values is not None and k in knobs_of(checked(name))
        }
        for values in product(*mine.values()):
            found.append(codec_from(name, dict(zip(mine, values, strict=True))))
    return found
