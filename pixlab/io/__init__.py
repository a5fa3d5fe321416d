"""Files of digis: the only code of pixlab that opens them.

::

    file(s) ─► recognised by content (FORMATS) ─► Reader ─► Digis        read, iterate
    Digis ─► format of the suffix ─► temporary name ─► renamed           write

| format | read | write |
| --- | --- | --- |
| CMS EDM (``edm::DetSetVector<PixelDigi>`` in ROOT) | yes | |
| flat ROOT tree ``digiTree`` | yes | ``.root`` |
| Parquet | yes | ``.parquet`` |
| NumPy archive | yes | ``.npz`` |
| pixlab's own container | yes | ``.pxl`` |

A new format is one module and one line of `pixlab.io.table.FORMATS`.
"""

from __future__ import annotations

from pixlab.io.api import info, iterate, read, write
from pixlab.io.pxl import compress, decompress
from pixlab.io.table import FORMATS, Format, Reader

__all__ = ["FORMATS", "Format", "Reader"]
__all__ += ["compress", "decompress", "info", "iterate", "read", "write"]
