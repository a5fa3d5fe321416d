"""Make the sweep that pixlab ships: ``python scripts/make_sweep.py``, then ``readme_table.py``.

The dashboard opens on it, and README and documentation quote it: what ``pixlab sweep`` tries, and some
that take minutes to fit. Few enough settings that the table stays under a megabyte.
"""

from __future__ import annotations

import pixlab
from pixlab import samples
from pixlab.codecs import VQVAE, ClusterVQ, PatchVQVAE
from pixlab.progress import progress_bar
from pixlab.study import default_codecs

SAMPLE = "phase1-pu60"


def main() -> None:
    """Fit on the first half of the sample, measure on the second, and write the table."""
    codecs = [*default_codecs(), ClusterVQ(effort="max"), VQVAE(), PatchVQVAE()]
    with progress_bar("sweep") as progress:
        made = pixlab.sweep(
            samples.path(SAMPLE), codecs, out=samples.sweep_path(), source=SAMPLE, progress=progress
        )
    print(made.table[["label", "bits_per_digi", "model_bytes", "fit_s", "inside"]].to_string())


if __name__ == "__main__":
    main()
