"""Write the RNTuples of the `many` events with ROOT: ``python make_rntuples.py DIRECTORY``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import ROOT

NAMES = ("detId", "row", "col", "adc")


def model(fields: dict[str, str]) -> ROOT.RNTupleModel:
    made = ROOT.RNTupleModel.Create()
    for name, kind in fields.items():
        made.MakeField[kind](name)
    return made


def main(folder: Path) -> None:
    with np.load(Path(__file__).with_name("truth_many.npz")) as file:
        columns = {name: file[name.lower()] for name in ("event", *NAMES)}
        n_events = int(file["n_events"])

    rows = model({"event": "int", "run": "std::uint32_t", **dict.fromkeys(NAMES, "int")})
    with ROOT.RNTupleWriter.Recreate(rows, "dump", str(folder / "rntuple_rows.root")) as writer:
        entry = writer.CreateEntry()
        entry["run"] = 5
        for i in range(len(columns["event"])):
            for name, values in columns.items():
                entry[name] = int(values[i])
            writer.Fill(entry)

    fields = {"event": "std::uint64_t", **dict.fromkeys(NAMES, "std::vector<int>")}
    fields["weight"] = "std::vector<float>"
    path = folder / "rntuple_vectors.root"
    with ROOT.RNTupleWriter.Recreate(model(fields), "Digis", str(path)) as writer:
        for event in range(n_events):
            entry = writer.CreateEntry()
            entry["event"] = 1000 + event
            for name in NAMES:
                entry[name] = columns[name][columns["event"] == event].astype(int).tolist()
            writer.Fill(entry)
            if event % 50 == 49:
                writer.CommitCluster()

    floats = model({"event": "int", **dict.fromkeys(NAMES, "float")})
    with ROOT.RNTupleWriter.Recreate(floats, "dump", str(folder / "rntuple_float.root")) as writer:
        writer.Fill(writer.CreateEntry())


main(Path(sys.argv[1]))
