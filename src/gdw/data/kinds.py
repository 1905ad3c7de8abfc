"""What a file is about: which of its columns are the features, and of which kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gdw.data.distinctness import nearly_all_differ, reads_like_text, tells_rows_apart
from gdw.data.images import is_image_name
from gdw.data.rows import ArrayRows, FolderRows, Rows
from gdw.data.source import Kind
from gdw.errors import ConfigError, DataError, nearest
from gdw.files.wording import listed

# The names under which pandas writes a data frame's row index.
_INDEX_COLUMNS = ("", "Unnamed: 0", "__index_level_0__")
_SAMPLE = 1000


@dataclass(frozen=True)
class Wanted:
    """The user's words about the columns of a file."""

    label: str | None
    image: str | None
    text: str | None
    features: Sequence[str] | None
    drop: Sequence[str]


@dataclass(frozen=True)
class Recognised:
    """The kind of the data, its feature columns, and what the user should know of the choice."""

    kind: Kind
    columns: tuple[str, ...]
    notes: tuple[str, ...] = ()


def detect(rows: Rows, wanted: Wanted, origin: str) -> Recognised:
    """The kind of the data and its feature columns.

    An image, text or feature column that the user names wins. Otherwise the first column that holds images
    makes it image data; a file whose only text column, identifiers apart, has mostly different texts of
    several words is text data; anything else is a table, of all columns but the label, those dropped,
    pandas' row index, and texts that hardly ever repeat (a note says so).

    Raises `DataError` for a column that is not there or does not fit, `ConfigError` for contradicting wishes.
    """
    named = [o for o in ("image", "text", "features") if getattr(wanted, o) is not None]
    if len(named) > 1:
        raise ConfigError(f"{listed(named)} exclude each other: name one kind of input")
    if isinstance(rows, FolderRows | ArrayRows):
        kind: Kind = "image" if isinstance(rows, FolderRows) else "array"
        if named and named != [kind]:
            raise ConfigError(
                f"{origin} holds {kind} data: {named[0]!r} columns cannot be chosen from it"
            )
        return Recognised(kind, rows.columns[:1])
    asked = [wanted.image or wanted.text] if wanted.image or wanted.text else wanted.features
    if asked is None:
        return _guess(rows, wanted, origin)
    _check_named(rows, wanted, [str(name) for name in asked], origin)
    kind = "image" if wanted.image else "text" if wanted.text else "table"
    return Recognised(kind, tuple(str(name) for name in asked))


def _check_named(rows: Rows, wanted: Wanted, asked: Sequence[str], origin: str) -> None:
    if not asked:
        raise ConfigError(
            "the list of feature columns is empty: name at least one, or leave it out"
        )
    for name in asked:
        if name not in rows.columns:
            raise DataError(
                f"{origin} has no column {name!r}.{nearest(name, rows.columns)} "
                f"Its columns: {listed(rows.columns)}"
            )
        if name == wanted.label:
            raise ConfigError(f"the label column {name!r} cannot be an input as well")
    if wanted.text and not _is_text(rows.arrow(wanted.text)):
        raise DataError(f"the text column {wanted.text!r} of {origin} does not hold text")
    if wanted.image:
        column = rows.arrow(wanted.image)
        if not (_holds_images(column) or _is_text(column)):
            raise DataError(
                f"the image column {wanted.image!r} of {origin} should hold bytes, paths or "
                f"{{bytes, path}}, found {column.type}"
            )


def _guess(rows: Rows, wanted: Wanted, origin: str) -> Recognised:
    left_out = {wanted.label, *wanted.drop, *_INDEX_COLUMNS}
    names = [name for name in rows.columns if name not in left_out]
    if not names:
        raise DataError(
            f"{origin} has no column left for the inputs. Its columns: {listed(rows.columns)}"
        )
    images = [name for name in names if _holds_images(rows.arrow(name))]
    if len(images) > 1:
        raise DataError(
            f"{origin} has several image columns, {listed(images)}: name the one to use"
        )
    if images:
        return Recognised("image", (images[0],))
    texts = [name for name in names if _is_text(rows.arrow(name)) and not _is_number(rows, name)]
    text = _only_text(rows, texts)
    if text is None:
        return _table(rows, names, texts, origin)
    unused = [name for name in names if name != text]
    note = f"learning from the texts of {text!r} alone, not from {listed(unused)}"
    return Recognised("text", (text,), (note,) if unused else ())


def _only_text(rows: Rows, texts: Sequence[str]) -> str | None:
    """The one column of prose, if every other column of text holds mere identifiers."""
    samples = {name: _sample(rows.arrow(name)) for name in texts}
    prose = [name for name in texts if reads_like_text(samples[name])]
    others = [name for name in texts if name not in prose]
    if len(prose) == 1 and all(nearly_all_differ(samples[name]) for name in others):
        return prose[0]
    return None


def _table(rows: Rows, names: Sequence[str], texts: Sequence[str], origin: str) -> Recognised:
    unique = [name for name in texts if tells_rows_apart(rows.arrow(name), untyped=rows.untyped)]
    kept = tuple(name for name in names if name not in unique)
    if not unique:
        return Recognised("table", kept)
    fix = "learn from one of them as text (--text, text=) or name the columns to use (--features, features=)"
    if not kept:
        raise DataError(
            f"{origin} has no column left for the inputs, as hardly a value of {listed(unique)} occurs "
            f"twice: {fix}"
        )
    note = f"left out, as hardly a value of it occurs twice: {listed(unique)}; to use it, {fix}"
    return Recognised("table", kept, (note,))


def _holds_images(column: Any) -> bool:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_struct(kind):
        fields = {kind.field(i).name for i in range(kind.num_fields)}
        return bool(fields) and fields <= {"bytes", "path"}
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return True
    if not _is_text(column):
        return False
    sample = _sample(column)
    return bool(sample) and all(is_image_name(value) for value in sample)


def _sample(column: Any) -> list[str]:
    """Up to `_SAMPLE` texts that are not empty, from all over the column, as files are often sorted."""
    rows = np.unique(np.linspace(0, len(column) - 1, _SAMPLE).astype(np.int64))
    return [value for value in column.take(rows).to_pylist() if value]


def _is_text(column: Any) -> bool:
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_number(rows: Rows, name: str) -> bool:
    from gdw.data.columns import column_type

    return rows.untyped and column_type(rows.arrow(name), untyped=True) != "category"
