"""The README tells the truth: its commands and its Python run, its links and names exist."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

import pixlab
from pixlab.cli import main
from tests.pages import blocks, run_commands

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_two_set_up_commands_one_ends_in_the_demo_one_in_the_tests():
    lines = [line for block in blocks(README, "sh") for line in block.splitlines()]
    assert [line.rsplit("/", 1)[1] for line in lines] == ["pixlab demo", "pytest"]
    install = (
        "python3.11 -m venv .venv && .venv/bin/pip install -c constraints.txt -e '.[test]' && "
    )
    assert all(line.startswith(install) for line in lines)


def test_commands_run_as_written(tmp_path):
    """The whole block as one script, in an empty folder, with this environment's pixlab."""
    commands = blocks(README, "bash")
    assert any("pixlab compress" in block for block in commands)
    run_commands(commands, tmp_path)


def test_every_command_and_flag_exists():
    shown = " ".join(blocks(README, "bash")) + " ".join(re.findall(r"`(pixlab [^`]+)`", README))
    used = set(re.findall(r"\bpixlab ([a-z]+)\b", shown))
    assert used
    assert used <= set(main.commands)


def test_python_runs_as_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert blocks(README, "python")
    scope: dict = {}
    for block in blocks(README, "python"):
        exec(compile(block, "README.md", "exec"), scope)
    assert "bits/digi" in capsys.readouterr().out


def test_names_in_the_text_exist():
    names = set(re.findall(r"`pixlab\.(\w+)(?:\([^`]*\))?`", README))
    assert names
    assert names <= set(dir(pixlab))


def test_the_table_of_results_is_the_shipped_sweep():
    script = runpy.run_path(str(ROOT / "scripts" / "readme_table.py"))
    ((_, shown, _),) = script["PLACE"].findall(README)
    assert shown == script["table"]()


@pytest.mark.parametrize(
    "target", sorted(set(re.findall(r"\]\((?!https?:)([^)#]+)", README))), ids=str
)
def test_links_lead_somewhere(target):
    assert (ROOT / target).exists()
