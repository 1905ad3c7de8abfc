"""The file formats that `gdw` reads: one module and one line of `FORMATS` each.

| format | rows |
|---|---|
| folder of class folders | columns `image` and `label` |
| `.csv`, `.tsv` | the columns of the header line; every cell is text |
| `.parquet`, `.jsonl` | the columns of the schema |
| `.npz` | the arrays `X` and `y`, and every other array of the same length |

To add a format, write a module with a `Format`, and add it to `FORMATS`. Messages and help texts name the
suffixes of all formats; importing this package loads neither NumPy nor Arrow, so that help stays fast.
"""

from __future__ import annotations

from gdw.data.formats.delimited import CSV, TSV
from gdw.data.formats.folder import FOLDER
from gdw.data.formats.format import CopyPlan, Format
from gdw.data.formats.jsonl import JSONL
from gdw.data.formats.npz import NPZ
from gdw.data.formats.parquet import PARQUET

__all__ = ["FOLDER", "FORMATS", "CopyPlan", "Format"]

FORMATS: tuple[Format, ...] = (CSV, TSV, PARQUET, JSONL, NPZ)
"""The formats of files. A folder is opened as `FOLDER`."""
