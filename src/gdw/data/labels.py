"""From the values of a label column to class names and codes.

A label is text: whatever the file says, `NA`, `None` and `nan` included. Only an empty cell, a null or a
NaN number is a missing label. Whole numbers have one spelling: `1`, `1.0` and the integer 1 are the class
`1`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.errors import DataError, nearest
from gdw.files.wording import listed

UNLABELLED = -1
_WHOLE = re.compile(r"-?(?:0|[1-9]\d*)")
_WHOLE_AS_DECIMAL = re.compile(r"(-?(?:0|[1-9]\d*))(?:\.0*)?")


@dataclass(frozen=True)
class LabelColumn:
    """Codes `(N,)` into `names`, `UNLABELLED` where the label is missing.

    `declared` says that the names come from the file's own schema (a Hugging Face `ClassLabel`) and the
    column itself holds numbers.
    """

    names: tuple[str, ...]
    codes: NDArray[np.int64]
    declared: bool = False


def read_labels(values: Any, declared: Sequence[str] | None = None) -> LabelColumn:
    """Code the values of a `pyarrow.ChunkedArray`; classes are sorted, as numbers if all are whole numbers.

    Raises `DataError` (without the place, which the caller knows) for values that cannot be labels.
    """
    if declared is not None:
        return _declared(values, tuple(declared))
    import pyarrow as pa

    if pa.types.is_nested(values.type):
        raise DataError(f"holds {values.type} values, but a label is a single name or number")
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    encoded = values.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    spelled = _one_spelling([_as_text(value) for value in encoded.dictionary.to_pylist()])
    names = sorted_names({name for name in spelled if name is not None})
    code_of = {name: code for code, name in enumerate(names)}
    table = [UNLABELLED if name is None else code_of[name] for name in spelled]
    rows = encoded.indices.fill_null(len(table)).to_numpy(zero_copy_only=False)
    return LabelColumn(names, np.array([*table, UNLABELLED], dtype=np.int64)[rows])


def sorted_names(names: set[str]) -> tuple[str, ...]:
    """Sorted as numbers if all are whole numbers (so `10` comes after `9`), else as text."""
    if all(_WHOLE.fullmatch(name) for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def recode(
    column: LabelColumn,
    label_names: Sequence[str],
    *,
    where: Callable[[int], str],
    names_declared: bool = False,
) -> NDArray[np.int64]:
    """The codes `(N,)` of `column` in terms of `label_names`; missing labels stay `UNLABELLED`.

    Names are matched first. Class numbers are understood as names, or names as numbers, only where a file
    declares which is which: with `label_names = ("cat", "dog")` and `names_declared`, the number 1 is `dog`;
    with `label_names = ("0", "1")`, the second name of a `ClassLabel` column is `1`. Names that were merely
    sorted say nothing about the numbers of another file.

    Raises `DataError` for a label that `label_names` lacks, saying `where(row)` and the nearest known name.
    """
    code_of = {name: code for code, name in enumerate(label_names)}
    used = np.unique(column.codes[column.codes != UNLABELLED]).tolist()
    table = [code_of.get(name, UNLABELLED) for name in column.names]
    if any(table[code] == UNLABELLED for code in used):
        by_number = _by_number(column, label_names, used, names_declared)
        if by_number is None:
            unknown = next(code for code in used if table[code] == UNLABELLED)
            row = int(np.flatnonzero(column.codes == unknown)[0])
            raise DataError(f"{where(row)}: {_unknown(column.names[unknown], label_names)}")
        table = by_number
    codes: NDArray[np.int64] = np.array([*table, UNLABELLED], dtype=np.int64)[column.codes]
    return codes


def _unknown(name: str, label_names: Sequence[str]) -> str:
    if _WHOLE.fullmatch(name) and not any(_WHOLE.fullmatch(known) for known in label_names):
        return (
            f"the label {name!r} is not a known class: expected one of the names {listed(label_names)}, "
            "found a number, and which number means which name is not declared; write the names here too"
        )
    return (
        f"the label {name!r} is not a known class.{nearest(name, label_names)} "
        f"Known classes: {listed(label_names)}"
    )


def _by_number(
    column: LabelColumn, label_names: Sequence[str], used: Sequence[int], names_declared: bool
) -> list[int] | None:
    """The code in `label_names` of each class of `column`, if a file declares the names of the numbers."""
    if column.declared:
        code_of = {name: code for code, name in enumerate(label_names)}
        table = [code_of.get(str(code), UNLABELLED) for code in range(len(column.names))]
    elif not names_declared or any(_WHOLE.fullmatch(name) for name in label_names):
        return None
    else:
        numbers = [int(n) if _WHOLE.fullmatch(n) else UNLABELLED for n in column.names]
        table = [n if 0 <= n < len(label_names) else UNLABELLED for n in numbers]
    return None if any(table[code] == UNLABELLED for code in used) else table


def _declared(values: Any, names: tuple[str, ...]) -> LabelColumn:
    codes: NDArray[np.int64] = (
        values.cast("int64").fill_null(UNLABELLED).to_numpy().astype(np.int64, copy=True)
    )
    highest = int(codes.max(initial=UNLABELLED))
    if highest >= len(names) or int(codes.min(initial=UNLABELLED)) < UNLABELLED:
        raise DataError(
            f"holds class numbers that its {len(names)} declared names do not cover (up to {highest})"
        )
    return LabelColumn(names, codes, declared=True)


def _as_text(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None


def _one_spelling(names: list[str | None]) -> list[str | None]:
    """`1.0` becomes `1` if every name is a whole number; `007` is a name like any other."""
    matches = [None if name is None else _WHOLE_AS_DECIMAL.fullmatch(name) for name in names]
    if any(match is None and name is not None for match, name in zip(matches, names, strict=True)):
        return names
    return [None if match is None else match[1] for match in matches]
