"""Write the table of results into README.md: ``python scripts/readme_table.py``.

It is the sweep that is shipped, which ``scripts/make_sweep.py`` makes.
"""

from __future__ import annotations

import re
from pathlib import Path

import pixlab
from pixlab.physics import METRICS
from pixlab.study import Sweep

README = Path(__file__).parents[1] / "README.md"
PLACE = re.compile(r"(<!-- measured:[^>]*-->\n)(.*?)(<!-- end -->)", re.S)


def table() -> str:
    """The rows of the shipped sweep in Markdown."""
    head = ["setting", "bits/digi", "ROOT ZSTD-4 / this", "cluster charge, rel. rms"]
    lines = [[*head, "clusters of unchanged size", "inside"], ["---"] + ["---:"] * 4 + ["---"]]
    for row in Sweep.load(pixlab.samples.sweep_path()).table.to_dict(orient="records"):
        cells = [row["label"], f"{row['bits_per_digi']:.1f}", f"{row['ratio_root_zstd4']:.1f}"]
        cells += [f"{METRICS[m].format(row[m])}%" for m in ("charge_rms", "size_unchanged")]
        lines.append([*cells, row["inside"]])
    return "".join("| " + " | ".join(cells) + " |\n" for cells in lines)


def main() -> None:
    """Replace what stands between the marks."""
    text = README.read_text()
    README.write_text(PLACE.sub(lambda found: found[1] + table() + found[3], text))


if __name__ == "__main__":
    main()
