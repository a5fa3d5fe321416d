"""Files of digis: the only code of pixlab that opens them.

::

    file(s) ─► recognised by content (FORMATS) ─► Reader ─► Digis        read, iterate
    Digis ─► format of the suffix ─► temporary name ─► renamed           write

| format | read | write |
| --- | --- | --- |
| CMS EDM (``edm::DetSetVector<PixelDigi>`` in ROOT) | yes | |
| flat ROOT tree ``digiTree`` | yes | ``.root`` |
| RNTuple in ROOT, one row an event or a digi | yes | ``.rntuple.root`` |
| Parquet | yes | ``.parquet`` |
| NumPy archive | yes | ``.npz`` |
| pixlab's own container | yes | ``.pxl`` |
| CSV, one row a digi, plain or gzip | yes | ``.csv``, ``.csv.gz`` |
| HDF5, a group or compound dataset with one row a digi | yes | ``.h5``, ``.hdf5`` |
| pyBAR's FE-I4 tables in HDF5 (extra ``fei4``) | yes | |
| TrackML: cells, with the hits beside them | yes | |
| ACTS: cells | yes | |
| Timepix frames in text: a file, or a directory of them | yes | |

A new format is one module and one line of `pixlab.io.table.FORMATS`.
"""

from __future__ import annotations

from pixlab.io.api import count, info, iterate, read, write
from pixlab.io.pxl import Lost, compress, decompress, salvage
from pixlab.io.table import FORMATS, Format, Reader

__all__ = ["FORMATS", "Format", "Lost", "Reader"]
__all__ += ["compress", "count", "decompress", "info", "iterate", "read", "salvage", "write"]
