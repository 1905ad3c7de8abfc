"""Opening a file or folder as raw rows: one module a format.

| name | rows |
|---|---|
| folder of class folders | columns `image` and `label` |
| `.csv`, `.tsv` | as its header says; every cell is text |
| `.parquet`, `.jsonl` | as its schema says |
| `.npz` | the arrays `X` and `y`, and any other of the same length |
"""

from __future__ import annotations

import difflib
from pathlib import Path

from gdw.data.rows import Rows
from gdw.errors import DataError
from gdw.files.wording import shown

SUFFIXES = (".csv", ".tsv", ".parquet", ".jsonl", ".npz")


def open_rows(path: str | Path) -> Rows:
    """Open `path` by its suffix, or as a folder of images.

    Raises `DataError` for a path that is not there (naming the nearest that is), a suffix that is not
    supported, a file that is damaged or empty.
    """
    place = Path(path)
    try:
        _require_existing(place)
        rows = _open(place)
    except OSError as error:
        raise DataError(f"cannot read {shown(place)}: {error.strerror or error}") from None
    if len(rows) == 0:
        raise DataError(f"{shown(place)} holds no rows: expected at least one example")
    return rows


def _open(path: Path) -> Rows:
    if path.is_dir():
        from gdw.data.formats.folder import open_folder

        return open_folder(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        found = f"the suffix {suffix!r}" if suffix else "no suffix"
        raise DataError(
            f"cannot tell the format of {shown(path)}, which has {found}: "
            f"expected {', '.join(SUFFIXES)} or a folder of images"
        )
    if path.stat().st_size == 0:
        raise DataError(f"{shown(path)} is an empty file: expected at least one example")
    if suffix in (".csv", ".tsv"):
        from gdw.data.formats.delimited import open_delimited

        return open_delimited(path, "," if suffix == ".csv" else "\t")
    if suffix == ".parquet":
        from gdw.data.formats.parquet import open_parquet

        return open_parquet(path)
    if suffix == ".jsonl":
        from gdw.data.formats.jsonl import open_jsonl

        return open_jsonl(path)
    from gdw.data.formats.npz import open_npz

    return open_npz(path)


def _require_existing(path: Path) -> None:
    if path.exists():
        return
    if not path.parent.is_dir():
        raise DataError(f"there is no folder {shown(path.parent)}: check the path {shown(path)}")
    near = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir()], n=1)
    hint = f" Did you mean {shown(path.parent / near[0])!r}?" if near else ""
    raise DataError(f"there is no file or folder {shown(path)!r}.{hint}")
