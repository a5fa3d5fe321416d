"""The arrows of the design: who may import whom, and what `import pixlab` may cost."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pixlab

PACKAGE = Path(pixlab.__file__).parent

# a room may import rooms of lower rank only; rooms of one rank do not know each other
RANK = {
    "errors": 0,
    "jit": 0,
    "progress": 1,
    "digis": 1,
    "detectors": 1,
    "premixing": 2,
    "clusters": 2,
    "coding": 3,
    "codecs": 4,
    "networks": 4,
    "io": 5,
    "samples": 6,
    "simulation": 6,
    "physics": 7,
    "study": 8,
    "plots": 9,
    "dashboards": 10,
    "cli": 11,
}
# containers and their meaning are one thought in two rooms; a learned codec holds its network
NEIGHBOURS = {("digis", "detectors"), ("codecs", "networks")}

HEAVY = ("torch", "panel", "holoviews", "bokeh", "numba", "uproot", "awkward", "scipy", "sklearn")
HEAVY += ("pandas", "pyarrow", "hist", "rich")


def sources() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def modules_imported(source: str, package: tuple[str, ...]) -> set[str]:
    """Full names of all modules that a source text imports, inside functions too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*above, *filter(None, [node.module])))
            # `from pixlab import samples` names a room, `from pixlab.io import read` a function
            found |= {f"{base}.{a.name}" for a in node.names} if base == "pixlab" else {base}
    return found


def violations(room: str, source: str, package: tuple[str, ...] = ("pixlab",)) -> list[str]:
    """Rooms that a source text in `room` imports and must not."""
    assert room in RANK, f"room '{room}' has no place in the design"
    wrong = []
    for name in sorted(modules_imported(source, package)):
        parts = name.split(".")
        if parts[0] != "pixlab" or parts[-1] == "__version__":
            continue
        # a public name taken from the top counts as the room that defines it
        other = "cli" if len(parts) == 1 else pixlab._EXPORTS.get(parts[1], name).split(".")[1]
        assert other in RANK, f"room '{other}' has no place in the design"
        if other != room and RANK[other] >= RANK[room] and (room, other) not in NEIGHBOURS:
            wrong.append(other)
    return wrong


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_room_imports_only_rooms_to_its_left(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    assert not violations(parts[0], path.read_text(), ("pixlab", *parts[:-1]))


@pytest.mark.parametrize(
    ("room", "source", "wrong"),
    [
        ("io", "from pixlab.codecs import CODECS", []),
        ("io", "def f():\n    from pixlab.physics.spectra import x", ["physics"]),
        ("clusters", "from pixlab import compare", ["physics"]),
        ("clusters", "from .study import sweep", ["study"]),
        ("clusters", "from . import samples", ["samples"]),
        ("samples", "import pixlab.simulation", ["simulation"]),
        ("digis", "import pixlab", ["cli"]),
        ("cli", "from pixlab import __version__, dashboard", []),
    ],
)
def test_the_arrow_test_sees_every_way_to_import(room, source, wrong):
    assert violations(room, source) == wrong


def fresh(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


@pytest.mark.parametrize("what", ["import pixlab", "import pixlab.cli"])
def test_starting_up_loads_nothing_heavy(what):
    loaded = fresh(f"{what}, sys; print(*sorted(sys.modules))").split()
    assert not set(loaded) & set(HEAVY)


@pytest.mark.parametrize("name", sorted(pixlab.__all__))
def test_every_public_name_exists(name):
    assert getattr(pixlab, name) is not None


def test_public_names_of_the_design_are_listed():
    promised = "read iterate write simulate samples Digis DETECTORS CODECS load_model compress"
    promised += " decompress cluster compare sweep dashboard Lossless PatchVQ"
    assert set(promised.split()) <= set(dir(pixlab))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        pixlab.no_such_name  # noqa: B018


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_source_file_can_run_code_from_data(path):
    """No pickle, and none of the loaders that fall back on it."""
    text = path.read_text()
    roots = {name.split(".")[0] for name in modules_imported(text, ("pixlab",))}
    assert not roots & {"pickle", "joblib", "dill", "marshal"}
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    names = {call.func.id for call in calls if isinstance(call.func, ast.Name)}
    assert not names & {"eval", "exec"}
    keywords = {k.arg: k.value for call in calls for k in call.keywords}
    assert "allow_pickle" not in keywords or ast.unparse(keywords["allow_pickle"]) == "False"
