"""The form of the training data, by which later files are read."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from gdw.data.checks import odd_cells_note
from gdw.data.loading import KEY_REASONS, load
from gdw.data.source import Source
from gdw.data.text_files import ReadOptions
from gdw.errors import DataError, composed, counted, nearest, shortened
from gdw.files.documents import Document

SCHEMA = "schema.json"
_FILE = Document(
    format=1, remedy="train again", missing="the folder holds no finished gdw run; check the path"
)

_PLURALS = {"number": "numbers", "category": "categories", "date": "dates"}
_SHOWN = 8
_ANY = re.compile(r".*", re.DOTALL)
# The types with parameters, which have no alias in `pyarrow`.
_ZONED = re.compile(r"timestamp\[(\w+), tz=(.+)\]")
_DECIMAL = re.compile(r"(decimal\d+)\((\d+), (-?\d+)\)")
# The types of labels in delimited text, with their spelling.
_WHOLE = re.compile(r"-?(?:0|[1-9]\d*)")
_OF_CELLS = {
    "int64": _WHOLE,
    "uint64": _WHOLE,
    "double": re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?"),
    "bool": re.compile(r"(?i:true|false)"),
}


@dataclass(frozen=True)
class Schema:
    """The form of the training data.

    Attributes:
        kind: image, text, table or array.
        feature_columns: the input columns, in order.
        column_types: for a table, the type of each input column.
        label_names: class k is `label_names[k]`.
        names_declared: whether the data declare the names of their class numbers themselves, as
            `gdw.data.Source.names_declared`.
        labels_merged: whether labels that differ only in case, white space or invisible characters are one
            class.
        label_type: the type of the label column, as `pyarrow` names it. Predictions are written in it.
        categories: for a table, the number of different values of each category.
        unused: the columns that are not learned from, each with the reason.
        size: the shape of one encoded example.
        backbone: the name of the backbone whose features or inputs these are; empty for none.
    """

    kind: str
    feature_columns: tuple[str, ...]
    column_types: dict[str, str]
    label_names: tuple[str, ...]
    names_declared: bool = False
    labels_merged: bool = False
    label_type: str = "string"
    categories: dict[str, int] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)
    size: tuple[int, ...] = ()
    backbone: str = ""

    @classmethod
    def of(cls, source: Source, label: str | None = None) -> Schema:
        """The form of `source`, whose labels are those of the column `label`."""
        types = {name: str(source.column_types[name]) for name in source.column_types}
        kept = {name: types[name] for name in source.feature_columns if name in types}
        return cls(
            source.kind,
            source.feature_columns,
            kept,
            source.label_names,
            source.names_declared,
            source.labels_merged,
            _type_of_labels(source, label),
            unused=dict(source.unused)
            | {name: "all cells are empty" for name in kept if kept[name] == "missing"},
        )

    @property
    def keys(self) -> list[str]:
        """The columns that training left out because they only say which row it is."""
        return [name for name, reason in self.unused.items() if reason in KEY_REASONS]

    def features(self) -> str:
        """The columns that the model learns from, in one line."""
        column = next(iter(self.feature_columns), "")
        # Early files lack the sizes.
        words = f": {self.size[0]:,} words and other terms" if self.size else ""
        if self.kind == "table":
            return f"learning from {_tables_columns(self.column_types, self.categories)}"
        if self.backbone:
            what = "images" if self.kind == "image" else f"the texts of {column!r}"
            return f"learning from {what} by {self.backbone}"
        if self.kind == "text":
            return f"learning from the texts of {column!r}{words}"
        if self.kind == "array" and len(self.size) == 1:
            return f"learning from {self.size[0]:,} numbers, the columns of {column!r}"
        pixels = f" of {self.size[-1]} x {self.size[-2]} pixels" if len(self.size) > 1 else ""
        return (
            f"learning from {'images' if pixels or self.kind == 'image' else repr(column)}{pixels}"
        )

    def load(
        self,
        path: str,
        *,
        label: str | None,
        options: ReadOptions,
        limit: int | None = None,
        seed: int = 0,
    ) -> Source:
        """Read another file of this form.

        Args:
            path: the file or folder.
            label: its label column; None to read no labels.
            options: the delimiter, quotes and encoding of a text file.
            limit: read only that many rows, drawn at random from `seed`.
            seed: of the draw.

        Raises:
            DataError: another kind of data, a missing column, or a label that training did not see.
        """
        columns: dict[str, Any] = {}
        if self.kind == "table":
            columns["features"] = list(self.feature_columns)
        elif self.kind in ("image", "text") and not Path(path).is_dir():
            columns[self.kind] = self._column_in(path, options)
        names: Sequence[str] | None = None if label is None else self.label_names
        source = load(
            path,
            label=label,
            label_names=names,
            names_declared=self.names_declared,
            merge_labels=self.labels_merged,
            limit=limit,
            seed=seed,
            options=options,
            **columns,
        )
        if source.kind != self.kind:
            raise DataError(
                f"{path} is {source.kind} data, but the model was trained on {self.kind} data: "
                "give a file of the same form"
            )
        if self.kind != "table":
            return source
        types: Any = self.column_types
        notes = source.rows.notes + odd_cells_note(source.rows, types)
        return replace(source.typed(types), notes=notes)

    def save(self, folder: Path) -> None:
        """Write `schema.json` into `folder`."""
        _FILE.write(folder / SCHEMA, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Schema:
        """Read what `save` wrote.

        Raises:
            RunError: the file is missing, damaged, or was written by a newer version of gdw.
        """
        path = folder / SCHEMA
        content = _FILE.read(path)
        try:
            return cls(
                kind=str(content["kind"]),
                feature_columns=tuple(map(str, content["feature_columns"])),
                column_types={str(k): str(v) for k, v in content["column_types"].items()},
                label_names=tuple(map(str, content["label_names"])),
                # Early files lack this entry. Without it class numbers are not taken for names.
                names_declared=content.get("names_declared") is True,
                labels_merged=content.get("labels_merged") is True,
                label_type=str(content.get("label_type", "string")),
                categories={str(k): int(v) for k, v in content.get("categories", {}).items()},
                unused={str(k): str(v) for k, v in content.get("unused", {}).items()},
                size=tuple(map(int, content.get("size", ()))),
                backbone=str(content.get("backbone", "")),
            )
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise _FILE.damaged(path, error) from error

    def _column_in(self, path: str, options: ReadOptions) -> str | None:
        """The input column of the file at `path`; None leaves images to be recognised by their content."""
        from gdw.data.rows import open_rows

        columns = open_rows(path, options).columns
        wanted = composed(self.feature_columns[0])
        if wanted in columns:
            return wanted
        if self.kind == "text":
            raise DataError(
                f"{path} has no text column {wanted!r}.{nearest(wanted, columns)} "
                f"Its columns: {', '.join(columns)}"
            )
        return None


def _tables_columns(types: Mapping[str, str], categories: Mapping[str, int]) -> str:
    """The columns of a table in words, by type.

    >>> _tables_columns({"age": "number", "city": "category", "size": "number"}, {"city": 3})
    "3 columns: 2 numbers ('age', 'size'), 1 category ('city' with 3 values)"
    """
    values = {name: f" with {counted(number, 'value')}" for name, number in categories.items()}
    described: dict[str, list[str]] = {type_: [] for type_ in _PLURALS}
    for name, type_ in types.items():
        if type_ in described:
            described[type_].append(f"{name!r}{values.get(name, '')}")
    parts = [
        f"{counted(len(names), type_, _PLURALS[type_])} ({shortened(names, _SHOWN)})"
        for type_, names in described.items()
        if names
    ]
    return f"{counted(sum(map(len, described.values())), 'column')}: {', '.join(parts)}"


def _type_of_labels(source: Source, label: str | None) -> str:
    if label is None or source.names_declared:
        return "string"
    values = source.rows.arrow(source.rows.resolve_label(label), np.arange(0))
    return label_type(values.type, source.label_names, untyped=source.rows.untyped)


def label_type(kind: Any, names: Sequence[str], *, untyped: bool) -> str:
    """The type in which labels are given back, as `pyarrow` names it; "string" for text.

    Args:
        kind: the `pyarrow.DataType` of the label column.
        names: the class names.
        untyped: whether the labels are cells of delimited text. They are integers, numbers or booleans if all
            names are, and none would be written in another way: `007` is text.
    """
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    bits = pa.types.is_primitive(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind)
    known = {str(kind): _ANY} if bits and not untyped else _OF_CELLS if untyped else {}
    for alias, spelling in known.items():
        if all(map(spelling.fullmatch, names)) and as_type(names, alias) is not None:
            return alias
    return "string"


def as_type(names: Sequence[str], alias: str) -> Any:
    """Class names as a `pyarrow.Array` of the type `alias`; None if they cannot all be told apart in it."""
    import pyarrow as pa

    try:
        kind = _arrow_type(alias)
        if pa.types.is_time(kind):
            typed = pa.array(map(dt.time.fromisoformat, names), kind)
        else:
            typed = pa.array(names, pa.string()).cast(kind)
    except (ValueError, NotImplementedError):
        return None
    return typed if len(typed.unique()) == len(set(names)) else None


def _arrow_type(name: str) -> Any:
    import pyarrow as pa

    zoned, decimal = _ZONED.fullmatch(name), _DECIMAL.fullmatch(name)
    if zoned:
        return pa.timestamp(*zoned.groups())
    if decimal:
        return getattr(pa, decimal[1])(int(decimal[2]), int(decimal[3]))
    return pa.type_for_alias(name)
