"""What a file is about: which of its columns are the features, and of which kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gdw.data.images import is_image_name
from gdw.data.rows import ArrayRows, FolderRows, Rows
from gdw.data.source import Kind
from gdw.data.wording import listed
from gdw.errors import ConfigError, DataError, nearest

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


def detect(rows: Rows, wanted: Wanted, origin: str) -> tuple[Kind, tuple[str, ...]]:
    """The kind of the data and its feature columns.

    An image, text or feature column that the user names wins. Otherwise the first column that holds images
    makes it image data; a file whose only text column has mostly different texts of several words is text
    data; anything else is a table, of all columns but the label, those dropped and pandas' row index.

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
        return kind, rows.columns[:1]
    asked = [wanted.image or wanted.text] if wanted.image or wanted.text else wanted.features
    if asked is None:
        return _guess(rows, wanted, origin)
    _check_named(rows, wanted, [str(name) for name in asked], origin)
    kind = "image" if wanted.image else "text" if wanted.text else "table"
    return kind, tuple(str(name) for name in asked)


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


def _guess(rows: Rows, wanted: Wanted, origin: str) -> tuple[Kind, tuple[str, ...]]:
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
        return "image", (images[0],)
    texts = [name for name in names if _is_text(rows.arrow(name)) and not _is_number(rows, name)]
    if len(texts) == 1 and _reads_like_text(_sample(rows.arrow(texts[0]))):
        return "text", (texts[0],)
    return "table", tuple(names)


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


def _reads_like_text(sample: list[str]) -> bool:
    several_words = sum(len(value.split()) > 1 for value in sample)
    return 2 * several_words > len(sample) and 2 * len(set(sample)) > len(sample)


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
