"""The encoder of tables: standardised numbers, one-hot categories, indicators of missing values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from gdw.data.cells import other_spelling
from gdw.data.encode.encoder import (
    SparseInputs,
    read_sklearn,
    require_float32,
    require_kind,
    write_settings,
    write_sklearn,
)
from gdw.data.examples import Inputs
from gdw.data.source import Source, chunks
from gdw.errors import DataError, brief, composed, listed, nearest
from gdw.files.representation import ShortRepr

if TYPE_CHECKING:
    import pandas as pd

CHUNK = 16384
FITTED = "encoder.skops"
MAX_CATEGORIES = 1000
TYPES = ("number", "date", "category")

_SHOWN, _SHOWN_CELL = 8, 80
# Numbers below zero that often stand for a missing value in a column without other ones.
_STAND_INS = (-1, -9, -99, -999, -9999, -99999, -999999)

# More of the values of a column are new than this: they are probably written in another way.
_NEW = 0.5

# The category of missing values. An empty cell is a missing value, so no other category has this name.
MISSING = ""


@dataclass(frozen=True, eq=False, repr=False)
class TableEncoder(ShortRepr):
    """Encodes tables as float32 rows `(N, F)`, in a sparse matrix if most entries are zero.

    - Numbers, and dates in seconds: a missing value becomes the median, with an indicator in a column of its
      own; then every column is standardised.
    - Categories: one column per category. Missing values are a category. Rare categories share one column,
      and categories that are new in later data get that column too (zeros if no category was rare).

    Columns that the training table does not have are ignored.

    Attributes:
        types: the type of each column of the training table, without columns that were empty.
        fitted: the `sklearn.compose.ColumnTransformer`.
        width: F, the number of encoded columns.
        notes: one line each for the user, on columns of the training table; they are not saved.
    """

    types: dict[str, str]
    fitted: Any = field(repr=False)
    width: int
    notes: tuple[str, ...] = field(default=(), repr=False)
    name: ClassVar[str] = "table"
    kind: ClassVar[Literal["table"]] = "table"
    mean_std: ClassVar[None] = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.width,)

    @classmethod
    def fit(cls, source: Source) -> TableEncoder:
        known = {name: source.column_types[name] for name in source.feature_columns}
        types = {name: str(kind) for name, kind in known.items() if kind != "missing"}
        if not types:
            columns = f"only empty ones ({listed(known)})" if known else "none"
            raise DataError(
                f"expected a feature column in {source.origin}, found {columns}: add columns to learn from"
            )
        clean = _clean(source, np.arange(len(source)), types)
        fitted = _transformer(clean, types)
        encoded = fitted.fit_transform(clean)
        width = int(encoded.shape[1])
        read = cls(types, fitted, width)
        return replace(read, notes=_notes(clean.iloc[:, : len(_numeric(types))], read.categories))

    @property
    def categories(self) -> dict[str, int]:
        """The number of different values of each category in training; a missing value is not one."""
        return {name: len(known) for name, known in self._known.items()}

    @property
    def _known(self) -> dict[str, set[str]]:
        names = _categorical(self.types)
        found = self.fitted.named_transformers_["categories"].categories_ if names else []
        return {n: set(v) - {MISSING} for n, v in zip(names, found, strict=True)}

    def unknown_notes(self, source: Source) -> tuple[str, ...]:
        """The columns of categories of which more than half of the values never occurred in training.

        Missing values do not count. `source` is one that `encode` takes.
        """
        import pandas as pd

        notes = []
        for name, known in self._known.items():
            one_column = source.typed({name: "category"})
            (_, values), *_ = one_column.series()
            texts = pd.Series(_texts(values, known))
            present = texts[texts != MISSING]
            new = present[~present.isin(known)].tolist()
            if known and len(new) > _NEW * len(present):
                notes.append(
                    f"{name!r}: {len(new) / len(present):.0%} of the values never occurred in training, such "
                    f"as {brief(new[0], _SHOWN_CELL)} (training has {listed(sorted(known), 3)})"
                )
        return tuple(notes)

    def encode(self, source: Source) -> Inputs:
        from scipy.sparse import csr_matrix, issparse, vstack

        source, known = self._conform(source), self._known
        parts = [
            self.fitted.transform(_clean(source, indices, self.types, known))
            for indices in chunks(len(source), CHUNK)
        ]
        if parts and issparse(parts[0]):
            return SparseInputs(csr_matrix(vstack(parts, format="csr"), dtype=np.float32))
        empty = np.empty((0, self.width), dtype=np.float32)
        return torch.from_numpy(np.concatenate([empty, *parts], dtype=np.float32))

    def _conform(self, source: Source) -> Source:
        require_kind(source, "table")
        columns = set(source.columns)
        absent = [name for name in self.types if composed(name) not in columns]
        if absent:
            raise DataError(
                f"expected the columns of training, found no {listed(absent)} in {source.origin}; its "
                f"columns: {listed(source.columns)}.{nearest(absent[0], source.columns)}"
            )
        typed = source.typed(self.types)  # type: ignore[arg-type]
        for name in _categorical(self.types):
            if source.column_types.get(name) == "number":
                self._require_known(typed, name)
        return typed

    def _require_known(self, source: Source, name: str) -> None:
        """Numbers in a column of categories may be names: then at least one of them is a known category."""
        known = self._known[name]
        one_column = source.typed({name: "category"})
        present = set(_texts(one_column.frame()[name], known)) - {MISSING}
        if known and present and known.isdisjoint(present):
            raise DataError(
                f"expected names such as {listed(sorted(known), 3)} in column {name!r} as in training, "
                f"found numbers such as {listed(sorted(present), 3)} in {source.origin}: write them the "
                "same way in both"
            )

    def save(self, folder: Path) -> None:
        write_sklearn(folder, FITTED, self.fitted)
        write_settings(folder, self.name, {"types": self.types, "width": self.width})

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> TableEncoder:
        from sklearn.compose import ColumnTransformer

        types = {str(name): str(kind) for name, kind in settings["types"].items()}
        if not set(types.values()) <= set(TYPES):
            raise ValueError(f"unknown column types in {types}")
        fitted = read_sklearn(folder, FITTED)
        if not isinstance(fitted, ColumnTransformer):
            raise TypeError(f"{FITTED} holds a {type(fitted).__name__}")
        width = max(part.stop for part in fitted.output_indices_.values())
        columns = [*_numeric(types), *_categorical(types)]
        if list(fitted.feature_names_in_) != columns or settings["width"] != width:
            raise ValueError(f"its columns are not those of {FITTED}")
        return cls(types, fitted, width)


def _transformer(clean: pd.DataFrame, types: dict[str, str]) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import MissingIndicator, SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    # Positions, because scikit-learn looks up each name in the list of all names.
    width = len(_numeric(types))
    numbers, categories = np.arange(width), np.arange(width, len(types))
    incomplete = np.flatnonzero(clean.iloc[:, :width].isna().to_numpy().any(axis=0))
    impute = SimpleImputer(strategy="median", keep_empty_features=True)
    one_hot = OneHotEncoder(
        handle_unknown="infrequent_if_exist",
        # A weight learned from one or two rows is noise, but in a small table most categories are rare.
        min_frequency=min(10, 1 + len(clean) // 200),
        max_categories=MAX_CATEGORIES,
        dtype=np.float32,
    )
    return ColumnTransformer(
        [
            ("numbers", Pipeline([("impute", impute), ("scale", StandardScaler())]), numbers),
            ("missing", MissingIndicator(features="all"), incomplete),
            ("categories", one_hot, categories),
        ]
    )


def _notes(numbers: pd.DataFrame, categories: Mapping[str, int]) -> tuple[str, ...]:
    """Notes on columns with a single value, and on numbers that may stand for a missing value."""
    is_one = (numbers.min() == numbers.max()) & numbers.notna().all()
    constant = [str(name) for name in numbers.columns[is_one]]
    constant += [name for name, count in categories.items() if count == 1]
    odd = _stand_ins(numbers)
    notes = []
    if constant:
        notes.append(
            f"nothing is learned from columns with one value in all rows: {listed(constant)}"
        )
    if odd:
        notes.append(
            f"read as numbers: {'; '.join(odd[:_SHOWN])}; if they mean missing values, leave the cells empty"
        )
    return tuple(notes)


def _stand_ins(numbers: pd.DataFrame) -> list[str]:
    """For each column whose only negative number is one that may stand for a missing value, how often."""
    low, found = numbers.min(), []
    for name in numbers.columns[low.isin(_STAND_INS)]:
        rest = numbers[name][numbers[name] != low[name]]
        if len(rest) and rest.min() >= 0:
            found.append(f"{len(numbers) - len(rest):,} times {low[name]:g} in {name!r}")
    return found


def _numeric(types: dict[str, str]) -> list[str]:
    return [name for name, kind in types.items() if kind in ("number", "date")]


def _categorical(types: dict[str, str]) -> list[str]:
    return [name for name, kind in types.items() if kind == "category"]


def _clean(
    source: Source,
    indices: NDArray[np.int64],
    types: dict[str, str],
    known: Mapping[str, Set[str]] | None = None,
) -> pd.DataFrame:
    """The rows at `indices`: float64 for numbers and dates, strings for categories, some of them `known`."""
    import pandas as pd

    numeric, categorical = _numeric(types), _categorical(types)
    numbers = np.empty((len(indices), len(numeric)), dtype=np.float64)
    position = {name: column for column, name in enumerate(numeric)}
    texts: dict[str, NDArray[np.object_]] = {}
    for name, values in source.series(indices):
        if types.get(name) == "category":
            texts[name] = _texts(values, known[name] if known else ())
        elif name in position:
            is_date = types[name] == "date"
            numbers[:, position[name]] = (
                _seconds(values) if is_date else values.to_numpy(dtype=np.float64)
            )
    require_float32(numbers, numeric, lambda row: source.where(int(indices[row])))
    frame: pd.DataFrame = pd.DataFrame(numbers, columns=numeric)
    if categorical:
        columns = {name: pd.Series(texts[name], dtype=object) for name in categorical}
        frame = pd.concat([frame, pd.DataFrame(columns)], axis=1)
    return frame


def _seconds(dates: pd.Series[Any]) -> NDArray[np.float64]:
    # In microseconds, because nanoseconds end in 2262, and 9999-12-31 is a usual "no end".
    moments = dates.to_numpy(dtype="datetime64[us]")
    whole, rest = np.divmod(moments.astype(np.int64), 1_000_000)
    seconds: NDArray[np.float64] = whole + rest / 1e6
    seconds[np.isnat(moments)] = np.nan
    return seconds


def _texts(values: pd.Series[Any], known: Collection[str] = ()) -> NDArray[np.object_]:
    import pandas as pd

    codes, distinct = pd.factorize(values.astype(object))
    texts = [str(value) for value in distinct]
    if known:
        # Whole numbers beside missing values become 1.0 in pandas and in the files that it writes.
        texts = [text if text in known else other_spelling(text, known) for text in texts]
    names = np.array([*texts, MISSING], dtype=object)
    # `factorize` gives missing values the code -1, which is the last name.
    return names[codes]
