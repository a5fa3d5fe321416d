#!/usr/bin/env python3
"""Write the ROOT files of this directory with ROOT itself, so that no pixlab code wrote them.

The classes have the members that CMSSW's have (DataFormats/Common, DataFormats/Provenance,
DataFormats/SiPixelDigi), so that ROOT's own streaming rules decide the bytes.

    pip install --only-binary=:all: root numpy      # and g++; not needed to run the tests
    python make_root_files.py TRUTH_DIRECTORY       # holds truth_phase1_pu60.npz, …_pu200.npz

ROOT loads a class once a process, so every kind of class is a process of its own.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

HERE = pathlib.Path(__file__).parent
SIM = "PixelDigiedmDetSetVector_simSiPixelDigis__HLT."
PREMIX = "PixelDigiedmDetSetVector_mixData_Pixel_PREMIX."

HEADER = r"""
#pragma once
#include <cstdint>
#include <string>
#include <vector>
class PixelDigi {
public:
  explicit PixelDigi(unsigned int word = 0) : theData(word) {}
private:
  unsigned int theData;
};
class PixelDigiSimLink {
public:
  PixelDigiSimLink() : chan(0), fract(0) {}
private:
  unsigned int chan;
  float fract;
};
namespace edm {
  template <class T> struct DetSet { uint32_t id = 0; std::vector<T> data; };
  template <class T> class DetSetVector {
  public:
    std::vector<DetSet<T> > _sets;
    SORTED_FLAG
  };
  class WrapperBase { public: virtual ~WrapperBase() {} };
  template <class T> class Wrapper : public WrapperBase {
  public:
    bool present = true;
    T obj;
  };
  template <int I> class Hash { public: std::string hash_; };
  class EventID {
  public:
    unsigned int run_ = 0;
    unsigned int luminosityBlock_ = 0;
    EVENT_NUMBER event_ = 0;
  };
  class Timestamp { public: unsigned int timeLow_ = 0, timeHigh_ = 0; };
  class EventAuxiliary {
  public:
    Hash<2> processHistoryID_;
    EventID id_;
    std::string processGUID_;
    Timestamp time_;
    bool isRealData_ = false;
    int experimentType_ = 0, bunchCrossing_ = -1, orbitNumber_ = -1, storeNumber_ = 0;
  };
}
namespace edmNew {
  template <class T> class DetSetVector {
  public:
    std::vector<uint32_t> m_ids;
    std::vector<T> m_data;
  };
}
"""
CLASSES = [
    "PixelDigi",
    "std::vector<PixelDigi>",
    "edm::DetSet<PixelDigi>",
    "std::vector<edm::DetSet<PixelDigi> >",
    "edm::DetSetVector<PixelDigi>",
    "edm::Wrapper<edm::DetSetVector<PixelDigi> >",
    "PixelDigiSimLink",
    "std::vector<PixelDigiSimLink>",
    "edm::DetSet<PixelDigiSimLink>",
    "std::vector<edm::DetSet<PixelDigiSimLink> >",
    "edm::DetSetVector<PixelDigiSimLink>",
    "edm::Wrapper<edm::DetSetVector<PixelDigiSimLink> >",
    "edmNew::DetSetVector<PixelDigi>",
    "edm::Wrapper<edmNew::DetSetVector<PixelDigi> >",
    "edm::WrapperBase",
    "edm::Hash<2>",
    "edm::EventID",
    "edm::Timestamp",
    "edm::EventAuxiliary",
]
WRITER = r"""
#include "TBranch.h"
#include "TFile.h"
#include "TTree.h"
#include "TVirtualStreamerInfo.h"
#include <memory>
using Digis = edm::Wrapper<edm::DetSetVector<PixelDigi> >;
struct Source { std::string branch; const int* event; const unsigned* detid; const unsigned* word; long n, i; };
std::vector<Source> sources;
void add_source(const char* branch, const int* event, const unsigned* detid, const unsigned* word, long n) {
  sources.push_back({branch, event, detid, word, n, 0});
}
void write_file(const char* path, int n_events, int compression, int split, int buffer, int flush,
                bool memberwise, bool embed, bool aux, bool links, bool edm_new) {
  TVirtualStreamerInfo::SetStreamMemberWise(memberwise);
  TFile file(path, "RECREATE");
  file.SetCompressionSettings(compression);
  TTree tree("Events", "Events");
  std::vector<std::unique_ptr<Digis> > products;
  std::vector<Digis*> places(sources.size());
  auto* event_aux = new edm::EventAuxiliary();
  auto* link = new edm::Wrapper<edm::DetSetVector<PixelDigiSimLink> >();
  auto* other = new edm::Wrapper<edmNew::DetSetVector<PixelDigi> >();
  if (aux) tree.Branch("EventAuxiliary", "edm::EventAuxiliary", &event_aux, buffer, 0);
  for (size_t s = 0; s < sources.size(); ++s) {
    products.emplace_back(new Digis());
    places[s] = products[s].get();
    tree.Branch(sources[s].branch.c_str(), "edm::Wrapper<edm::DetSetVector<PixelDigi> >",
                &places[s], buffer, split);
  }
  if (links) tree.Branch("PixelDigiSimLinkedmDetSetVector_simSiPixelDigis__HLT.",
                         "edm::Wrapper<edm::DetSetVector<PixelDigiSimLink> >", &link, buffer, split);
  if (edm_new) tree.Branch("PixelDigiedmNewDetSetVector_siPixelDigis__RECO.",
                           "edm::Wrapper<edmNew::DetSetVector<PixelDigi> >", &other, buffer, split);
  tree.SetAutoFlush(flush);
  for (int e = 0; e < n_events; ++e) {
    event_aux->processHistoryID_.hash_ = std::string(16, char('a' + e % 26));
    event_aux->processGUID_ = "10531589-E673-E811-A01A-FA163ECAD" + std::to_string(100 + e);
    event_aux->id_.run_ = 316000 + e / 2;
    event_aux->id_.luminosityBlock_ = 7 + e;
    event_aux->id_.event_ = EVENT_BASE + e;
    for (size_t s = 0; s < sources.size(); ++s) {
      auto& from = sources[s];
      auto& sets = places[s]->obj._sets;
      sets.clear();
      while (from.i < from.n && from.event[from.i] == e) {
        edm::DetSet<PixelDigi> set;
        set.id = from.detid[from.i];
        for (; from.i < from.n && from.event[from.i] == e && from.detid[from.i] == set.id; ++from.i)
          set.data.emplace_back(from.word[from.i]);
        sets.push_back(set);
      }
    }
    link->obj._sets.assign(1, edm::DetSet<PixelDigiSimLink>());
    link->obj._sets[0].data.resize(3);
    other->obj.m_ids.assign(1, 303042564u);
    other->obj.m_data.assign(2, PixelDigi(5));
    tree.Fill();
  }
  if (embed) file.WriteTObject(&tree, "Events");  // leaves the last baskets inside the tree's own record
  else tree.Write();
  file.Close();
  sources.clear();
}
"""


FLAT = r"""
#include "TFile.h"
#include "TTree.h"
#include <vector>
void flat_file(const char* path, const char* kind, int first_event, const int* event, const unsigned* detid,
               const int* row, const int* col, const int* adc, long n, int n_events) {
  TFile file(path, "RECREATE");
  std::string how(kind);
  if (how == "rows") file.mkdir("dump")->cd();  // as TFileService does
  TTree tree("digiTree", "digis");
  int e, i, r, c, a, run = 316000, lumi, count;
  float charge;
  static int ids[2048], rows[2048], cols[2048], adcs[2048];
  std::vector<unsigned int> vi;
  std::vector<int> vr, vc;
  std::vector<short> va;
  tree.Branch("event", &e);
  if (how == "rows" || how == "float") {
    tree.Branch("run", &run), tree.Branch("lumi", &lumi);
    tree.Branch("detId", &i), tree.Branch("row", &r), tree.Branch("col", &c);
    if (how == "rows") tree.Branch("adc", &a);
    else tree.Branch("adc", &charge);
    for (long d = 0; d < n; ++d) {
      e = event[d] + first_event, i = detid[d], r = row[d], c = col[d], a = charge = adc[d];
      lumi = 7 + event[d];
      tree.Fill();
    }
  } else {
    if (how == "counted") {
      tree.Branch("n", &count, "n/I");
      tree.Branch("detId", ids, "detId[n]/I"), tree.Branch("row", rows, "row[n]/I");
      tree.Branch("col", cols, "col[n]/I"), tree.Branch("adc", adcs, "adc[n]/I");
    } else {
      tree.Branch("detid", &vi), tree.Branch("row", &vr), tree.Branch("col", &vc), tree.Branch("adc", &va);
    }
    long d = 0;
    for (int number = 0; number < n_events; ++number) {
      e = number + first_event, count = 0;
      vi.clear(), vr.clear(), vc.clear(), va.clear();
      for (; d < n && event[d] == number; ++d, ++count) {
        ids[count] = detid[d], rows[count] = row[d], cols[count] = col[d], adcs[count] = adc[d];
        vi.push_back(detid[d]), vr.push_back(row[d]), vc.push_back(col[d]), va.push_back(adc[d]);
      }
      tree.Fill();
    }
  }
  tree.Write();
  file.Close();
}
"""


def flat(digis, n_events):
    """Flat trees as CMS users' dump modules write them: numbers, C arrays and vectors."""
    import ROOT

    ROOT.gInterpreter.Declare(FLAT)
    types = (np.int32, np.uint32, np.int32, np.int32, np.int32)
    names = ("event", "detid", "row", "col", "adc")
    columns = [np.ascontiguousarray(digis[k], t) for k, t in zip(names, types, strict=True)]
    for kind, first in (("rows", 1001), ("float", 0), ("counted", 0), ("vectors", 1001)):
        path = HERE / f"flat_{kind}.root"
        ROOT.flat_file(str(path), kind, first, *columns, len(columns[0]), n_events)
        print(path.name, path.stat().st_size)


def load_root(*, flag, version, event_number):
    """ROOT with the classes: with or without `_alreadySorted`, foreign (version 0) or versioned."""
    import ROOT

    home = pathlib.Path(ROOT.__file__).parent
    build = pathlib.Path(tempfile.mkdtemp())
    text = HEADER.replace("SORTED_FLAG", "bool _alreadySorted = true;" if flag else "")
    (build / "edm.h").write_text(text.replace("EVENT_NUMBER", event_number))
    link = "".join(
        f"#pragma link C++ {f'options=version({version}) ' if version and 'std::' not in c else ''}"
        f"class {c}+;\n"
        for c in CLASSES
    )
    (build / "LinkDef.h").write_text(link)
    env = dict(os.environ, ROOTSYS=str(home))
    cling = [home / "bin/rootcling", "-f", "dict.cxx", "edm.h", "LinkDef.h"]
    subprocess.run(cling, cwd=build, env=env, check=True)
    compiler = [
        "g++",
        "-O1",
        "-shared",
        "-fPIC",
        "-std=c++17",
        f"-I{home}/include",
        "-I.",
        "dict.cxx",
    ]
    libraries = ["-o", "libedm.so", f"-L{home}/lib", "-lCore", "-lRIO", "-lTree"]
    subprocess.run(compiler + libraries, cwd=build, check=True)
    ROOT.gSystem.Load(str(build / "libedm.so"))
    ROOT.gInterpreter.Declare(f'#include "{build}/edm.h"')
    base = "4294967296ull * 3" if event_number != "unsigned int" else "1000000u"
    ROOT.gInterpreter.Declare(WRITER.replace("EVENT_BASE", base))
    return ROOT


def write(root, path, branches, n_events, *, compression=404, split=99, buffer=16384,
          flush=-30_000_000, memberwise=True, embed=False, aux=False, links=False, edm_new=False):  # fmt: skip
    """One file; `branches` maps a branch name to digis, empty modules and row order as given."""
    keep = []
    for name, digis in branches.items():
        event = np.ascontiguousarray(digis["event"], np.int32)
        detid = np.ascontiguousarray(digis["detid"], np.uint32)
        row, col, adc, flag = (
            np.asarray(digis.get(k, np.zeros(len(event))), np.uint32)
            for k in ("row", "col", "adc", "flag")
        )
        word = np.ascontiguousarray(
            row | col << np.uint32(11) | flag << np.uint32(21) | adc << np.uint32(22)
        )
        # ROOT takes no pointer to an empty array
        columns = [np.append(c, c.dtype.type(0)) for c in (event, detid, word)]
        keep.append(columns)
        root.add_source(name, *columns, len(word))
    root.write_file(str(path), n_events, compression, split, buffer, flush, memberwise, embed, aux, links, edm_new)  # fmt: skip
    print(path.name, path.stat().st_size)


def chosen(truth, events):
    """Some events of a truth file, numbered from 0, in CMS order (columns first in a module)."""
    at = np.isin(truth["event"], events)
    part = {k: truth[k][at] for k in ("event", "detid", "row", "col", "adc")}
    part["event"] = np.searchsorted(events, part["event"]).astype(np.int32)
    order = np.lexsort((part["row"], part["col"], part["detid"], part["event"]))
    return {k: v[order] for k, v in part.items()}


def edge_cases(rows, cols):
    """Six events: empty, one digi, one module full up to `rows` and `cols`, corners, random, empty."""
    ids = np.array([303042564, 344200196], np.uint32)
    rng = np.random.default_rng(20240607)
    row, col = (a.ravel() for a in np.mgrid[0:rows, 0:cols])
    full = (np.full(len(row), 2), np.full(len(row), ids[0]), row, col, (row + col) % 256)
    corner_row, corner_col = np.array([0, 0, 159, 159, 80]), np.array([0, 415, 0, 415, 52])
    corners = [
        (np.full(5, 3), np.full(5, i), corner_row, corner_col, np.array([0, 1, 254, 255, 1023]))
        for i in ids
    ]
    place = rng.choice(66560, 500, replace=False)
    random = (
        np.full(500, 4),
        np.full(500, ids[1]),
        place // 416,
        place % 416,
        rng.integers(0, 1024, 500),
    )
    one = tuple(np.array([v]) for v in (1, ids[1], 159, 415, 1))
    columns = [np.concatenate(c) for c in zip(one, full, *corners, random, strict=True)]
    digis = dict(zip(("event", "detid", "row", "col", "adc"), columns, strict=True))
    return chosen(digis, np.arange(6))


def many_events():
    """120 small events of 0 to 12 digis with flag bits, in no order inside a module."""
    rng = np.random.default_rng(11)
    ids = np.array([303042564, 303042568, 304091140, 344200196], np.uint32)
    event = np.sort(rng.integers(0, 120, 700))
    detid = ids[rng.integers(0, 4, 700)]
    row, col = rng.integers(0, 160, 700), rng.integers(0, 416, 700)
    adc, flag = rng.integers(0, 256, 700), rng.integers(0, 2, 700)
    order = np.lexsort((detid, event))
    return {k: v[order] for k, v in locals().items() if k in ("event", "detid", "row", "col", "adc", "flag")}  # fmt: skip


def bad_events():
    """Three events of three digis, and what may be wrong with the second of them."""
    good = dict(
        event=np.repeat(np.arange(3), 3),
        detid=np.tile(np.array([303042564, 303042564, 344200196], np.uint32), 3),
        row=np.array([5, 6, 7] * 3),
        col=np.array([1, 2, 3] * 3),
        adc=np.array([10, 20, 30] * 3),
    )

    def with_change(**at):
        return good | {k: np.where(np.arange(9) == i, v, good[k]) for k, (i, v) in at.items()}

    return {
        "unsorted": with_change(detid=(3, 344200196), row=(3, 9)),  # ids B, A, B
        "duplicate": with_change(row=(4, 5), col=(4, 1)),
        "row_outside": with_change(row=(4, 160)),
        "col_outside": with_change(col=(5, 416)),
        "unknown_id": with_change(detid=(5, 344200197)),
    }


def save(name, digis, n_events):
    """The truth beside the ROOT files: plain columns sorted by event, id, row and column."""
    order = np.lexsort((digis["col"], digis["row"], digis["detid"], digis["event"]))
    types = dict(
        event=np.int32, detid=np.uint32, row=np.uint16, col=np.uint16, adc=np.uint16, flag=bool
    )
    columns = {k: digis[k][order].astype(types[k]) for k in digis}
    np.savez_compressed(HERE / f"truth_{name}.npz", n_events=n_events, **columns)


def main(kind, directory):
    """All files that one version of the classes can write."""
    pu60, pu200 = (dict(np.load(directory / f"truth_phase1_{k}.npz")) for k in ("pu60", "pu200"))
    two, one = chosen(pu60, np.array([0, 1])), chosen(pu200, np.array([0]))
    full, edge, many = edge_cases(160, 416), edge_cases(80, 52), many_events()
    if kind == "plain":
        root = load_root(flag=False, version=0, event_number="unsigned long long")
        write(root, HERE / "edm_edge_zlib_split99.root", {SIM: edge}, 6, compression=109)
        write(root, HERE / "edm_edge_zstd_split1.root", {SIM: edge}, 6, compression=504, split=1)
        write(
            root, HERE / "edm_many_none_split99.root", {SIM: many}, 120, compression=0, buffer=600
        )
        write(root, HERE / "edm_many_objectwise.root", {SIM: many}, 120, split=0, memberwise=False)
        write(root, HERE / "edm_many_zstd_split2.root", {SIM: many}, 120, compression=505, split=2)
        write(root, HERE / "edm_many_embedded.root", {SIM: many}, 120, embed=True, buffer=3000)
        write(root, HERE / "edm_empty.root", {SIM: chosen(edge, np.array([0]))}, 3)
        write(root, HERE / "edm_no_events.root", {SIM: chosen(edge, np.array([0]))}, 0)
        write(root, HERE / "edm_new_only.root", {}, 2, edm_new=True, links=True)
        write(root, HERE / "edm_links_only.root", {}, 2, links=True, aux=True)
        for name, digis in bad_events().items():
            write(root, HERE / f"edm_bad_{name}.root", {SIM: digis}, 3, compression=207, split=1)
        save("full", full, 6), save("edge", edge, 6), save("many", many, 120)
        save("pu60", two, 2), save("pu200", one, 1)
    if kind == "flag":
        root = load_root(flag=True, version=0, event_number="unsigned long long")
        write(
            root, HERE / "edm_full_lzma_split0_flag.root", {SIM: full}, 6, compression=204, split=0
        )
        write(
            root, HERE / "edm_edge_lz4_split1_flag.root", {SIM: edge}, 6, compression=404, split=1
        )
        write(
            root,
            HERE / "edm_many_zlib_split99_flag.root",
            {SIM: many},
            120,
            compression=101,
            buffer=2000,
            flush=25,
        )
        write(
            root,
            HERE / "edm_many_lzma_split2_flag.root",
            {SIM: many},
            120,
            compression=205,
            split=2,
        )
    if kind == "versioned":  # as CMSSW: classes with a version, two products, event numbers
        root = load_root(flag=True, version=10, event_number="unsigned long long")
        both = {SIM: many, PREMIX: chosen(edge, np.arange(6))}
        for split in (99, 1, 0):
            write(
                root,
                HERE / f"edm_two_branches_split{split}.root",
                both,
                120,
                aux=True,
                links=True,
                edm_new=True,
                split=split,
                compression=505,
            )
    if kind == "trees":
        flat(many, 120)
    if kind == "old":  # 32-bit event numbers, before CMSSW 7
        root = load_root(flag=False, version=9, event_number="unsigned int")
        write(
            root,
            HERE / "edm_many_old_aux.root",
            {SIM: many},
            120,
            aux=True,
            split=0,
            compression=9,
            buffer=3000,
        )


if __name__ == "__main__":
    if len(sys.argv) == 2:
        for name in ("plain", "flag", "versioned", "old", "trees"):
            subprocess.run([sys.executable, __file__, sys.argv[1], name], check=True)
    else:
        main(sys.argv[2], pathlib.Path(sys.argv[1]))
