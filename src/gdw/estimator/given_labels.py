"""Checking `y`: labels of one type that scikit-learn can compare."""

from __future__ import annotations

from datetime import date
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.labels import VARIANTS, label_key, one_spelling_each
from gdw.errors import DataError, nearest
from gdw.estimator.containers import as_array, is_frame, is_pandas, unwrapped
from gdw.estimator.doubtful_labels import several_labels, uneven_labels

# How many classes an error message lists.
_LISTED = 10

_NUMBERED = (
    " (cross_val_predict gives fit the classes as numbers: number those of meta too, "
    "numpy.searchsorted(numpy.unique(y), y_meta))"
)

_KINDS: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "boolean": (bool, np.bool_),
    "integer": (int, np.integer),
    "number": (float, np.floating),
    "time": (date, np.datetime64),
}
# The kinds of arrays that NumPy makes of lists of one type without a loss.
_EXACT = {"text": "U", "boolean": "b", "integer": "iu", "number": "f", "bytes": "S", "complex": "c"}


def check_labels(y: Any, estimator: Any, name: str = "y") -> NDArray[Any]:
    """Check `y` and return it as an array of classes `(N,)`, of its own type.

    Integers of pandas that may be missing become plain integers, and so on; texts of pandas are objects.

    Raises:
        ValueError: there are no labels, some are missing, they are of several types, they are numbers but
            not classes, or there is more than one column.
    """
    import pandas as pd
    from sklearn.utils import assert_all_finite, column_or_1d
    from sklearn.utils.multiclass import check_classification_targets

    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None"
        )
    labels: NDArray[Any] = _label_array(unwrapped(y, name), name)
    _require_comparable(labels, name)
    labels = column_or_1d(labels, warn=True)
    _require_complete(np.asarray(pd.isna(labels)), name)
    if labels.dtype == object:
        labels = _of_one_type(labels, name)
    assert_all_finite(labels, input_name=name)
    check_classification_targets(labels)
    return labels


def _require_comparable(labels: NDArray[Any], name: str) -> None:
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise several_labels(labels, name)
    if labels.dtype.kind == "S":
        raise DataError(f"{name}: expected labels as text, found bytes: decode them first")
    if labels.dtype.kind == "c":
        raise DataError(f"Complex data not supported: {name} holds {labels.dtype} numbers")


def _label_array(y: Any, name: str) -> NDArray[Any]:
    """The labels as an array. What is missing stays missing, so that its row can be named."""
    if isinstance(y, list):
        return _of_list(y, name)
    if is_frame(y) and y.shape[1] == 1:
        return _label_array(y.iloc[:, 0], name)[:, None]
    if is_pandas(y) and not is_frame(y):
        return _of_series(y, name)
    array = as_array(y)
    return array.astype(object) if array.dtype.kind == "T" else array


def _of_series(y: Any, name: str) -> NDArray[Any]:
    import pandas as pd

    _require_complete(y.isna().to_numpy(), name)
    if isinstance(y.dtype, pd.CategoricalDtype):
        y = y.astype(y.cat.categories.dtype)
    plain = getattr(y.dtype, "numpy_dtype", None)
    if isinstance(plain, np.dtype) and plain.kind in "biufM":
        return np.asarray(y.to_numpy(dtype=plain))
    return np.asarray(y)


def _of_list(values: list[Any], name: str) -> NDArray[Any]:
    """The values as an array of their type, or of objects, which are checked later, if NumPy has none."""
    try:
        array = np.asarray(values)
    except ValueError:
        raise uneven_labels(values, name) from None
    if array.ndim != 1:
        return array
    kinds = set(map(_type_name, values))
    # NumPy would turn numbers next to texts into texts and integers of more than 64 bits into floats, and
    # cut the names of an enumeration to the length of their values.
    exact = len(kinds) == 1 and array.dtype.kind in _EXACT.get(kinds.pop(), "")
    named = any(isinstance(value, Enum) for value in values)
    return array if exact and not named else _objects(values)


def _objects(values: list[Any]) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _require_complete(missing: NDArray[np.bool_], name: str) -> None:
    rows = np.flatnonzero(missing)
    if len(rows):
        raise DataError(
            f"Input {name} contains NaN: {len(rows)} of {len(missing)} labels are missing, the first in row "
            f"{rows[0]}; label these rows or leave them out"
        )


def _of_one_type(labels: NDArray[Any], name: str) -> NDArray[Any]:
    """Labels `(N,)` that are objects, in the type of their own; texts stay objects."""
    types = [_type_name(label) for label in labels]
    _require_one_type(labels, types, name)
    kinds = set(types)
    if kinds == {"integer"}:
        return _integers(list(map(int, labels)), name)
    if kinds == {"time"}:
        return _times(labels, name)
    if kinds == {"text"}:
        return _objects([str.__str__(label) for label in labels])
    return np.array(labels.tolist())


def _require_one_type(labels: NDArray[Any], types: list[str], name: str) -> None:
    kinds = set(types)
    if len(kinds) > 1 and kinds != {"integer", "number"}:
        row = next(i for i, kind in enumerate(types) if kind != types[0])
        raise DataError(
            f"{name}: expected labels of one type, found {labels[0]!r} in row 0 and {labels[row]!r} in row "
            f"{row}: write them all as text"
        )
    if not kinds <= set(_KINDS):
        raise DataError(
            f"{name}: expected labels that are texts, numbers, booleans or times, found {labels[0]!r} of "
            f"type {types[0]}: write them as text"
        )


def _times(labels: NDArray[Any], name: str) -> NDArray[Any]:
    for row, label in enumerate(labels):
        if getattr(label, "tzinfo", None) is not None:
            raise DataError(
                f"{name}: expected dates and times without a time zone, found {label} in row {row}: write "
                "them as text"
            )
    return np.array([np.datetime64(label) for label in labels])


def _integers(values: list[int], name: str) -> NDArray[Any]:
    for dtype in (np.int64, np.uint64):
        if np.iinfo(dtype).min <= min(values) and max(values) <= np.iinfo(dtype).max:
            return np.array(values, dtype=dtype)
    row = int(np.argmax([abs(value) for value in values]))
    raise DataError(
        f"{name}: expected integers of at most 64 bits, found {values[row]} in row {row}: write them as text"
    )


def _type_name(label: Any) -> str:
    kinds = (kind for kind, types in _KINDS.items() if isinstance(label, types))
    return next(kinds, type(label).__name__)


def code_labels(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The classes `(C,)`, sorted, and the code of each label `(N,)`, from 0 to C-1.

    Raises:
        DataError: there are less than two classes.
    """
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        number = f"1 class, {classes.tolist()[0]!r}" if len(classes) else "none"
        raise DataError(f"expected labels of at least two classes, found {number}")
    return classes, codes.astype(np.int64)


def known_spelling(labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[Any]:
    """The labels `(N,)` in the spelling of `classes` `(C,)`; case, white space and the like do not count."""
    if labels.dtype.kind not in "OU" or classes.dtype.kind not in "OU":
        return labels
    spelling = {label_key(name): name for name in classes.tolist()}
    return np.array([spelling.get(label_key(label), label) for label in labels.tolist()])


def code_known_labels(labels: NDArray[Any], classes: NDArray[Any], name: str) -> NDArray[np.int64]:
    """The codes `(N,)` of other labels, in terms of `classes` `(C,)`.

    Raises:
        DataError: a label is not one of the classes; `name` says which labels they are.
    """
    code_of = {value: position for position, value in enumerate(classes.tolist())}
    codes = np.empty(len(labels), dtype=np.int64)
    for row, label in enumerate(labels.tolist()):
        position = code_of.get(label)
        if position is None:
            raise DataError(f"{name}: {_unknown(label, row, classes)}")
        codes[row] = position
    return codes


def _unknown(label: Any, row: int, classes: NDArray[Any]) -> str:
    known = [str(value) for value in classes.tolist()]
    if isinstance(label, str) != isinstance(classes.tolist()[0], str):
        found, expected = type(label).__name__, type(classes.tolist()[0]).__name__
        return (
            f"the labels are of type {found}, such as {label!r}, but those of y are of type {expected}, "
            f"such as {classes.tolist()[0]!r}: write them in the same type{_NUMBERED * (expected == 'int')}"
        )
    more = ", ..." if len(known) > _LISTED else ""
    return (
        f"the label {label!r} in row {row} never occurs in y.{nearest(str(label), known)} "
        f"Classes of y: {', '.join(known[:_LISTED])}{more}"
    )


def merged_labels(labels: NDArray[Any], *, merge: bool) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Merge labels `(N,)` that differ only in case, white space or invisible characters.

    Args:
        labels: the labels; nothing is done unless they are texts.
        merge: whether to merge them into the most frequent spelling. If not, they stay as they are.

    Returns:
        The labels, and a note if there are such labels.
    """
    if labels.dtype.kind not in "OU":
        return labels, ()
    names, codes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    spelling, variants = one_spelling_each(names.tolist(), counts)
    if not variants:
        return labels, ()
    if not merge:
        return labels, (
            f"{VARIANTS} are separate classes: {variants}; merge_labels=True merges them",
        )
    return np.array(spelling, dtype=labels.dtype)[codes], (f"merged {VARIANTS}: {variants}",)
