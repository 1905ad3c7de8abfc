"""What later files must look like to be read as the training data were."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gdw.data.loading import load
from gdw.data.source import Source
from gdw.errors import DataError, RunError, nearest
from gdw.files.atomic import write_text_atomically

SCHEMA = "schema.json"


@dataclass(frozen=True)
class Schema:
    """The form of the training data.

    Attributes:
        kind: image, text, table or array.
        feature_columns: the columns used, in order.
        column_types: for a table, how each is read.
        label_names: class k is `label_names[k]`.
        names_declared: whether the training data themselves say so, see `Source.names_declared`.
    """

    kind: str
    feature_columns: tuple[str, ...]
    column_types: dict[str, str]
    label_names: tuple[str, ...]
    names_declared: bool = False

    @classmethod
    def of(cls, source: Source) -> Schema:
        """The form of `source`."""
        types = {name: str(source.column_types[name]) for name in source.column_types}
        kept = {name: types[name] for name in source.feature_columns if name in types}
        names = source.label_names
        return cls(source.kind, source.feature_columns, kept, names, source.names_declared)

    def load(
        self, path: str, *, label: str | None, limit: int | None = None, seed: int = 0
    ) -> Source:
        """Read another file of this form; with `label` None without labels.

        Raises:
            DataError: another kind of data, missing columns, or a label that training never saw.
        """
        options: dict[str, Any] = {"names_declared": self.names_declared}
        if self.kind == "table":
            options["features"] = list(self.feature_columns)
        elif self.kind in ("image", "text") and not Path(path).is_dir():
            options[self.kind] = self._column_in(path)
        names: Sequence[str] | None = None if label is None else self.label_names
        source = load(path, label=label, label_names=names, limit=limit, seed=seed, **options)
        if source.kind != self.kind:
            raise DataError(
                f"{path} is {source.kind} data, but the model was trained on {self.kind} data: "
                "give a file of the same form"
            )
        types: Any = self.column_types
        return source.typed(types) if self.kind == "table" else source

    def save(self, folder: Path) -> None:
        """Write `schema.json` into `folder`."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=1)
        write_text_atomically(folder / SCHEMA, text)

    @classmethod
    def read(cls, folder: Path) -> Schema:
        """The schema that `save` wrote. Raises `RunError` when it is missing or damaged."""
        path = folder / SCHEMA
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                kind=str(content["kind"]),
                feature_columns=tuple(map(str, content["feature_columns"])),
                column_types={str(k): str(v) for k, v in content["column_types"].items()},
                label_names=tuple(map(str, content["label_names"])),
                # Runs of before this was written are read as safely as can be.
                names_declared=content.get("names_declared") is True,
            )
        except FileNotFoundError:
            raise RunError(f"{path} does not exist: the folder holds no finished gdw run") from None
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise RunError(f"{path} is damaged ({error}): train again") from error

    def _column_in(self, path: str) -> str | None:
        """The input column, if the file has one of that name; else it is recognised by its content."""
        from gdw.data.rows import open_rows

        columns = open_rows(path).columns
        wanted = self.feature_columns[0]
        if wanted in columns:
            return wanted
        if self.kind == "text":
            raise DataError(
                f"{path} has no text column {wanted!r}.{nearest(wanted, columns)} "
                f"Its columns: {', '.join(columns)}"
            )
        return None
