"""The command line: exit codes, one-line errors, flags made from knobs, every command once."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from itertools import islice

import click
import numpy as np
import param
import pytest
from click.testing import CliRunner, Result

import pixlab
from pixlab.cli import knobs, main
from pixlab.cli.study import print_sweep
from pixlab.errors import PixlabError
from pixlab.simulation import Truth
from pixlab.study import Sweep
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
        # a shell's background job hands on that Ctrl-C is ignored
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )


def test_help_names_every_command_in_working_order():
    text = succeeded("--help")
    order = ["info", "convert", "simulate", "fit", "compress", "decompress", "compare"]
    order += ["sweep", "find", "bench", "serve", "demo"]
    assert list(main.commands) == order
    places = [text.index(f"\n  {name} ") for name in order]
    assert places == sorted(places)
    assert "..." not in text.split("Commands:")[1]  # every command in words that fit


@pytest.mark.parametrize("command", list(main.commands))
def test_every_command_explains_itself(command):
    text = succeeded(command, "--help")
    assert text.startswith(f"Usage: main {command}")
    assert "--debug" in text


def test_version():
    assert pixlab.__version__ in succeeded("--version")


@pytest.mark.parametrize(
    "start", ["import pixlab", "from pixlab.cli import main; main(['--help'])"]
)
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
    assert complete("pixlab fit patch") == ["patch-vq", "patch-vqvae"]
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
    # what is being compiled is not interrupted, and that can take longer than a test should wait
    succeeded("simulate", tmp_path / "one.npz", "--events", 1, "--pileup", 1)
    out = tmp_path / "many.npz"
    with program("simulate", out, "--events", 100_000) as child:
        time.sleep(3)
        assert child.poll() is None
        child.send_signal(signal.SIGINT)
        try:
            _, error = child.communicate(timeout=60)
        finally:
            child.kill()
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
    monkeypatch.setattr("pixlab.codecs.CODECS", {"toy": Toy, "rival": Rival})

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
    line = "--codec toy --code-words 4 --step 1.5 --shape round --no-exact --note x"
    expected = {"code_words": 4, "step": 1.5, "shape": "round", "exact": False, "note": "x"}
    assert given(toys(knobs.KnobCommand), *line.split()) == {"codec": "toy"} | expected
    flags = line.split()[2:]
    assert given(toys(knobs.FitCommand), "toy", *flags) == {"codec": "toy"} | expected
    assert given(toys(knobs.FitCommand), *flags, "toy") == {"codec": "toy"} | expected


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
    assert message in (
        shown.format_message() if isinstance(shown, click.UsageError) else str(shown)
    )


def test_help_shows_doc_bounds_and_default(toys):
    command = toys(knobs.KnobCommand)
    result = CliRunner().invoke(command, ["--codec", "toy", "--help"], terminal_width=200)
    assert "INTEGER RANGE" in result.output
    assert "How many words.  [default: 8]  [2<=x<=16]" in result.output
    assert "--exact / --no-exact" in result.output
    assert "--levels" not in result.output


def test_a_sweep_takes_lists_and_runs_through_all_combinations(toys):
    command = toys(knobs.SweepCommand)
    line = "--codec toy --codec rival --code-words 2,4 --exact yes,no --levels 3"
    values = given(command, *line.split())
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
    takers = [c for c in main.commands.values() if isinstance(c, knobs.KnobCommand)]
    assert [c.name for c in takers] == ["fit", "compress", "sweep", "find", "bench"]
    reserved = {p.name for command in takers for p in command.params}
    for knob, declared in knobs.knobs_of(pixlab.CODECS[name]).items():
        assert f"--{knob.replace('_', '-')}" in text
        assert declared.doc
        assert knob not in reserved


# -- from file to file ----------------------------------------------------------------------
@pytest.fixture
def events(tmp_path):
    """A small npz file and the digis in it."""
    digis = random_digis(n_events=6, n_digis=4000, seed=3)
    path = tmp_path / "events.npz"
    pixlab.write(digis, path)
    return path, digis


def test_info_says_what_is_in_a_file(events):
    path, digis = events
    facts = as_json("info", path)
    assert facts["format"] == "npz"
    assert facts["bytes"] == path.stat().st_size
    assert (facts["events"], facts["digis"]) == (6, digis.n_digis)
    assert facts["layers"] == digis.per_layer()
    text = succeeded("info", path)
    assert text.splitlines()[0] == str(path)
    assert re.search(rf"\bdigis +{digis.n_digis:,}\n", text)


def test_info_of_a_model_by_its_name_or_file_has_codec_and_knobs(events, tmp_path):
    facts = as_json("info", "phase1-vqvae-1024")
    assert (facts["codec"], facts["detector"]) == ("vqvae", "phase1")
    assert facts["knobs"]["codebook_size"] == 1024
    assert 0 < facts["bytes_in_pxl"] < facts["bytes"]
    own = tmp_path / "own"  # whatever it is called
    succeeded("fit", "patch-vq", events[0], own, "--codebook-size", 16)
    facts = as_json("info", own)
    assert (facts["codec"], facts["knobs"]["codebook_size"]) == ("patch-vq", 16)
    assert facts["bytes"] == own.stat().st_size
    assert "codebook size" in succeeded("info", own)
    own.write_bytes(own.read_bytes()[:-9])
    assert "own" in refused("info", own)


def test_info_of_a_pxl_file_has_codec_and_ledger(events, tmp_path):
    path, digis = events
    out = tmp_path / "out.pxl"
    written = as_json("compress", path, out)
    facts = as_json("info", out)
    assert facts["layers"] == digis.per_layer()
    assert {k: facts[k] for k in written} == written
    assert (facts["codec"], facts["bytes"]) == ("lossless", out.stat().st_size)
    assert facts["bits_per_digi"] == 8 * facts["bytes"] / facts["digis"]
    assert sum(facts["ledger"].values()) == facts["bytes"]
    assert facts["model_bytes"] <= facts["bytes"]


@pytest.mark.parametrize("suffix", ["npz", "parquet", "root", "pxl"])
def test_convert_keeps_every_digi(events, tmp_path, suffix):
    path, digis = events
    out = tmp_path / f"out.{suffix}"
    assert succeeded("convert", path, out) == f"{out}: 6 events, {digis.n_digis:,} digis\n"
    assert pixlab.read(out) == digis


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1:3", slice(1, 3)),
        (":2", slice(0, 2)),
        ("4:", slice(4, 6)),
        ("5", slice(5, 6)),
        (":", slice(6)),
    ],
)
def test_events_are_chosen_as_in_python(events, tmp_path, text, expected):
    path, digis = events
    succeeded("convert", path, tmp_path / "some.npz", "--events", text)
    assert pixlab.read(tmp_path / "some.npz") == digis[expected]


@pytest.mark.parametrize("text", ["a:b", "3:1", "-2", "1:2:3", ""])
def test_events_that_are_no_range_are_refused(events, tmp_path, text):
    result = run("convert", events[0], tmp_path / "some.npz", "--events", text)
    assert result.exit_code == 2
    assert not (tmp_path / "some.npz").exists()


def test_lossless_way_there_and_back(events, tmp_path):
    path, digis = events
    succeeded("compress", path, tmp_path / "a.pxl", "--codec", "lossless")
    succeeded("decompress", tmp_path / "a.pxl", tmp_path / "back.npz")
    assert pixlab.read(tmp_path / "back.npz") == digis
    succeeded("compare", path, tmp_path / "back.npz")


def test_a_fitted_model_and_a_codec_on_the_spot_agree(events, tmp_path):
    path, digis = events
    flags = ("--codebook-size", 16, "--tile-rows", 2, "--seed", 5, "--compact")
    succeeded("fit", "patch-vq", path, tmp_path / "vq.model", *flags)
    with_model = as_json("compress", path, tmp_path / "a.pxl", "--model", tmp_path / "vq.model")
    fitted_now = as_json("compress", path, tmp_path / "b.pxl", "--codec", "patch-vq", *flags)
    assert with_model == fitted_now
    assert with_model["knobs"]["codebook_size"] == 16
    decoded = pixlab.read(tmp_path / "a.pxl")
    assert decoded == pixlab.load_model(tmp_path / "vq.model").quantize(digis)
    assert decoded != digis


def test_compare_exits_with_1_outside_the_tolerance(events, tmp_path):
    path, digis = events
    shifted = tmp_path / "shifted.npz"
    pixlab.write(digis.with_adc(np.minimum(digis.adc * 1.02 + 0.5, 255)), shifted)
    result = run("compare", path, shifted)
    assert result.exit_code == 1
    assert "transparent: OUTSIDE" in result.stdout
    assert run("compare", path, shifted, "--tolerance", "loose").exit_code == 0
    found = run("compare", path, shifted, "--json", "--tolerance", "loose")
    facts = json.loads(found.stdout)
    assert facts["verdict"]["ok"] is True
    assert facts["table"]["occupancy"]["all"] == 0
    assert "there are no tolerances 'lax'" in refused(
        "compare", path, shifted, "--tolerance", "lax"
    )


def test_compare_with_tolerances_from_a_file(events, tmp_path):
    path, digis = events
    near, limits = tmp_path / "near.npz", tmp_path / "mine.toml"
    pixlab.write(digis.with_adc(np.minimum(digis.adc * 1.02 + 0.5, 255)), near)
    limits.write_text("base = 'loose'\n[layers.all]\ncharge_mean = 0.001\n")
    result = run("compare", path, near, "--tolerance", limits)
    assert result.exit_code == 1
    assert "mine: OUTSIDE, 1 of" in result.stdout
    limits.write_text("base = 'loose'\n[limits]\ncharm = 1\n")
    assert "no metric 'charm'" in refused("compare", path, near, "--tolerance", limits)


def test_compare_after_premixing(events, tmp_path):
    path, _ = events
    found = json.loads(run("compare", path, path, "--premix", "--json").stdout)
    assert found["premixed"]["table"]["efficiency"]["all"] == 1
    assert {check["stage"] for check in found["verdict"]["checks"]} == {"", "after pre-mixing"}


def test_compare_in_full(events, tmp_path):
    path, _ = events
    found = json.loads(run("compare", path, path, "--full", "--json").stdout)
    assert found["verdict"]["ok"] is True
    assert found["premixed"]["table"]["fakes"]["all"] == 0
    assert {row["metric"] for row in found["deep"]} >= {"fpd", "kpd", "auc", "coverage"}


def test_compare_in_full_leaves_out_premixing_where_counts_do_not_allow_it(tmp_path):
    path = tmp_path / "fei4.npz"
    pixlab.write(random_digis("fei4", n_digis=300, n_modules=1), path)
    found = json.loads(run("compare", path, path, "--full", "--json").stdout)
    assert "premixed" not in found
    assert "deep" in found
    assert "premix" in refused("compare", path, path, "--premix")


def test_compare_with_the_truth(tmp_path):
    digis, truth = tmp_path / "sim.npz", tmp_path / "truth.npz"
    succeeded("simulate", digis, "--events", 2, "--pileup", 5, "--seed", 3, "--truth", truth)
    found = json.loads(run("compare", digis, digis, "--truth", truth, "--json").stdout)
    assert {row["axis"] for row in found["resolution"]["hits"]} == {"row", "col"}
    assert len(found["resolution"]["tracks"]) == 24
    assert run("compare", digis, digis, "--truth", truth, "--events", "0:1").exit_code == 0
    asked = ("compare", digis, digis, "--truth", truth, "--events", "1:2")
    assert "--truth counts events from the first" in refused(*asked)
    assert "no truth" in refused("compare", digis, digis, "--truth", digis)


def test_compare_writes_what_it_is_asked_for(events, tmp_path, monkeypatch):
    from pixlab.plots import paper

    def few(*args, **more):
        return islice(paper.figures(*args, **more), 2)

    monkeypatch.setattr("pixlab.plots.page.figures", few)
    monkeypatch.setattr("pixlab.plots.paper.album.figures", few)
    path, digis = events
    page, root, folder = (tmp_path / name for name in ("page.html", "dqm.root", "figures"))
    flags = ("--report", page, "--histograms", root, "--plots", folder)
    flags += ("--format", "pdf", "--format", "png", "--tolerance", "loose")
    assert run("compare", path, path, *flags).exit_code == 0
    assert "inside loose" in page.read_text()
    assert str(path) in page.read_text()
    assert sorted(p.suffix for p in folder.iterdir()) == [".pdf", ".pdf", ".png", ".png"]
    import uproot

    name = "PixelPhase1/Phase1_MechanicalView/num_digis_PXAll"
    with uproot.open(root) as file:
        for sample in ("original", "decoded"):
            assert file[f"{sample}/{name}"].values(flow=True).sum() == len(digis)


def test_simulate_is_what_the_library_makes(tmp_path):
    out = tmp_path / "sim.npz"
    flags = ("--events", 2, "--pileup", 3, "--seed", 7, "--fixed-pileup")
    succeeded("simulate", out, *flags)
    assert pixlab.read(out) == pixlab.simulate(2, pileup=3, seed=7, fixed_pileup=True)


def test_simulate_writes_the_truth_beside_the_digis(tmp_path):
    out, truth = tmp_path / "sim.npz", tmp_path / "truth.npz"
    flags = ("--events", 2, "--pileup", 3, "--detector", "phase2", "--threads", 1)
    said = succeeded("simulate", out, "--truth", truth, *flags)
    digis, happened = pixlab.simulate(2, pileup=3, seed=1, detector="phase2", truth=True)
    assert pixlab.read(out) == digis
    again = Truth.load(truth)
    assert np.array_equal(again.crossings["row"], happened.crossings["row"])
    assert f"{len(happened.crossings['row']):,} crossings" in said
    assert "builtin, pythia8" in refused("simulate", out, "--generator", "herwig")


def test_progress_is_for_terminals_alone(events, tmp_path):
    with program("compress", events[0], tmp_path / "a.pxl") as child:
        _, error = child.communicate(timeout=120)
    assert (child.returncode, error) == (0, "")


# -- what users do wrong --------------------------------------------------------------------
def test_mistakes_are_answered_in_one_line(events, tmp_path):
    path, _ = events
    pxl = tmp_path / "a.pxl"
    assert "does not exist" in refused("info", tmp_path / "none.root")
    assert "is a directory" in refused("info", tmp_path)
    assert "no sample is called 'x'" in refused("info", "sample:x")
    assert "no suffix" in refused("convert", path, tmp_path / "a.xyz")
    assert "does not exist" in refused("convert", path, tmp_path / "no" / "a.npz")
    assert "no codec is called 'zip'" in refused("compress", path, pxl, "--codec", "zip")
    assert "no codec is called 'zip'" in refused("fit", "zip", path, tmp_path / "m")
    assert "knob of patch-vq" in refused("compress", path, pxl, "--codebook-size", 4)
    assert "no detector is called 'x'" in refused("simulate", tmp_path / "a.npz", "--detector", "x")
    both = ("--codec", "lossless", "--model", path)
    assert "pixlab: " in refused("compress", path, pxl, *both)
    assert "decompress" not in refused("decompress", path, tmp_path / "b.npz")
    assert not pxl.exists()


def test_a_damaged_file_is_refused_and_nothing_is_written(events, tmp_path):
    path, _ = events
    whole = tmp_path / "whole.pxl"
    succeeded("compress", path, whole)
    damaged = tmp_path / "damaged.pxl"
    damaged.write_bytes(whole.read_bytes()[:-100])
    out = tmp_path / "out.npz"
    assert "damaged.pxl" in refused("decompress", damaged, out)
    assert not out.exists()


def test_a_cms_file_without_digis_says_what_it_has(tmp_path):
    text = tmp_path / "notes.txt"
    text.write_text("event detid row col adc\n")
    assert "is no file that pixlab reads" in refused("info", text)


# -- tables and pages -----------------------------------------------------------------------
def test_sweep_tries_every_combination_and_keeps_a_table(tmp_path):
    out = tmp_path / "sweep.parquet"
    flags = ("--out", out, "--events", "0:2", "--codec", "lossless", "--codec", "patch-vq")
    text = succeeded("sweep", "sample:phase1-pu60", *flags, "--codebook-size", "16,64")
    lines = text.splitlines()
    assert [sum(line.strip().startswith(name) for line in lines) for name in
            ("lossless", "patch-vq codebook size 16", "patch-vq codebook size 64")] == [1, 1, 1]  # fmt: skip
    made = Sweep.load(out)
    assert list(made.table["codec"]) == ["lossless", "patch-vq", "patch-vq"]
    assert made.source == "phase1-pu60"
    assert "Fitted on events 0 to 0, measured on events 1 to 1." in text
    rates = [f"{rate:.2f}" for rate in made.table["bits_per_digi"]]
    assert all(any(rate in line for line in lines) for rate in rates)
    assert [line.split()[-1] for line in lines if line.strip().startswith("lossless")] == ["transparent"]  # fmt: skip


def test_sweep_as_json_has_the_numbers_and_not_the_models(events, tmp_path):
    path, _ = events
    line = ("sweep", path, "--out", tmp_path / "t.parquet", "--codec", "lossless", "--json")
    (row,) = json.loads(succeeded(*line))
    assert row["codec"] == "lossless"
    assert row["efficiency"] == 1
    assert not {"model", "comparison"} & set(row)
    assert Sweep.load(tmp_path / "t.parquet").source == str(path)


@pytest.mark.parametrize("columns", [80, 140])
def test_the_table_of_a_sweep_fits_the_terminal(monkeypatch, capsys, columns):
    monkeypatch.setattr("pixlab.cli.show.width", lambda: columns)
    monkeypatch.setattr("pixlab.cli.study.width", lambda: columns)
    shipped = Sweep.load(pixlab.samples.sweep_path())
    print_sweep("the shipped sweep", shipped)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    assert "…" not in "".join(lines)
    tiles = int((shipped.table["codec"] == "patch-vq").sum())
    assert sum(line.strip().startswith("patch-vq ") for line in lines) == tiles > 1
    assert any("Mdigi/s" in line for line in lines) == (columns > 100)


def test_serve_refuses_what_is_no_source(tmp_path):
    assert "does not exist" in refused("serve", tmp_path / "none.root", "--no-show", "--port", 0)


def test_demo_does_the_whole_job(monkeypatch):
    """Two small codebooks only: the others differ in nothing but the number."""
    monkeypatch.setattr("pixlab.cli.look.DEMO_CODEBOOKS", [16, 64])
    result = run("demo", "--no-serve")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("phase1-pu60: ")
    names = ["lossless", "cluster-vq", "patch-vq codebook size 16", "patch-vq codebook size 64"]
    shown = [next(line.strip() for line in lines if line.strip().startswith(n)) for n in names]
    assert [line.split()[-1] for line in shown] == ["transparent", "transparent", "none", "none"]
    exact, clusters, small, large = (
        float(line.removeprefix(name).split()[0]) for line, name in zip(shown, names, strict=True)
    )
    assert small < large < clusters < exact < 12.5


def test_demo_ends_in_the_dashboard_on_what_it_measured(monkeypatch):
    served = []
    monkeypatch.setattr("pixlab.cli.look.DEMO_CODEBOOKS", [16])
    monkeypatch.setattr(
        "pixlab.dashboards.serve", lambda sources, **options: served.append((sources, options))
    )
    succeeded("demo", "--port", 5010, "--no-show")
    ((sources, options),) = served
    assert options == {"port": 5010, "show": False}
    settings = ["lossless", "cluster-vq", "patch-vq codebook size 16"]
    assert list(sources[0].table["label"]) == settings
    assert sources[0].source == "phase1-pu60"


def test_behind_a_hub_the_page_is_at_its_proxy(monkeypatch):
    served = []
    monkeypatch.setattr("pixlab.dashboards.serve", lambda sources, **how: served.append(how))
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/me/")
    assert "/user/me/proxy/5006/" in succeeded("serve")
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX")
    assert "proxy" not in succeeded("serve", "--port", 5007)
    assert served == [{"port": 5006, "show": False}, {"port": 5007, "show": True}]


def test_the_page_of_serve_answers_on_this_machine_alone():
    with program("serve", "--no-show", "--port", 0) as child:
        line = child.stdout.readline()
        assert line.startswith("pixlab dashboard on http://127.0.0.1:")
        url = line.split()[3]
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                assert answer.status == 200
                assert "pixlab" in answer.read().decode()
        finally:
            child.send_signal(signal.SIGINT)
            _, error = child.communicate(timeout=60)
    assert (child.returncode, error) == (0, "")
