"""`explore`: controls change the picture, and what cannot be shown is said."""

from __future__ import annotations

from io import BytesIO

import matplotlib.image
import numpy as np
import pytest

import pixlab
from pixlab.codecs import Lossless, PatchVQ
from pixlab.errors import PixlabError
from pixlab.plots.stills import hits_png
from tests.helpers import random_digis, small_detector


@pytest.fixture(scope="module")
def digis():
    return random_digis(n_events=3, n_digis=3000, n_modules=20, seed=5)


@pytest.fixture(scope="module")
def model(digis):
    return PatchVQ(codebook_size=8).fit(digis)


def pixels(png: bytes) -> np.ndarray:
    return matplotlib.image.imread(BytesIO(png))


def differ(one: bytes, other: bytes) -> bool:
    a, b = pixels(one), pixels(other)
    return a.shape != b.shape or not np.array_equal(a, b)


def test_every_control_changes_the_picture(digis):
    explorer = pixlab.explore(digis)
    seen = [explorer.picture]
    for control, value in (
        (explorer.closer, False),
        (explorer.closer, True),
        (explorer.clusters, False),
        (explorer.logarithmic, True),
        (explorer.event, 2),
        (explorer.module, explorer.module.options[-1][1]),
    ):
        control.value = value
        assert differ(seen[-1], explorer.picture)
        seen.append(explorer.picture)
    assert not differ(seen[0], seen[2])


def test_a_layer_brings_its_modules_the_busiest_first(digis):
    explorer = pixlab.explore(digis)
    for layer in explorer.layer.options:
        explorer.layer.value = layer
        detector = digis.detector
        own = set(detector.detid[detector.in_layer(layer)].tolist())
        ids = [value for _, value in explorer.module.options]
        assert set(ids) == own
        sizes = [digis[0].select(detid=i).n_digis for i in ids]
        assert sizes == sorted(sizes, reverse=True)
        assert explorer.module.value == ids[0]


def test_the_module_stays_through_a_change_of_event(digis):
    explorer = pixlab.explore(digis)
    chosen = explorer.module.options[1][1]
    explorer.module.value = chosen
    explorer.event.value = 1
    assert explorer.module.value == chosen
    assert "event 1" in explorer.words


def test_a_model_is_shown_with_what_it_makes_of_the_digis(digis, model):
    alone, together = pixlab.explore(digis), pixlab.explore(model, digis)
    assert pixels(together.picture).shape[1] > 2 * pixels(alone.picture).shape[1]
    rate = 8 * model.encode(digis[0]).nbytes / digis[0].n_digis
    assert f"{rate:.2f} bits/digi" in together.words
    assert f"{model.quantize(digis[0]).n_digis:,} digis" in together.words


def test_a_lossless_model_has_no_difference(digis):
    model = Lossless().fit(digis)
    detid = int(digis[0].detid[0])
    same = hits_png(digis[0], model.quantize(digis[0]), detid, clusters=False)
    assert not differ(same, hits_png(digis[0], digis[0], detid, clusters=False))


def test_without_events_a_model_takes_the_sample_of_its_detector():
    sample = pixlab.samples.load("phase1-pu200")
    explorer = pixlab.explore(PatchVQ(codebook_size=4).fit(sample[:1]))
    first = pixlab.samples.load("phase1-pu60")
    assert explorer.event.max == len(first) - 1


def test_an_empty_event_has_an_empty_picture(digis, model):
    empty = pixlab.Digis.empty(digis.detector, 1)
    assert pixels(pixlab.explore(empty).picture).size
    assert pixels(pixlab.explore(model, empty).picture).size


def test_what_cannot_be_shown_is_said(digis, model):
    with pytest.raises(PixlabError, match="two sets of digis"):
        pixlab.explore(digis, digis)
    with pytest.raises(PixlabError, match="str cannot be explored"):
        pixlab.explore("digis.root")
    with pytest.raises(PixlabError, match="no event"):
        pixlab.explore(digis[:0])
    elsewhere = random_digis(small_detector(), n_events=1, n_digis=20)
    with pytest.raises(PixlabError, match="no embedded sample"):
        pixlab.explore(Lossless().fit(elsewhere))
    with pytest.raises(PixlabError, match="fitted on detector"):
        pixlab.explore(model, elsewhere)
    with pytest.raises(PixlabError, match="different detectors"):
        hits_png(digis[0], elsewhere, int(digis.detid[0]))


def test_a_hit_map_is_of_one_event(digis):
    with pytest.raises(PixlabError, match="one event"):
        hits_png(digis, None, int(digis.detid[0]))
