"""What a library does in a process of its own; `foreign_process` starts it and asks.

It imports nothing of pixlab. Requests come on standard input, answers go to what was standard
output: a length, a JSON head, arrays.
"""

from __future__ import annotations

import json
import os
import signal
import struct
import sys
import time
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
_LENGTH = struct.Struct("<I")
_MEMORY = 1 << 32  # bytes of address space, ROOT and its compiler included


def send(pipe: BinaryIO, head: dict[str, Any], arrays: list[Array]) -> None:
    """Write one message."""
    head = head | {"arrays": [(a.dtype.str, len(a)) for a in arrays]}
    text = json.dumps(head).encode()
    pipe.write(_LENGTH.pack(len(text)) + text)
    for array in arrays:
        pipe.write(np.ascontiguousarray(array).view(np.uint8).data)
    pipe.flush()


def receive(pipe: BinaryIO) -> tuple[dict[str, Any], list[Array]]:
    """Read one message; EOFError where there is none."""
    head = json.loads(_take(pipe, _LENGTH.unpack(_take(pipe, _LENGTH.size))[0]))
    arrays = []
    for kind, n in head.pop("arrays"):
        dtype = np.dtype(kind)
        arrays.append(np.frombuffer(_take(pipe, n * dtype.itemsize), dtype))
    return head, arrays


def _take(pipe: BinaryIO, size: int) -> bytes:
    data = pipe.read(size)
    if len(data) != size:
        raise EOFError
    return data


# -- SZ3 --------------------------------------------------------------------------------------
def sz3() -> dict[str, Callable[..., list[Array]]]:
    """SZ3 streams, one after the other, to counts."""
    from pysz import sz

    def unpack(streams: Array, sizes: Array, lengths: Array) -> list[Array]:
        ends = np.cumsum(sizes)
        parts = [np.zeros(0, np.int32)]
        for begin, end, n in zip(ends - sizes, ends, lengths, strict=True):
            stream = streams[begin:end].copy()  # aligned, and its own to read past
            parts.append(sz.decompress(stream, np.int32, (int(n),))[0])
        return [np.concatenate(parts)]

    return {"unpack": unpack}


# -- ROOT -------------------------------------------------------------------------------------
_ROOT_CODE = r"""
#include <TMemFile.h>
#include <TTree.h>
#include <algorithm>
#include <vector>
namespace pixlab {
using Column = std::vector<unsigned>;
std::vector<unsigned char> bytes;
Column n_ids, ids, n_words, words;

// a file in memory with a tree `Events`, one entry an event; bytes of its baskets
long pack(const unsigned* n_ids, const unsigned* ids, const unsigned* n_words,
          const unsigned* words, long n_events, int setting) {
  TMemFile file("digis.root?reproducible=digis", "RECREATE", "", setting);
  TTree tree("Events", "pixel digis");
  Column id, data;
  tree.Branch("id", &id, 16384);  // size of a basket, as CMSSW has it
  tree.Branch("data", &data, 16384);
  for (long e = 0; e < n_events; ++e) {
    id.assign(ids, ids + n_ids[e]);
    data.assign(words, words + n_words[e]);
    ids += n_ids[e];
    words += n_words[e];
    tree.Fill();
  }
  file.Write();
  bytes.resize(file.GetEND());
  file.CopyTo(bytes.data(), bytes.size());
  // between the header and the first record, at byte 100, stands whatever was in memory
  std::fill(bytes.begin() + 63, bytes.begin() + 100, 0);
  return tree.GetZipBytes();
}

// -1: no such tree, or more than `most` numbers
long unpack(unsigned char* data, long size, long n_events, long most) {
  n_ids.clear(); ids.clear(); n_words.clear(); words.clear();
  TMemFile file("digis.root", reinterpret_cast<char*>(data), size, "READ");
  if (file.IsZombie()) return -1;
  auto* tree = file.Get<TTree>("Events");
  if (!tree || tree->GetEntries() != n_events) return -1;
  Column *id = nullptr, *words_of_event = nullptr;
  if (tree->SetBranchAddress("id", &id) < 0) return -1;
  if (tree->SetBranchAddress("data", &words_of_event) < 0) return -1;
  for (long e = 0; e < n_events; ++e) {
    if (tree->GetEntry(e) <= 0 || !id || !words_of_event) return -1;
    most -= id->size() + words_of_event->size();
    if (most < 0) return -1;
    n_ids.push_back(id->size());
    ids.insert(ids.end(), id->begin(), id->end());
    n_words.push_back(words_of_event->size());
    words.insert(words.end(), words_of_event->begin(), words_of_event->end());
  }
  return n_events;
}
}
"""


def root() -> dict[str, Callable[..., list[Array]]]:
    """Digis to a ROOT file in memory, and back."""
    import ROOT

    ROOT.gErrorIgnoreLevel = 10_000  # what goes wrong is in the answers
    if not ROOT.gInterpreter.Declare(_ROOT_CODE):
        raise RuntimeError("ROOT does not compile what pixlab needs")
    code = ROOT.pixlab

    def column(vector: Any, dtype: type) -> Array:
        n = int(vector.size())
        return np.frombuffer(vector.data(), dtype, n).copy() if n else np.zeros(0, dtype)

    def pack(*columns: Array, setting: int) -> list[Array]:
        arrays = [np.array(c, np.uint32) if len(c) else np.zeros(1, np.uint32) for c in columns]
        baskets = code.pack(*arrays, len(columns[0]), setting)
        return [column(code.bytes, np.uint8), np.array([baskets])]

    def unpack(file: Array, *, n_events: int, most: int) -> list[Array]:
        if code.unpack(file.copy(), len(file), n_events, most) < 0:
            raise ValueError("it is no file with these digis")
        return [column(v, np.uint32) for v in (code.n_ids, code.ids, code.n_words, code.words)]

    return {"pack": pack, "unpack": unpack}


LIBRARIES = {"sz3": sz3, "root": root}


def main(library: str) -> None:
    """Answer until there is nobody who asks."""
    import resource  # not everywhere, and this process is the only one that needs it

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when this process ends
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "wb")
    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # libraries print
        os.dup2(silent, stream)
    try:
        verbs = LIBRARIES[library]()
    except Exception as error:
        send(answers, {"error": f"{type(error).__name__}: {error}"}, [])
        return
    send(answers, {"error": ""}, [])
    while True:
        try:
            head, arrays = receive(sys.stdin.buffer)
        except EOFError:
            return
        start = time.process_time()
        try:
            result, said = verbs[head.pop("verb")](*arrays, **head), ""
        except Exception as error:
            result, said = [], f"{type(error).__name__}: {error}"
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        send(
            answers,
            {"error": said, "cpu": time.process_time() - start, "memory": 1024 * used},
            result,
        )


if __name__ == "__main__":
    main(sys.argv[1])
