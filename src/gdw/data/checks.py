"""Checks of the data to train on: what is refused, and notes on what is not used or not as it looks.

The labels must be classes, and two of them should not be one class. A note is one line for the user.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.column_contents import formatted_number, is_text, sample_values
from gdw.data.columns import ColumnType
from gdw.data.labels import VARIANTS, one_spelling_each, sorted_names
from gdw.data.rows import Rows
from gdw.data.source import Source
from gdw.errors import DataError, brief, listed

# Labels of fewer rows may all differ by chance.
_ROWS = 20
# Numbers with decimals are measured if there are more than this, or each occurs in so few rows on average.
# Half points up to ten are 21 numbers.
_DECIMALS = 24
_ROWS_PER_DECIMAL = 4
_ROWS_PER_CLASS = 2
_SHOWN = 8
_SHOWN_CELL = 80
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_WHOLE = re.compile(r"[+-]?\d+")

# If whole numbers number the rows, their range is at most this many times as large as the number of rows.
_SPREAD = 4
_ROWS_OF_AN_INDEX = 20
_SAMPLE = 1000
_ID = re.compile(r"(?:^|[\W_])(?i:id|idx|index|uid|row|nr)$|[a-z]I[dD]$")


def require_classes(source: Source, column: str) -> None:
    """Check that the labels of `source`, from `column`, are classes.

    Raises:
        DataError: the labels look like measured numbers, or hardly any label occurs twice.
    """
    rows, names, labels = len(source), source.label_names, source.known_labels
    if rows < _ROWS or source.names_declared:
        return
    classes = np.count_nonzero(np.bincount(labels))
    example = names[int(labels[0])]
    measured = classes > _DECIMALS or classes * _ROWS_PER_DECIMAL > rows
    if measured and _are_decimals(names):
        described = "measured numbers"
    elif classes * _ROWS_PER_CLASS > rows:
        described = "values that hardly repeat"
    else:
        return
    raise DataError(
        f"the label column {column!r} of {source.origin} holds {described} ({classes:,} different ones in "
        f"{rows:,} rows, such as {example!r}), but a label is one of a few classes: name another column "
        "(--label, label=), or put the numbers into ranges; to take each value as a class, add "
        "--label-as-classes (label_as_classes=)"
    )


def with_variants(source: Source) -> Source:
    """The source with a note on labels that differ only in case, white space or invisible characters.

    With `source.labels_merged`, they are merged into the most frequent spelling. `source` is to train on.
    """
    names = source.label_names
    counts = np.bincount(source.known_labels, minlength=len(names))
    spelling, variants = one_spelling_each(names, counts)
    if not variants:
        return source
    if not source.labels_merged:
        note = f"{VARIANTS} are separate classes: {variants}; --merge-labels (merge_labels=True) merges them"
        return replace(source, notes=(*source.notes, note))
    kept = sorted_names(set(spelling))
    code_of = {name: code for code, name in enumerate(kept)}
    labels = np.array([code_of[name] for name in spelling], dtype=np.int64)[source.known_labels]
    # The numbers of the file are not those of the merged names.
    merged = source.with_labels(labels, kept)
    return replace(merged, notes=(*source.notes, f"merged {VARIANTS}: {variants}"))


def _are_decimals(names: tuple[str, ...]) -> bool:
    """Whether all names are numbers, and not all of them whole."""
    return all(map(_NUMBER.fullmatch, names)) and not all(map(_WHOLE.fullmatch, names))


def column_notes(rows: Rows, types: Mapping[str, ColumnType]) -> tuple[str, ...]:
    """What is not used of the feature columns `types`: empty columns, and cells that are not numbers."""
    empty = _of_type(types, "missing")
    texts = [] if rows.untyped else list(filter(rows.holds_text_of_numbers, types))
    written = [name for name in texts if rows.cells(name).odd is None]
    mixed = _odd_cells(rows, _of_type(types, "category"))
    return (
        *_note("not used, because all cells are empty: ", _counted, empty),
        *_note("text that holds numbers is read as numbers: ", _counted, written),
        *odd_cells_note(rows, types),
        *_note("read as names, because many cells are not numbers: ", _shortened, mixed),
        *_note(
            "read as names, not as numbers (write 3.14, without commas, spaces and signs): ",
            _shortened,
            _formatted_numbers(rows, _of_type(types, "category")),
        ),
    )


def _formatted_numbers(rows: Rows, columns: Sequence[str]) -> list[str]:
    """The columns of `columns` whose cells are numbers with a decimal comma, a unit or a sign, in words."""
    named = {}
    for name in columns:
        values = rows.arrow(name)
        example = formatted_number(sample_values(values)) if is_text(values.type) else None
        if example is not None:
            named[name] = example
    return [f"{name!r}, such as {example!r}" for name, example in named.items()]


def _of_type(types: Mapping[str, ColumnType], type_: ColumnType) -> list[str]:
    return [name for name, known in types.items() if known == type_]


def _note(text: str, in_words: Callable[[Sequence[str]], str], names: Sequence[str]) -> list[str]:
    return [text + in_words(names)] if names else []


def odd_cells_note(rows: Rows, types: Mapping[str, ColumnType]) -> tuple[str, ...]:
    """How many cells of the columns of numbers in `types` are missing values because they are no numbers."""
    odd = _odd_cells(rows, _of_type(types, "number"))
    return tuple(_note("cells that are not numbers are missing values: ", _shortened, odd))


def index_note(rows: Rows, index: Sequence[str]) -> tuple[str, ...]:
    """That the columns `index` are not used, which hold the row numbers that pandas writes."""
    names = [name for name in index if name in rows.columns]
    return (f"not used, because it is a row index of pandas: {listed(names)}",) if names else ()


def row_number_note(
    rows: Rows, types: Mapping[str, ColumnType], labels: NDArray[np.int64]
) -> tuple[str, ...]:
    """Warnings of whole numbers that number the rows: those that sort the labels, and those named like it."""
    numbers = _of_type(types, "number")
    telling = [name for name in numbers if _sorts_labels(rows, name, labels)]
    others = [name for name in numbers if name not in telling]
    ids = [name for name in others if _is_named_as_number(rows, name, len(labels))]
    notes = []
    if telling:
        notes.append(
            f"{listed(telling)} numbers the rows and tells the label, because the rows are sorted by label: "
            "leave it out with --drop unless new rows are numbered the same way"
        )
    if ids:
        notes.append(
            f"learning also from {listed(ids)}, which looks like the number of a row: leave it out with "
            "--drop unless it says something about the label"
        )
    return tuple(notes)


def size_note(label_names: Sequence[str], labels: NDArray[np.int64]) -> str:
    """The classes and their sizes, the largest first.

    >>> size_note(("cat", "dog"), np.array([1, 0, 1]))
    "classes: 'dog' 2, 'cat' 1"
    """
    counts = np.bincount(labels, minlength=len(label_names))
    order = np.argsort(-counts, kind="stable")
    shown = [f"{label_names[k]!r} {counts[k]:,}" for k in order[:_SHOWN]]
    rest = counts[order[_SHOWN:]]
    if len(rest):
        least, most = f"{rest.min():,}", f"{rest.max():,}"
        sizes = least if least == most else f"{least} to {most}"
        shown.append(f"{len(rest):,} more of {sizes} each")
    return f"classes: {', '.join(shown)}"


def _sorts_labels(rows: Rows, name: str, labels: NDArray[np.int64]) -> bool:
    if (
        len(labels) < _ROWS_OF_AN_INDEX
        or _whole(rows, name, np.arange(min(_SAMPLE, len(labels)))) is None
    ):
        return False
    values = _whole(rows, name, np.arange(len(labels)))
    if values is None or int(values.max()) - int(values.min()) > _SPREAD * len(labels):
        return False
    ordered = labels[np.argsort(values, kind="stable")]
    changes = int(np.count_nonzero(ordered[1:] != ordered[:-1]))
    shares = np.bincount(labels) / len(labels)
    by_chance = (len(labels) - 1) * (1 - float(shares @ shares))
    return bool(0 < changes <= max(2 * (np.count_nonzero(shares) - 1), 0.05 * by_chance))


def _is_named_as_number(rows: Rows, name: str, count: int) -> bool:
    """Whether a column is named like the number of a row, and holds whole numbers that all differ."""
    enough = count >= _ROWS and _ID.search(name) is not None
    return enough and _whole(rows, name, np.arange(count)) is not None


def _whole(rows: Rows, name: str, chosen: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The values of a column in some rows if they are whole numbers that all differ, else None."""
    import pyarrow as pa

    try:
        values: Any = rows.arrow(name, chosen).cast(pa.int64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    if values.null_count:
        return None
    numbers: NDArray[np.int64] = values.to_numpy()
    return numbers if len(np.unique(numbers)) == len(numbers) else None


def _odd_cells(rows: Rows, names: Sequence[str]) -> list[str]:
    """The number of odd cells of each column that has some, and one of them."""
    odd = {
        name: rows.cells(name).odd
        for name in names
        if rows.untyped or rows.holds_text_of_numbers(name)
    }
    return [
        f"{found.count:,} in {name!r}, such as {brief(found.example, _SHOWN_CELL)}"
        for name, found in odd.items()
        if found is not None
    ]


def _counted(names: Sequence[str]) -> str:
    return f"{len(names)} columns, {listed(names, _SHOWN)}" if len(names) > 1 else listed(names)


def _shortened(parts: Sequence[str]) -> str:
    rest = len(parts) - _SHOWN
    return "; ".join(parts[:_SHOWN]) + (f"; and in {rest} more columns" if rest > 0 else "")
