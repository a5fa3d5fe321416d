"""docs/physics.md defines what the code measures: every metric, limit, spectrum and map."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

import pixlab
from pixlab.physics import MAPS, METRICS, SPECTRA, TOLERANCES, Tolerances
from pixlab.physics.deep import DEEP_METRICS
from pixlab.physics.groups import PARTS
from pixlab.physics.sample import MOST_CLUSTERS

TEXT = (Path(__file__).parents[1] / "docs" / "physics.md").read_text()


def rows(heading: str) -> list[list[str]]:
    """Cells of the last table under a heading."""
    section = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    table = re.findall(r"(?:^\|.*\n?)+", section, re.M)[-1]
    lines = [line.strip("|").split("|") for line in table.strip().splitlines()]
    return [[cell.strip() for cell in line] for line in lines[2:]]


def test_every_metric_is_defined():
    expected = [[f"`{name}`", m.unit, m.meaning] for name, m in METRICS.items()]
    assert rows("Metrics") == expected


def test_limits_are_those_of_the_presets():
    for name, *limits in rows("Tolerances"):
        metric = name.strip("`")
        found = [TOLERANCES[preset].get(metric) for preset in TOLERANCES]
        assert [None if x == "any" else float(x) for x in limits] == found
    assert {name.strip("`") for name, *_ in rows("Tolerances")} == set(TOLERANCES["transparent"])


def test_the_example_of_a_file_is_one(tmp_path):
    (example,) = re.findall(r"```toml\n(.*?)```", TEXT, re.S)
    path = tmp_path / "mine.toml"
    path.write_text(example)
    found = Tolerances.of(path)
    assert found.name == "tracking"
    assert found.limit("shift_row", "BPIX 1") == 2.5
    assert found.limit("fakes", "BPIX 1") is None


def test_maps_and_deep_metrics():
    assert rows("Spectra and maps") == [[f"`{name}`", what] for name, what in MAPS.items()]
    assert rows("In many dimensions") == [[f"`{n}`", m] for n, (_, m) in DEEP_METRICS.items()]
    for name, spectrum in SPECTRA.items():
        assert f"| `{name}` | {spectrum.axis_label} | {spectrum.entries} |" in TEXT


def test_numbers_in_the_text():
    assert PARTS == 12
    assert f"{MOST_CLUSTERS:,} clusters" in TEXT
    detector = pixlab.DETECTORS["phase1"]
    assert f"seed threshold ({detector.seed_threshold:.0f} e)" in TEXT
    assert {2000.0, 4000.0} == set(detector.cluster_threshold.tolist())


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(pixlab(?:\.\w+)+)\(", TEXT))))
def test_functions_exist(name):
    room, _, function = name.rpartition(".")
    assert callable(getattr(import_module(room), function))
