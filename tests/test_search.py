"""`find`: against trying everything, and on made-up problems whose answer is known."""

from __future__ import annotations

import math
from itertools import count

import param
import pytest

import pixlab
from pixlab.codecs import Codec, Lossless, PatchVQ, Root, ScalarQuantizer
from pixlab.errors import Cancelled, PixlabError
from pixlab.study import evaluate, find, search
from pixlab.study.evaluation import label_of
from pixlab.study.search import _Point, _Search, _spaces


@pytest.fixture(scope="module")
def digis():
    return pixlab.simulate(6, pileup=2, seed=12)


# -- real codecs ----------------------------------------------------------------------------
def test_it_finds_what_trying_everything_finds(digis):
    tolerances = {"charge_rms": 0.06, "shift_col": 12.0}
    found = find(digis, "scalar", tolerances, knobs={"levels": (3, 24)})
    rates = {}
    for levels in range(3, 25):
        row = evaluate(ScalarQuantizer(levels=levels).fit(digis[:3]), digis[3:])
        if pixlab.Comparison.from_json(row["comparison"]).passed(tolerances):
            rates[levels] = row["bits_per_digi"]
    assert 0 < len(rates) < 22
    assert found
    assert found.codec.levels == min(rates, key=rates.get)
    assert found.best.table["bits_per_digi"][0] == min(rates.values())
    assert len(found.trail) < 12
    inside = found.trail[found.trail["levels"] == found.codec.levels].iloc[0]
    assert inside["inside"]
    assert inside["used"] <= 1
    assert found.model.quantize(digis[3:]) is not None
    assert label_of(found.codec) in str(found)
    assert "bisect" in found._repr_html_()


def test_a_margin_leaves_room(digis):
    loose = find(digis, "scalar", {"charge_rms": 0.06})
    tight = find(digis, "scalar", {"charge_rms": 0.06}, margin=0.5)
    assert tight.codec.levels > loose.codec.levels
    assert tight.best.comparison(0).table.loc["charge_rms"].max() <= 0.03


def test_the_best_of_several_codecs_comes_first_and_what_cannot_comes_last(digis):
    codecs = [PatchVQ(codebook_size=4), "lossless", ScalarQuantizer(levels=30)]
    found = find(digis, codecs, {"charge_rms": 0.05}, knobs={"levels": [20, 30, 60]})
    assert list(found.best.table["codec"]) == ["scalar", "lossless", "patch-vq"]
    assert found.passed == (True, True, False)
    assert found.codec == ScalarQuantizer(levels=20)
    # knobs that are not turned stay; a codec that has none is measured as it is
    assert set(found.trail.loc[found.trail.codec == "patch-vq", "codebook_size"]) == {4}
    assert found.best.provenance["measured_on"] == "events 3 to 5"


def test_where_nothing_is_inside_the_closest_is_named(digis):
    knobs = {"codebook_size": [2, 8]}
    found = find(digis, "patch-vq", {"charge_rms": 0.0001}, knobs=knobs)
    assert not found
    assert found.codec.codebook_size == 8
    assert "nothing inside; closest is patch-vq" in str(found)


def test_after_premixing(digis):
    found = find(digis[:4], "lossless", "transparent", premixed=True)
    assert found
    assert found.best.comparison(0).premixed is not None


def test_it_ends_when_told(digis):
    calls = count()
    with pytest.raises(Cancelled):
        find(digis, "scalar", "loose", progress=lambda *_: next(calls) < 5)
    found = find(digis, "scalar", {"charge_rms": 0.01}, most=3)
    assert len(found.trail) == 3


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tolerances": "tight"}, "no tolerances 'tight'"),
        ({"knobs": {"depth": (1, 2)}}, "no knob 'depth'; it has"),
        ({"knobs": {"levels": (9, 3)}}, "no range from 9 to 3"),
        ({"knobs": {"levels": []}}, "no value to try"),
        ({"codecs": []}, "no codec to look for"),
        ({"codecs": "zip"}, "no codec is called 'zip'"),
        ({"digis": None}, "give more events"),
    ],
)
def test_what_makes_no_sense_is_refused(digis, arguments, words):
    given = {"digis": digis, "codecs": "scalar"} | arguments
    given["digis"] = digis[:1] if given["digis"] is None else given["digis"]
    with pytest.raises(PixlabError, match=words):
        find(**given)


def test_a_codec_that_is_not_installed_is_refused_first(digis, monkeypatch):
    monkeypatch.setattr(Root, "installed", classmethod(lambda cls: False))
    monkeypatch.setattr(search, "perform", None)
    with pytest.raises(PixlabError, match=r"pixlab\[root\]"):
        find(digis, [Lossless(), Root()])


# -- made-up problems -----------------------------------------------------------------------
class Made(Codec):
    """Knobs with known consequences."""

    key = "made"
    searched = ("a", "b", "n")

    a = param.Number(default=0.1, bounds=(0.001, 10), doc="step")
    b = param.Number(default=5.0, bounds=(0.001, 10), doc="step")
    n = param.Integer(default=4, bounds=(0, 100), doc="quality")
    kind = param.Selector(default="plain", objects=["plain", "good", "bad"], doc="choice")
    size = param.Number(default=1.0, bounds=(0.1, 10), doc="neither way")


def solve(rate, error, knobs=None, most=300, precision=0.01):
    """The best setting of a problem, and all that were tried."""
    tried = []

    def judge(codec, step, fraction):
        assert 0 <= fraction < 1
        used = error(**codec.knobs())
        point = _Point(codec, {}, rate(**codec.knobs()), used <= 1, used, "")
        tried.append((step, point))
        return point

    found = _Search(Made(), judge, precision, most)
    ranges, choices = _spaces(Made(), knobs, alone=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "make_codec", lambda key, **knobs: Made(**knobs))
        for some in choices:
            found.solve(some, ranges)
    return found.best, tried


def test_separate_limits_are_all_reached():
    """Each knob has its own limit; the start is inside for one, outside for two."""
    best, tried = solve(
        rate=lambda a, b, n, **_: 20 - math.log(a) - math.log(b) + n,
        error=lambda a, b, n, **_: max(a / 0.7, b / 0.3, (12 - n) / 2),
    )
    assert best.inside
    assert 0.68 < best.codec.a <= 0.7
    assert 0.29 < best.codec.b <= 0.3
    assert best.codec.n == 10
    assert len(tried) < 100


def test_a_knob_that_turns_the_other_way_or_does_nothing_is_no_trouble():
    best, tried = solve(
        rate=lambda a, n, **_: 5 + a + 0.1 / (1 + n), error=lambda a, n, **_: 0.5 / a + n / 100
    )
    assert best.codec.b == Made.param.b.default
    assert best.inside
    assert best.rate < 5 + 1.4  # n at 100 would need an infinite a, n at 0 a = 0.5
    assert not any("bracket b" in step for step, _ in tried)


def test_all_is_inside_or_nothing_is():
    best, _ = solve(rate=lambda a, **_: 1 / a, error=lambda **_: 0.5, knobs={"a": None})
    assert best.codec.a == 10
    best, tried = solve(
        rate=lambda a, **_: 1 / a, error=lambda a, **_: 2 + a, knobs={"a": (0.01, 1)}
    )
    assert not best.inside
    assert best.codec.a == 0.01
    assert len(tried) < 20


def test_a_knob_without_a_way_is_found_by_sections():
    """The rate is least at size 2; elsewhere only the error knows a."""
    best, _ = solve(
        rate=lambda a, size, **_: 3 - math.log(a) + math.log(size / 2) ** 2,
        error=lambda a, **_: a / 0.4,
        knobs={"size": None, "a": None},
    )
    assert 0.38 < best.codec.a <= 0.4
    assert best.rate < 3 - math.log(0.4) + 0.03


@pytest.mark.parametrize("least", [0.3, 1.1, 6.0])
def test_a_way_that_turns_is_followed_to_where_it_does(least):
    best, _ = solve(
        rate=lambda size, **_: 3 + math.log(size / least) ** 2,
        error=lambda **_: 0.5,
        knobs={"size": None},
    )
    assert best.codec.size == pytest.approx(least, rel=0.15)


def test_choices_are_tried_one_by_one():
    worth = {"plain": 0.0, "good": -1.0, "bad": 3.0}
    best, tried = solve(
        rate=lambda a, kind, **_: 9 - a + worth[kind],
        error=lambda a, kind, **_: a / (0.2 if kind == "good" else 0.3),
        knobs={"kind": ["plain", "good", "bad"], "a": (0.01, 1)},
    )
    assert best.codec.kind == "good"
    assert best.codec.a == pytest.approx(0.2, rel=0.02)
    assert {p.codec.kind for _, p in tried} == set(worth)


def test_only_what_is_asked_for_is_turned():
    _, tried = solve(
        rate=lambda a, **_: 1 / a, error=lambda a, b, **_: a + b, knobs={"a": (0.01, 1)}
    )
    assert {p.codec.b for _, p in tried} == {Made.param.b.default}
    ranges, choices = _spaces(Made(), None, alone=True)
    assert [k.name for k in ranges] == list(Made.searched)
    assert choices == [{}]
