"""The documentation tells the truth: its commands and its Python run, its tables are complete."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path

import pytest

import pixlab
from pixlab.cli import main
from tests.pages import blocks, run_commands

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("howto/*.md")])


def with_blocks(language: str) -> list[Path]:
    return [path for path in PAGES if blocks(path.read_text(), language)]


@pytest.mark.slow
@pytest.mark.parametrize("path", with_blocks("bash"), ids=lambda path: path.stem)
def test_commands_run_as_written(path, tmp_path):
    """The commands of a page as one script, in an empty folder."""
    run_commands(blocks(path.read_text(), "bash"), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("path", with_blocks("python"), ids=lambda path: path.stem)
def test_python_runs_as_written(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pixlab.dashboard", lambda *_, **__: None)  # tests/test_dashboard.py
    scope: dict = {}
    for block in blocks(path.read_text(), "python"):
        exec(compile(block, str(path), "exec"), scope)


def test_there_is_something_to_run():
    assert {"compress", "choose", "read-files"} <= {path.stem for path in with_blocks("bash")}
    assert {"concepts", "extend", "serve"} <= {path.stem for path in with_blocks("python")}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_commands_and_names_in_the_text_exist(path):
    text = path.read_text()
    commands = set(re.findall(r"`pixlab ([a-z]+)\b", text))
    commands |= set(
        re.findall(r"^ *pixlab ([a-z]+)\b", "\n".join(blocks(path.read_text(), "sh")), re.M)
    )
    assert commands <= set(main.commands)
    for name in re.findall(r"`pixlab\.(\w+)(?:\([^`]*\))?`", text):
        assert hasattr(pixlab, name) or import_module(f"pixlab.{name}")


def test_every_public_name_is_in_a_room_of_the_reference():
    sys.path.append(str(DOCS / "_ext"))
    try:
        rooms = import_module("rooms")
    finally:
        sys.path.remove(str(DOCS / "_ext"))
    package = Path(pixlab.__file__).parent
    there = {p.stem for p in package.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    private = {"__init__", "cli", "jit", "progress"}  # the commands have a page of their own
    assert there - private <= set(rooms.ROOMS)
    for name, module in pixlab._EXPORTS.items():
        room = module.removeprefix("pixlab.")
        assert room in rooms.ROOMS
        assert name in rooms.public_names(import_module(module))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_no_figure_of_the_sweep_is_typed_by_hand(path):
    """Rates belong to tables that are made from the shipped sweep; how-tos show none."""
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S)
    assert not re.findall(r"\d+\.\d+ bits/digi", text)
