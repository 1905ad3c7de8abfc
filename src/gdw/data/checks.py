"""Checks of the data to train on: what is refused, and notes on what is not used or not as it looks.

The labels must be classes, and two of them should not be one class. A note is one line for the user.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.cells import cell_notes
from gdw.data.column_contents import even_steps, formatted_number, is_text, sample_values
from gdw.data.columns import ColumnType
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

# If whole numbers number the rows, their range is at most this many times the number of rows.
_SPREAD = 4
_ROWS_OF_AN_INDEX = 20
_SAMPLE = 1000
_KEY = re.compile(
    r"(?:^|[\W_])(?i:id|idx|index|uid|uuid|guid|rowid|rownames?|row|nr|no|key|hash|#)\.?$|[a-z]I[dD]$|^(?i:id)[\W_]"
    r"|^(?i:user|customer|client|patient|order|item|product|account|session|device|record|sample|subject|case"
    r"|document|doc|image|file|member|employee|student|person|entry|event|transaction|invoice|ticket)id$"
)
# So few values may be codes of categories, whatever the name says.
_FEW = 20
# The shares, beyond the largest class and beyond chance, from which a column tells the label or is one.
_TELLS, _AGREES = 0.98, 0.5


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
        *cell_notes(rows, types),
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


def index_note(names: Sequence[str]) -> tuple[str, ...]:
    """That the columns `names` are not used, which hold the row numbers that pandas writes."""
    return (f"not used, because it is a row index of pandas: {listed(names)}",) if names else ()


def is_named_as_key(name: str) -> bool:
    """Whether a column is named like the number of a row or the key of a record.

    >>> [is_named_as_key(name) for name in ("id", "user_id", "PassengerId", "paid", "S.No.")]
    [True, True, True, False, True]
    """
    return _KEY.search(name.strip()) is not None


def number_keys(rows: Rows, names: Sequence[str]) -> list[str]:
    """The columns of whole numbers that all differ, and are named like the number or the key of a row."""
    named = filter(is_named_as_key, names if len(rows) >= _ROWS else ())
    return [name for name in named if _whole(rows, name, np.arange(len(rows))) is not None]


def row_number_note(
    source: Source,
    types: Mapping[str, ColumnType],
    drop: Callable[[Sequence[str]], str],
    *,
    named: bool = False,
) -> tuple[str, ...]:
    """Questions about columns that are learned from, but may only say which row it is, or what its label is.

    The source may have no labels; `drop` says how columns are left out. If the user has `named` the features,
    only those that tell the label are asked about.
    """
    rows, labels = source.rows, source.labels
    telling: list[str] = []
    leaks: dict[str, str] = {}
    if labels is not None:
        telling = [n for n in _of_type(types, "number") if _sorts_labels(rows, n, labels)]
        leaks = _label_columns(source, types, labels)
    notes = [
        f"{name!r} {reason}: if it is not known before the label is, leave it out with {drop([name])}"
        for name, reason in leaks.items()
    ]
    if telling:
        notes.append(
            f"{listed(telling)} numbers the rows and tells the label, because the rows are sorted by label: "
            f"leave it out with {drop(telling)} unless new rows are numbered the same way"
        )
    left = {name: type_ for name, type_ in types.items() if name not in (*telling, *leaks)}
    return (*notes, *([] if named else _key_note(rows, left, drop)))


def _key_note(
    rows: Rows, types: Mapping[str, ColumnType], drop: Callable[[Sequence[str]], str]
) -> list[str]:
    asked = {name: why for name, type_ in types.items() if (why := _row_of(rows, name, type_))}
    described = _shortened([f"{name!r} ({why})" for name, why in asked.items()])
    advice = "what only says which row it is should be left out, with"
    return [f"learning also from {described}: {advice} {drop([*asked])}"] if asked else []


def _row_of(rows: Rows, name: str, type_: ColumnType) -> str:
    """Why a feature may only say which row it is; empty if nothing speaks for it."""
    count = len(rows)
    if count < _ROWS:
        return ""
    if type_ == "date":
        distinct = len(rows.arrow(name).unique())
        return "a time that differs in every row" if distinct > 0.95 * count else ""
    sequence = even_steps(rows.arrow(name), _ROWS) if type_ == "number" else None
    if sequence is not None:
        return f"changes by {sequence[1]:g} from row to row"
    if is_named_as_key(name) and type_ in ("number", "category"):
        distinct = len(rows.arrow(name).unique())
        return f"named like a key, {distinct:,} values" if distinct > _FEW else ""
    return ""


def _label_columns(
    source: Source, types: Mapping[str, ColumnType], labels: NDArray[np.int64]
) -> dict[str, str]:
    """The features that tell the label, as a code of it or other labels do, each with the reason."""
    chosen = np.unique(np.linspace(0, len(labels) - 1, _SAMPLE).astype(np.int64))
    sizes = np.bincount(labels[chosen], minlength=len(source.label_names))
    if len(labels) < _ROWS or sizes.max() == len(chosen):
        return {}
    found = {}
    for name in (name for name, type_ in types.items() if type_ in ("number", "category")):
        column = source.rows.arrow(name, chosen).combine_chunks().dictionary_encode()
        values = column.dictionary.to_pylist()
        if not 1 < len(values) <= len(chosen) / 10:
            continue
        codes = column.indices.fill_null(len(values)).to_numpy().astype(np.int64)
        table = np.zeros((len(values) + 1, len(sizes)))
        np.add.at(table, (codes, labels[chosen]), 1)
        reason = _tells_label(table, [str(value) for value in values], source.label_names)
        if reason:
            found[name] = reason
    return found


def _tells_label(
    table: NDArray[np.float64], values: Sequence[str], label_names: Sequence[str]
) -> str:
    """How a column tells the label; empty if it does not. `table` counts the rows by value and label."""
    shares = table / table.sum()
    share, largest = float(shares.max(axis=1).sum()), float(shares.sum(axis=0).max())
    if share - largest >= _TELLS * (1 - largest):
        return f"alone tells the label in {share:.0%} of the rows"
    code_of = {name: code for code, name in enumerate(label_names)}
    if not set(values) <= set(code_of):
        return ""
    codes = np.array([code_of[value] for value in values])
    agreeing = float(shares[np.arange(len(codes)), codes].sum())
    by_chance = float((shares.sum(axis=1)[: len(codes)] * shares.sum(axis=0)[codes]).sum())
    agrees = agreeing - by_chance >= _AGREES * (1 - by_chance)
    return f"holds the labels themselves in {agreeing:.0%} of the rows" if agrees else ""


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
