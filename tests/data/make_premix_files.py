#!/usr/bin/env python3
"""Write EDM files as pre-mixed libraries have them, with ROOT itself: digis among many other products.

    pip install --only-binary=:all: root numpy      # and g++; not needed to run the tests
    python make_premix_files.py

The digis are random, on modules of the detectors of pixlab. Each file has 300 branches of other
things, links, digis of other kinds and, in Phase 2, two products of pixel digis.
"""

import os
from pathlib import Path

import numpy as np
from make_root_files import HERE, chosen, load_root, save

from pixlab.detectors import DETECTORS

WRITER = r"""
#include "TFile.h"
#include "TTree.h"
#include <memory>
using Digis = edm::Wrapper<edm::DetSetVector<PixelDigi> >;
using Links = edm::Wrapper<edm::DetSetVector<PixelDigiSimLink> >;
struct From { std::string branch; std::vector<int> event; std::vector<unsigned> detid, word; size_t i = 0; };
std::vector<From> premixed;
void premix_file(const char* path, int n_events, int compression, int split) {
  TFile file(path, "RECREATE");
  file.SetCompressionSettings(compression);
  TTree tree("Events", "Events");
  auto* aux = new edm::EventAuxiliary();
  auto *link = new Links(), *tracker = new Links();
  std::vector<Digis*> places;
  static double numbers[300];
  tree.Branch("EventAuxiliary", "edm::EventAuxiliary", &aux, 16384, 0);
  for (int i = 0; i < 150; ++i) tree.Branch(("doubles_producer" + std::to_string(i) + "_value_PREMIX.").c_str(), &numbers[i]);
  const char* kind = "edm::Wrapper<edm::DetSetVector<PixelDigiSimLink> >";
  tree.Branch("PixelDigiSimLinkedmDetSetVector_simSiPixelDigis_Pixel_PREMIX.", kind, &link, 16384, split);
  tree.Branch("Phase2TrackerDigiedmDetSetVector_mix_Tracker_PREMIX.", kind, &tracker, 16384, split);
  places.reserve(premixed.size());
  for (auto& from : premixed) {
    places.push_back(new Digis());
    tree.Branch(from.branch.c_str(), "edm::Wrapper<edm::DetSetVector<PixelDigi> >", &places.back(), 16384, split);
  }
  for (int i = 150; i < 300; ++i) tree.Branch(("floats_producer" + std::to_string(i) + "__PREMIX.").c_str(), &numbers[i]);
  for (int e = 0; e < n_events; ++e) {
    aux->id_.run_ = 1, aux->id_.luminosityBlock_ = 100 + e, aux->id_.event_ = 12345 + e;
    for (size_t s = 0; s < premixed.size(); ++s) {
      auto& from = premixed[s];
      auto& sets = places[s]->obj._sets;
      sets.clear();
      while (from.i < from.event.size() && from.event[from.i] == e) {
        edm::DetSet<PixelDigi> set;
        set.id = from.detid[from.i];
        for (; from.i < from.event.size() && from.event[from.i] == e && from.detid[from.i] == set.id; ++from.i)
          set.data.emplace_back(from.word[from.i]);
        sets.push_back(set);
      }
    }
    link->obj._sets.assign(1, edm::DetSet<PixelDigiSimLink>());
    link->obj._sets[0].data.resize(20);
    tree.Fill();
  }
  tree.Write();
  file.Close();
  premixed.clear();
}
void add_premixed(const char* branch, const int* event, const unsigned* detid, const unsigned* word, long n) {
  premixed.push_back({branch, {event, event + n}, {detid, detid + n}, {word, word + n}});
}
"""


def random_digis(name, n_events, n_modules, n_digis, adc_max, seed):
    """Clumps of digis on some modules, in CMS order."""
    detector, rng = DETECTORS[name], np.random.default_rng(seed)
    modules = np.sort(rng.choice(len(detector), n_modules, replace=False))
    event, module = rng.integers(0, n_events, n_digis), rng.choice(modules, n_digis)
    row, col = rng.integers(0, detector.rows[module]), rng.integers(0, detector.cols[module])
    adc = rng.integers(1, adc_max + 1, n_digis)
    columns = np.stack([event, detector.detid[module], row, col, adc])
    _, once = np.unique(columns[:4], axis=1, return_index=True)
    digis = dict(zip(("event", "detid", "row", "col", "adc"), columns[:, once], strict=True))
    return chosen(digis, np.arange(n_events))


def write(root, name, branches, n_events, *, compression, split):
    """One file."""
    for branch, digis in branches.items():
        row, col, adc = (np.asarray(digis[k], np.uint32) for k in ("row", "col", "adc"))
        word = row | col << np.uint32(11) | adc << np.uint32(22)
        event = np.ascontiguousarray(digis["event"], np.int32)
        detid = np.ascontiguousarray(digis["detid"], np.uint32)
        root.add_premixed(branch, event, detid, np.ascontiguousarray(word), len(word))
    path = Path(f"{name}.root")  # ROOT writes the whole path into the file
    root.premix_file(str(path), n_events, compression, split)
    print(path, path.stat().st_size)


if __name__ == "__main__":
    os.chdir(HERE)
    root = load_root(flag=True, version=10, event_number="unsigned long long")
    root.gInterpreter.Declare(WRITER)
    linear = random_digis("phase2-premix", 3, 300, 2000, 255, 1)
    tot = random_digis("phase2", 3, 300, 500, 15, 2)
    phase0 = random_digis("phase0", 4, 200, 1500, 255, 3)
    sim = "PixelDigiedmDetSetVector_simSiPixelDigis_Pixel_PREMIX."
    other = "PixelDigiedmDetSetVector_mixData_Pixel_DIGI."
    write(root, "edm_phase2_premix", {sim: linear, other: tot}, 3, compression=504, split=99)
    plain = "PixelDigiedmDetSetVector_simSiPixelDigis__PREMIX."
    write(root, "edm_phase0_premix", {plain: phase0}, 4, compression=109, split=0)
    save("phase2_premix", linear, 3), save("phase2_tot", tot, 3), save("phase0_premix", phase0, 4)
