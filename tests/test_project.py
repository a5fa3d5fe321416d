"""The files that describe the project agree with each other."""

from __future__ import annotations

import ast
import os
import re
import runpy
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import pixlab

ROOT = Path(__file__).parents[1]
# where conda-forge calls a package otherwise
CONDA_NAMES = {"matplotlib-base": "matplotlib", "pytorch-cpu": "torch", "python-xxhash": "xxhash"}


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def environment() -> list[str]:
    return yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]


@pytest.fixture(scope="module")
def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    assert all(len(pair) == 2 for pair in pairs), "constraints.txt holds plain pins only"
    return {canonicalize_name(name): version for name, version in pairs}


def bounds(requirements: list[str]) -> dict[str, SpecifierSet]:
    parsed = [Requirement(text) for text in requirements]
    return {canonicalize_name(r.name): r.specifier for r in parsed}


def test_environment_yml_names_and_bounds_are_those_of_pyproject(project, environment):
    expected = bounds(project["dependencies"]) | bounds(project["optional-dependencies"]["binder"])
    # conda writes python=3.11 where pip would write python==3.11.*
    python = [text for text in environment if text.startswith("python=")]
    assert len(python) == 1
    version = python[0].removeprefix("python=")
    assert SpecifierSet(project["requires-python"]).contains(version)
    packages = [text for text in environment if text not in (*python, "pip")]
    found = {CONDA_NAMES.get(name, name): b for name, b in bounds(packages).items()}
    assert found == expected


def test_what_the_package_imports_is_declared(project):
    """A package that comes only because another one needs it today may be gone tomorrow."""
    modules = set()
    for path in Path(pixlab.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                modules.add(node.module.split(".")[0])
    foreign = modules - set(sys.stdlib_module_names) - {"pixlab"}
    assert len(foreign) > 10
    names = packages_distributions()
    needed = {canonicalize_name(names.get(module, [module])[0]) for module in foreign}
    declared = set(bounds(project["dependencies"]))
    for extra, texts in project["optional-dependencies"].items():
        declared |= set(bounds(texts)) if extra not in ("test", "docs") else set()
    assert needed <= declared


def test_environment_yml_takes_conda_forge_alone_and_no_cuda():
    parsed = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert parsed["channels"] == ["conda-forge", "nodefaults"]
    assert any(text.startswith("pytorch-cpu") for text in parsed["dependencies"])


def test_constraints_pin_every_requirement_inside_its_bounds(project, pins):
    extras = project["optional-dependencies"]
    wanted = bounds(project["dependencies"])
    for extra in ("test", "docs", "root"):
        wanted |= bounds(extras[extra])
    assert set(wanted) <= set(pins)
    outside = {n: pins[n] for n, bound in wanted.items() if not bound.contains(pins[n])}
    assert not outside


def test_constraints_pin_what_the_requirements_need_in_turn(pins):
    """Every package that can be reached from pixlab in this environment has a pin."""
    seen: set[tuple[str, str]] = set()
    unpinned = set()
    todo = [("pixlab", extra) for extra in ("", "test", "docs", "root")]
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            needed = [Requirement(text) for text in requires(name) or []]
        except PackageNotFoundError:  # of an extra that is not installed here
            continue
        if name != "pixlab" and name not in pins:
            unpinned.add(name)
        for r in needed:
            if r.marker is None or r.marker.evaluate({"extra": extra}):
                todo += [(canonicalize_name(r.name), e) for e in ("", *sorted(r.extras))]
    assert len(seen) > 100
    assert not unpinned


def test_constraints_name_no_file_no_host_and_no_local_build(pins):
    text = (ROOT / "constraints.txt").read_text()
    pin_lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert not [line for line in pin_lines if re.search(r"[/@+]|^-", line)]
    assert pins["torch"] == "2.13.0"


def test_binder_builds_from_the_environment_and_installs_pixlab_itself():
    binder = ROOT / "binder"
    assert (binder / "environment.yml").read_text() == (ROOT / "environment.yml").read_text()
    post_build = binder / "postBuild"
    assert os.access(post_build, os.X_OK)
    lines = [line for line in post_build.read_text().splitlines() if not line.startswith("#")]
    assert lines == ["set -e", "pip install --no-deps -e ."]


def test_binder_serves_the_dashboard_and_nothing_else():
    # the proxy reads every value as text: "false" would count as true
    config = yaml.load((ROOT / "jupyter-panel-proxy.yml").read_text(), Loader=yaml.BaseLoader)
    assert config["apps"] == ["binder/dashboard.py"]
    assert all((ROOT / app).is_file() for app in config["apps"])
    assert config["dev"] == config["autoreload"] == ""


def test_changelog_has_this_version():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(rf"^## \[({re.escape(pixlab.__version__)}|Unreleased)\]", text, re.M)


def test_ci_script_is_executable():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text()


def test_the_page_that_binder_serves_is_the_dashboard():
    from pixlab.dashboards.theme import ThemedPage

    made = runpy.run_path(str(ROOT / "binder" / "dashboard.py"))["page"]
    assert isinstance(made, ThemedPage)  # with the title and the theme, as `pixlab serve` has it
    assert made.get_root() is not None
