"""The rows of the data of a finished run: where each example is, and which rows are equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.audit.evidence import Evidence
from gdw.data.rows import Rows, open_rows
from gdw.data.source import Source
from gdw.data.text_files import ReadOptions
from gdw.errors import DataError, shown

TRAINING, VERIFIED, CLEAN, TEST = "training", "verified", "clean", "test"
"""The parts of the data of a run. Nobody has verified "clean" examples, which `--meta-size` draws."""

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]
Pairs = tuple[Ints, Ints, NDArray[np.float32]]
"""P pairs of examples and their similarity from 0 to 1, each `(P,)`."""

_CHECKED_COLUMNS = 32
_NEARLY_ALWAYS, _AS_BY_CHANCE = 0.9, 3.0


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """The training file or folder of a run, checked to hold the same examples as in training.

    Attributes:
        path: the file or folder.
        rows: its R raw rows.
        label: its label column.
        codes: int64 `(R,)`, the label of each row, as a code into the run's label names.
        numbers: int64 `(N,)`, the row of each training example.
    """

    path: Path
    rows: Rows
    label: str
    codes: NDArray[np.int64]
    numbers: NDArray[np.int64]

    def where(self, i: int) -> str:
        """The place of training example `i` in words."""
        return self.rows.where(int(self.numbers[i]))


def training_rows(
    path: str | Path,
    evidence: Evidence,
    *,
    label: str,
    label_names: tuple[str, ...],
    names_declared: bool,
    labels_merged: bool = False,
    spoiled: bool,
    options: ReadOptions = ReadOptions(),  # noqa: B008 - frozen
) -> TrainingRows:
    """Open the training data of a run again, and compare its labels with those in training.

    Args:
        path: the file or folder.
        evidence: of the run.
        label: the label column.
        label_names: the names of the classes.
        names_declared: as `gdw.data.Source.names_declared`.
        labels_merged: as `gdw.data.Source.labels_merged`.
        spoiled: the run changed the labels for an experiment, so they are not compared.
        options: how the run read the file.

    Raises:
        DataError: the data cannot be read, or their rows or labels changed since training.
    """
    rows = open_rows(path, options)
    column = rows.resolve_label(label)
    every = np.arange(len(rows))
    source = Source("table", shown(path), (), None, every, (), rows, labels_merged=labels_merged)
    codes = source.codes(column, label_names, names_declared=names_declared)
    numbers = evidence.numbers
    if len(numbers) and int(numbers.max()) >= len(rows):
        raise _changed(path, f"row {int(numbers.max())} is missing")
    differ = np.flatnonzero(codes[numbers] != evidence.given)
    if len(differ) and not spoiled:
        row = int(numbers[differ[0]])
        raise _changed(path, f"{rows.where(row)} is {label_names[codes[row]]!r} now")
    return TrainingRows(Path(path), rows, column, codes, numbers)


def _changed(path: str | Path, change: str) -> DataError:
    return DataError(
        f"{shown(path)} changed since the run was trained on it ({change}): restore it, or train again"
    )


class Parts:
    """The training examples of a run, followed by its verified and its test examples, as one list.

    Attributes:
        sources: the examples by the name of their part, "training" first.
        labels: int64 `(M,)`, the label of each of the M examples.
        part: `(M,)`, the number of the part of each example.
    """

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.sources = dict(sources)
        self.names = tuple(sources)
        self.labels: Ints = np.concatenate([part.known_labels for part in sources.values()])
        sizes = [len(part) for part in sources.values()]
        self.part: Ints = np.repeat(np.arange(len(sizes)), sizes)
        self._starts = np.cumsum([0, *sizes])

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def training(self) -> int:
        """The number of training examples."""
        return int(self._starts[1])

    def members(self, name: str) -> Ints:
        """The numbers in this list of the examples of a part; none if there is no such part."""
        if name not in self.names:
            return np.arange(0)
        return np.flatnonzero(self.part == self.names.index(name))

    def place(self, example: int) -> tuple[str, int, str]:
        """The name of the part of an example, its row in the file, and both in words."""
        number = int(self.part[example])
        source, i = self.sources[self.names[number]], example - int(self._starts[number])
        return self.names[number], int(source.row_numbers[i]), source.where(i)


def equal_rows(parts: Parts) -> tuple[Pairs, str]:
    """Pairs of rows of tables with equal values in all columns, of several parts or of training, and a note.

    Case, surrounding white space and differences beyond the precision of float32 do not count. In a table of
    few different values many rows are equal by chance, and would tell nothing: if so, no pairs are returned,
    and the note says why.
    """
    columns = [_hashes(part) for part in parts.sources.values()]
    joined = [np.concatenate(column) for column in zip(*columns, strict=True)]
    whole = np.zeros(len(parts), dtype=np.uint64)
    for column in joined:
        whole += column
    if _equal_by_chance(whole, joined):
        note = "many rows are equal because their columns have few values: they are not listed as duplicates"
        return (np.arange(0), np.arange(0), np.zeros(0, dtype=np.float32)), note
    one, other = _pairs_of_equal(whole, parts.labels)
    counts = (parts.part[one] != parts.part[other]) | (one < parts.training)
    one, other = one[counts], other[counts]
    return (one, other, np.ones(len(one), dtype=np.float32)), ""


def _hashes(source: Source) -> list[Hashes]:
    """For each feature column a hash of the value in each row: equal values have equal hashes."""
    if source.kind == "array":
        columns: Any = source.array().reshape(len(source), -1).T
    else:
        # As they are in the file: to read them by their types would take several times as long.
        names, rows = source.feature_columns, source.row_numbers
        columns = (source.rows.arrow(name, rows).to_pandas() for name in names)
    return [_mixed(_hash_of(values), position) for position, values in enumerate(columns)]


def _hash_of(values: Any) -> Hashes:
    import pandas as pd

    series = pd.Series(values)
    is_truth = pd.api.types.is_bool_dtype(series)
    if pd.api.types.is_numeric_dtype(series) and not is_truth:
        return _hash_of_numbers(series.to_numpy(dtype=np.float64, na_value=np.nan))
    codes, distinct = pd.factorize(series.astype(object))
    texts = [" ".join(str(value).split()).casefold() for value in distinct]
    # Missing values have the code -1, which is the last one, an empty text.
    texts.append("")
    hashes: Hashes = pd.util.hash_array(np.array(texts, dtype=object), categorize=False)
    numbers = np.array([_number(text) for text in texts])
    hashes = np.where(np.isnan(numbers), hashes, _hash_of_numbers(numbers))
    return hashes[codes]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _hash_of_numbers(numbers: NDArray[np.float64]) -> Hashes:
    """Whole numbers are compared exactly, others as float32: files round them in different ways."""
    with np.errstate(over="ignore"):
        rounded = numbers.astype(np.float32).astype(np.float64)
    # Adding zero makes -0.0 to 0.0; there are many kinds of NaN.
    exact = np.where(numbers == np.floor(numbers), numbers, rounded) + 0.0
    return np.asarray(np.where(np.isnan(exact), np.nan, exact).view(np.uint64))


def _mixed(hashes: Hashes, position: int) -> Hashes:
    """Hashes whose sum over columns is as good as a hash of the row (the finaliser of MurmurHash3)."""
    mixed = hashes + np.uint64((0x9E3779B97F4A7C15 * (position + 1)) % 2**64)
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        mixed = (mixed ^ (mixed >> np.uint64(33))) * np.uint64(factor)
    return np.asarray(mixed ^ (mixed >> np.uint64(33)))


def _equal_by_chance(whole: Hashes, columns: Sequence[Hashes]) -> bool:
    """Whether rows that agree in all columns but one agree in that one about as often as any two rows.

    Copies of a row agree in each column nearly always, different rows as often as the values are frequent.
    """
    equal = _pairs(whole)
    if not equal:
        return False
    chosen = np.unique(
        np.linspace(0, len(columns) - 1, min(_CHECKED_COLUMNS, len(columns))).astype(int)
    )
    total = len(whole) * (len(whole) - 1) / 2
    for column in (columns[k] for k in chosen):
        agree, by_chance = equal / _pairs(whole - column), _pairs(column) / total
        if agree < _NEARLY_ALWAYS and agree < _AS_BY_CHANCE * by_chance:
            return True
    return len(columns) == 1


def _pairs(hashes: Hashes) -> float:
    """The number of pairs of equal hashes."""
    counts = np.unique(hashes, return_counts=True)[1].astype(np.float64)
    return float((counts * (counts - 1)).sum() / 2)


def _pairs_of_equal(hashes: Hashes, labels: Ints) -> tuple[Ints, Ints]:
    """Each example with the first one that is equal, and with the first equal one with another label."""
    _, first, group = np.unique(hashes, return_index=True, return_inverse=True)
    members = np.arange(len(hashes))
    first_of = first[group]
    odd = labels != labels[first_of]
    # The first example of each group whose label is not that of the first example.
    other_first = np.full(len(first), len(hashes))
    np.minimum.at(other_first, group[odd], members[odd])
    of_other = other_first[group]
    others = (of_other < len(hashes)) & ~odd & (members != first_of)
    later = members != first_of
    one = np.concatenate([first_of[later], of_other[others]])
    return one, np.concatenate([members[later], members[others]])
