"""The command line: exit codes, one-line errors, flags made from knobs, every command once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import click
import numpy as np
import param
import pytest
from click.testing import CliRunner, Result

import pixlab
from pixlab.cli import knobs, main
from pixlab.errors import PixlabError
from tests.helpers import random_digis


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def refused(*args: object) -> str:
    """The one line with which a command that must fail does so."""
    result = run(*args)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("pixlab: ")
    assert result.stderr.count("\n") == 1
    return result.stderr


def succeeded(*args: object) -> str:
    result = run(*args)
    assert result.exit_code == 0, result.output
    return result.stdout


def as_json(*args: object) -> dict:
    return json.loads(succeeded(*args, "--json"))


# -- the program itself ---------------------------------------------------------------------
def program(*args: object, **options: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", "from pixlab.cli import main; main(prog_name='pixlab')"]
    return subprocess.Popen(
        [*command, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_help_names_every_command_in_working_order():
    text = succeeded("--help")
    order = "info convert simulate fit compress decompress compare sweep serve demo".split()
    assert list(main.commands) == order
    places = [text.index(f"\n  {name} ") for name in order]
    assert places == sorted(places)


@pytest.mark.parametrize("command", list(main.commands))
def test_every_command_explains_itself(command):
    text = succeeded(command, "--help")
    assert text.startswith(f"Usage: main {command}")
    assert "--debug" in text


def test_version():
    assert pixlab.__version__ in succeeded("--version")


@pytest.mark.parametrize("start", ["import pixlab", "from pixlab.cli import main; main(['--help'])"])
def test_start_takes_less_than_a_second(start):
    """The fastest of three, because the machine may be busy with something else."""
    times = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", start], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    assert min(times) < 1


def test_completion_knows_codecs_and_their_knobs():
    def complete(line: str) -> list[str]:
        words = line.split(" ")
        environment = os.environ | {
            "_PIXLAB_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        }
        with program(env=environment) as child:
            shown, _ = child.communicate(timeout=60)
        return [text.split(",")[1] for text in shown.splitlines()]

    assert complete("pixlab comp") == ["compress", "compare"]
    assert complete("pixlab fit patch") == ["patch-vq"]
    assert "--codebook-size" in complete("pixlab fit patch-vq --code")


# -- how a command ends ---------------------------------------------------------------------
def ends(error: BaseException, *, debug: bool = False) -> Result:
    """How the program ends when a command raises `error`."""

    @click.command()
    def fail() -> None:
        click.echo("begun")
        raise error

    group = type(main)("pixlab", commands={"fail": fail})
    return CliRunner().invoke(group, ["--debug", "fail"] if debug else ["fail"])


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (PixlabError("cause", "hint"), 2, "pixlab: cause; hint\n"),
        (FileNotFoundError(2, "No such file", "a.root"), 2, "pixlab: a.root: No such file\n"),
        (OSError("disk on\nfire"), 2, "pixlab: disk on fire\n"),
        (KeyboardInterrupt(), 130, "pixlab: interrupted\n"),
    ],
)
def test_errors_are_one_line(error, code, line):
    result = ends(error)
    assert (result.exit_code, result.stderr) == (code, line)


def test_lack_of_memory_has_a_next_step():
    assert "--events" in ends(MemoryError()).stderr


def test_an_unforeseen_error_is_no_refusal():
    result = ends(ZeroDivisionError("by 0"))
    assert result.exit_code == 70
    assert result.stderr.count("\n") == 1
    assert "ZeroDivisionError: by 0" in result.stderr
    assert "--debug" in result.stderr


@pytest.mark.parametrize("error", [PixlabError("cause"), ZeroDivisionError("by 0")])
def test_debug_lets_the_error_through(error):
    assert ends(error, debug=True).exception is error


def test_debug_may_stand_after_the_command(tmp_path):
    result = run("info", tmp_path / "none.pxl", "--debug")
    assert isinstance(result.exception, PixlabError)


def test_a_reader_that_leaves_ends_the_program_quietly():
    with program("info", "sample:phase1-pu60", "--json") as child:
        child.stdout.close()
        assert child.stderr.read() == ""
    assert child.returncode == 141


def test_ctrl_c_ends_the_program_with_one_line(tmp_path):
    out = tmp_path / "many.npz"
    with program("simulate", out, "--events", 100_000) as child:
        time.sleep(3)
        assert child.poll() is None
        child.send_signal(signal.SIGINT)
        _, error = child.communicate(timeout=60)
    assert (child.returncode, error) == (130, "pixlab: interrupted\n")
    assert not out.exists()


# -- flags made from knobs ------------------------------------------------------------------
class Toy(param.Parameterized):
    """A codec's knobs of every kind that has a flag."""

    code_words = param.Integer(8, bounds=(2, 16), doc="How many\n words.")
    step = param.Number(0.5, bounds=(0, None), inclusive_bounds=(False, True), doc="Step.")
    shape = param.Selector(default="square", objects=["square", "round"], doc="Shape.")
    exact = param.Boolean(True, doc="Exact.")
    note = param.String("", doc="Note.")
    wire_id = param.Integer(3, constant=True)


class Rival(param.Parameterized):
    levels = param.Integer(4, bounds=(1, 64), doc="Levels.")


@pytest.fixture
def toys(monkeypatch):
    """A command with the knobs of made-up codecs, which returns what it was given."""
    monkeypatch.setattr(knobs, "_codecs", lambda: {"toy": Toy, "rival": Rival})

    def build(kind: type[knobs.KnobCommand]) -> click.Command:
        name = click.Option(["--codec"], type=knobs.CodecName(), multiple=kind.several)
        if kind is knobs.FitCommand:
            name = click.Argument(["codec"], type=knobs.CodecName())
        return kind("cmd", params=[name], callback=lambda **given: given)

    return build


def given(command: click.Command, *args: str) -> dict:
    values = command.main(list(args), standalone_mode=False)
    return {name: value for name, value in values.items() if value is not None}


def test_knobs_become_flags_with_the_type_of_the_knob(toys):
    line = "--codec toy --code-words 4 --step 1.5 --shape round --no-exact --note x".split()
    expected = {"code_words": 4, "step": 1.5, "shape": "round", "exact": False, "note": "x"}
    assert given(toys(knobs.KnobCommand), *line) == {"codec": "toy"} | expected
    assert given(toys(knobs.FitCommand), "toy", *line[2:]) == {"codec": "toy"} | expected
    assert given(toys(knobs.FitCommand), *line[2:], "toy") == {"codec": "toy"} | expected


def test_knobs_left_out_are_left_to_the_codec(toys):
    values = given(toys(knobs.KnobCommand), "--codec=toy")
    assert values == {"codec": "toy"}
    made = knobs.codec_from("toy", values | {"codec": None})
    assert (made.code_words, made.exact) == (8, True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--codec toy --code-words 17", "17 is not in the range 2<=x<=16"),
        ("--codec toy --step 0", "0.0 is not in the range x>0"),
        ("--codec toy --shape oval", "'oval' is not one of 'square', 'round'"),
        ("--codec toy --wire-id 4", "--wire-id"),
        ("--codec toy --name x", "--name"),
        ("--codec toy --levels 4", "--levels is a knob of rival; which 'toy' is not"),
        ("--levels 4", "--levels is a knob of rival; name the codec too"),
        ("--codec other", "no codec is called 'other'; choose one of toy, rival"),
        ("--codec other --levels 4", "no codec is called 'other'; choose one of toy, rival"),
    ],
)
def test_wrong_knobs_are_refused_by_name(toys, line, message):
    with pytest.raises((click.UsageError, PixlabError)) as caught:
        given(toys(knobs.KnobCommand), *line.split())
    shown = caught.value
    assert message in (shown.format_message() if isinstance(shown, click.UsageError) else str(shown))


def test_help_shows_doc_bounds_and_default(toys):
    command = toys(knobs.KnobCommand)
    result = CliRunner().invoke(command, ["--codec", "toy", "--help"], terminal_width=200)
    assert "INTEGER RANGE" in result.output
    assert "How many words.  [default: 8]  [2<=x<=16]" in result.output
    assert "--exact / --no-exact" in result.output
    assert "--levels" not in result.output


def test_a_sweep_takes_lists_and_runs_through_all_combinations(toys):
    command = toys(knobs.SweepCommand)
    line = "--codec toy --codec rival --code-words 2,4 --exact yes,no --levels 3".split()
    values = given(command, *line)
    assert values == {
        "codec": ("toy", "rival"), "code_words": [2, 4], "exact": [True, False], "levels": [3],
    }  # fmt: skip
    names = values.pop("codec")
    made = knobs.codecs_from(names, values)
    assert [(c.code_words, c.exact) for c in made[:-1]] == [
        (2, True), (2, False), (4, True), (4, False),
    ]  # fmt: skip
    assert isinstance(made[-1], Rival)
    assert made[-1].levels == 3
    with pytest.raises(click.UsageError, match="99"):
        given(command, "--codec", "rival", "--levels", "3,99")


@pytest.mark.parametrize("name", list(pixlab.CODECS))
def test_every_knob_of_every_codec_has_a_flag_and_a_text(name):
    text = succeeded("fit", name, "--help")
    reserved = {p.name for command in main.commands.values() for p in command.params}
    for knob, declared in knobs.knobs_of(pixlab.CODECS[name]).items():
        assert f"--{knob.replace('_', '-')}" in text
        assert declared.doc
        assert knob not in reserved
