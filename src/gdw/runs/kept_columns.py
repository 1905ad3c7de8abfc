"""The user's own columns beside predictions, so that these can be joined to the user's data."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gdw.data.checks import is_named_as_key
from gdw.data.loading import INDEX_COLUMNS
from gdw.data.rows import Rows
from gdw.data.source import Source
from gdw.data.text_files import escaped
from gdw.errors import ConfigError, listed


@dataclass(frozen=True)
class KeptColumns:
    """Columns of N rows of the user, as they are in the file.

    Attributes:
        table: a `pyarrow.Table` of N rows, with the names under which they are written.
        notes: one line each for the user, on names that differ from those in the file and columns that cannot
            be written.
    """

    table: Any
    notes: tuple[str, ...] = ()

    def values(self, name: str) -> list[Any]:
        """The values as Python objects; dates that Python does not have are text."""
        column = self.table[name]
        try:
            return list(column.to_pylist())
        except (OverflowError, ValueError):
            return list(column.cast("string").to_pylist())

    def as_cells(self) -> dict[str, list[str]]:
        """The columns as cells of a CSV file; text that looks like a formula is escaped."""
        return {
            escaped(name): list(map(_cell, self.values(name))) for name in self.table.column_names
        }

    def as_json(self) -> list[str]:
        """The members of the JSON object of each row, each with a comma behind it; empty without columns."""
        parts = [
            [
                f"{json.dumps(name, ensure_ascii=False)}:{_json(value)},"
                for value in self.values(name)
            ]
            for name in self.table.column_names
        ]
        return list(map("".join, zip(*parts, strict=True)))


def keep_columns(
    source: Source, keep: Sequence[str] | None, *, keys: Iterable[str], taken: Iterable[str]
) -> KeptColumns:
    """The columns that are written beside the predictions for `source`.

    Args:
        source: N rows.
        keep: the names of the columns; `["all"]`: all of them; `["none"]`: none. Default: those that are
            named like a key or a row number, and `keys`.
        keys: the columns that training left out as keys.
        taken: the names that the predictions have themselves.

    Raises:
        DataError: there is no such column.
        ConfigError: the data are a folder of images, which has no columns.
    """
    import pyarrow as pa

    rows = source.rows
    chosen = _chosen(source, keep, {*keys, *INDEX_COLUMNS})
    names = [name for name in chosen if _is_writable(rows, name)]
    own = list(map(rows.written_name, names))
    free = _free_names(own, taken)
    values = [rows.arrow(name, source.row_numbers) for name in names]
    unfit = [name for name in chosen if name not in names]
    notes = [f"columns of images and other bytes are not written: {listed(unfit)}"] if unfit else []
    renamed = [
        f"{one!r} as {other!r}" for one, other in zip(own, free, strict=True) if one != other
    ]
    if renamed:
        notes.append(
            f"the predictions have columns of the same names: yours are written {', '.join(renamed)}"
        )
    return KeptColumns(pa.table(dict(zip(free, values, strict=True))), tuple(notes))


def _free_names(names: Sequence[str], taken: Iterable[str]) -> list[str]:
    """The names, with `input_` before those that others have."""
    used, found = set(taken), []
    for name in names:
        free = name
        while free in used:
            free = f"input_{free}"
        used.add(free)
        found.append(free)
    return found


def _chosen(source: Source, keep: Sequence[str] | None, keys: set[str]) -> list[str]:
    rows = source.rows
    columns = [name for name in rows.columns if name != "X" or rows.kind is None]
    of_word: dict[str, list[str]] = {"none": [], "all": columns}
    word = keep[0] if keep and len(keep) == 1 else ""
    if source.kind == rows.kind == "image":
        _require_no_columns(keep, word in of_word, source.origin)
        return []
    if keep is None:
        return [name for name in columns if name in keys or is_named_as_key(name)]
    if word in of_word and word not in columns:
        return of_word[word]
    return list(dict.fromkeys(rows.resolve_names(keep, source.origin)))


def _require_no_columns(keep: Sequence[str] | None, is_word: bool, origin: str) -> None:
    """A folder of images has no columns to name."""
    if keep and not is_word:
        raise ConfigError(
            f"{origin} is a folder of images, which has no columns to keep (--keep): the predictions have "
            "the path of each image"
        )


def _is_writable(rows: Rows, name: str) -> bool:
    import pyarrow as pa

    kind = rows.arrow(name).type
    if pa.types.is_struct(kind):
        return not any(pa.types.is_binary(kind.field(i).type) for i in range(kind.num_fields))
    return not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, (list, Mapping)):
        return escaped(_json(value))
    return "" if _is_missing(value) else str(value)


def _json(value: Any) -> str:
    finite = None if isinstance(value, float) and not math.isfinite(value) else value
    return json.dumps(finite, ensure_ascii=False, default=str)
