"""The sweep: real bytes, disjoint events, one table that holds everything."""

from __future__ import annotations

import numpy as np
import pytest

import pixlab
from pixlab.codecs import Lossless, PatchVQ
from pixlab.errors import FormatError, PixlabError
from pixlab.study import MODEL_EVENTS, Sweep, default_codecs, evaluate, root_reference, sweep
from tests.helpers import random_digis


@pytest.fixture(scope="module")
def digis():
    return pixlab.simulate(4, pileup=3, seed=5)


@pytest.fixture(scope="module")
def found(digis):
    codecs = [Lossless(), PatchVQ(codebook_size=4), PatchVQ(codebook_size=64)]
    return sweep(digis, codecs, source="here")


def test_rates_are_bytes_of_files(found, digis, tmp_path):
    row = found.table.iloc[1]
    model = found.model(1)
    facts = pixlab.compress(digis[2:], tmp_path / "x.pxl", model=model)
    assert row["bytes"] == facts["bytes"] == (tmp_path / "x.pxl").stat().st_size
    assert row["bits_per_digi_file"] == pytest.approx(8 * facts["bytes"] / digis[2:].n_digis)
    spread = row["payload_bytes"] + row["model_bytes"] * 2 / MODEL_EVENTS
    assert row["bits_per_digi"] == pytest.approx(8 * spread / digis[2:].n_digis)
    sections = [c for c in found.table if c.startswith("ledger.")]
    assert np.nansum(row[sections].astype(float)) == row["bytes"]
    assert row["ratio_root_zstd4"] == pytest.approx(
        root_reference(digis[2:])["root_zstd4"] / spread
    )


def test_models_are_fitted_on_the_first_half_and_measured_on_the_second(found, digis):
    assert found.provenance["fitted_on"] == "events 0 to 1"
    assert found.provenance["measured_on"] == "events 2 to 3"
    assert found.model(2) == PatchVQ(codebook_size=64).fit(digis[:2])
    assert found.comparison(2) == pixlab.compare(digis[2:], found.model(2).quantize(digis[2:]))
    assert (found.table["events"] == 2).all()
    assert set(found.knobs) >= {"codebook_size", "tile_rows"}


def test_a_table_survives_its_file(found, tmp_path):
    found.save(tmp_path / "t.parquet")
    again = Sweep.load(tmp_path / "t.parquet")
    assert (again.source, again.provenance) == (found.source, found.provenance)
    assert again.table["bits_per_digi"].tolist() == found.table["bits_per_digi"].tolist()
    assert again.model(1) == found.model(1)
    assert again.comparison(1) == found.comparison(1)
    assert "patch-vq" in again._repr_html_()


def test_what_is_no_table_is_refused(tmp_path):
    pixlab.write(random_digis(), tmp_path / "digis.parquet")
    with pytest.raises(FormatError, match="no table of a sweep"):
        Sweep.load(tmp_path / "digis.parquet")
    (tmp_path / "text").write_text("text")
    with pytest.raises(PixlabError):
        Sweep.load(tmp_path / "text")
    with pytest.raises(PixlabError, match="cannot read"):
        Sweep.load(tmp_path / "missing.parquet")


def test_too_few_events_are_refused(digis):
    with pytest.raises(PixlabError, match="1 events cannot be split"):
        sweep(digis[:1])
    with pytest.raises(PixlabError, match="give more events"):
        sweep(digis, fit_events=4)


def test_the_default_goes_from_16_to_4096_codes():
    sizes = [c.codebook_size for c in default_codecs() if isinstance(c, PatchVQ)]
    assert (sizes[0], sizes[-1]) == (16, 4096)


def test_lossless_rows_are_perfect(digis):
    row = evaluate(Lossless().fit(digis[:1]), digis[1:])
    assert (row["charge_rms"], row["size_unchanged"], row["efficiency"]) == (0, 1, 1)
    assert row["fakes"] == 0


def test_the_shipped_sweep_is_of_the_shipped_sample_and_monotone():
    table = Sweep.load(pixlab.samples.sweep_path())
    digis = pixlab.samples.load(table.source)
    books = table.table[table.table["codec"] == "patch-vq"].sort_values("codebook_size")
    assert (books["codebook_size"].iloc[0], books["codebook_size"].iloc[-1]) == (16, 4096)
    assert (np.diff(books["bits_per_digi"]) > 0).all()
    assert (np.diff(books["charge_rms"]) < 0).all()
    # measured again: the models in the table give the comparison in the table
    i = int(books.index[2])
    test = digis[5:]
    again = pixlab.compare(test, table.model(i).quantize(test))
    assert again == table.comparison(i)


def test_the_root_reference_is_close_to_root_itself():
    """ROOT wrote this file with ZSTD-4: its size is 30.16 bits a digi on 10 such events."""
    test = pixlab.samples.load("phase1-pu60")
    rate = 8 * root_reference(test)["root_zstd4"] / test.n_digis
    assert 29.0 < rate < 31.5
