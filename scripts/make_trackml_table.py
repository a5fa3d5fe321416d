"""Make pixlab/detectors/trackml.npz from the detectors.csv of the TrackML data set.

Run: python scripts/make_trackml_table.py detectors.csv.gz

The table is that of the Kaggle TrackML challenge, as gnn-tracking/gnn_tracking (MIT licence)
ships it; pixlab/detectors/trackml.md says so beside the result. Only the pixel volumes 7, 8 and 9
are kept: id, centre, and the directions of rows and columns.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from pixlab.detectors.acts import pack

OUT = Path(__file__).parents[1] / "pixlab" / "detectors" / "trackml.npz"
# what generic.py takes for granted of every module: mm
SAME = {"module_minhu": 8.4, "module_maxhu": 8.4, "module_hv": 36.0, "module_t": 0.15}
SAME |= {"pitch_u": 0.05, "pitch_v": 0.05625}


def main(source: str) -> None:
    """Write the table."""
    table = pd.read_csv(source)
    table = table[table["volume_id"].isin([7, 8, 9])]
    for column, value in SAME.items():
        if not np.allclose(table[column], value):
            raise SystemExit(f"{source}: {column} is not {value} everywhere")
    detid = pack(*(table[k].to_numpy() for k in ("volume_id", "layer_id", "module_id")))
    order = np.argsort(detid)
    columns = {
        "centre": ["cx", "cy", "cz"],  # mm
        "axis_row": ["rot_xu", "rot_yu", "rot_zu"],
        "axis_col": ["rot_xv", "rot_yv", "rot_zv"],
    }
    arrays = {k: table[v].to_numpy(np.float32)[order] for k, v in columns.items()}
    np.savez_compressed(OUT, detid=detid[order], **arrays)
    print(f"{OUT.name}: {len(detid)} modules, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
