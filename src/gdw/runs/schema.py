"""The form of the training data, by which later files are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from gdw.data.checks import odd_cells_note
from gdw.data.labels import label_type
from gdw.data.loading import load
from gdw.data.source import Source
from gdw.data.text_files import ReadOptions
from gdw.errors import DataError, composed, nearest
from gdw.files.documents import Document

SCHEMA = "schema.json"
_FILE = Document(
    format=1, remedy="train again", missing="the folder holds no finished gdw run; check the path"
)


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
        label_type: the type of the label column, an alias of `pyarrow`. Predictions are written in it.
    """

    kind: str
    feature_columns: tuple[str, ...]
    column_types: dict[str, str]
    label_names: tuple[str, ...]
    names_declared: bool = False
    labels_merged: bool = False
    label_type: str = "string"

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


def _type_of_labels(source: Source, label: str | None) -> str:
    if label is None or source.names_declared:
        return "string"
    values = source.rows.arrow(source.rows.resolve_label(label), np.arange(0))
    return label_type(values.type, source.label_names, untyped=source.rows.untyped)
