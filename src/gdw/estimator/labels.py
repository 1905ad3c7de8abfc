"""Labels of any type: checked by scikit-learn's rules, and coded from 0 to C-1."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.errors import DataError, nearest

# More of a list of classes than this tells nobody anything.
_SHOWN = 10


def read_labels(y: Any, estimator: Any) -> NDArray[Any]:
    """`y` as an array `(N,)` of classes, of its own type.

    Raises `ValueError` for no labels, missing ones, numbers that are no classes, and more than one column.
    """
    import pandas as pd
    from sklearn.utils import assert_all_finite, column_or_1d
    from sklearn.utils.multiclass import check_classification_targets

    if y is None:
        raise ValueError(
            f"{type(estimator).__name__} requires y to be passed, but the target y is None"
        )
    labels: NDArray[Any] = column_or_1d(y, warn=True)
    missing = np.flatnonzero(pd.isna(labels))
    if len(missing):
        raise DataError(
            f"Input y contains NaN: {len(missing)} of {len(labels)} labels are missing, the first in row "
            f"{missing[0]}; label these rows or leave them out"
        )
    if labels.dtype == object:
        _require_one_type(labels)
    assert_all_finite(labels, input_name="y")
    check_classification_targets(labels)
    return labels


def code(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The classes `(C,)`, sorted, and the code `(N,)` of each label.

    Raises `DataError` for less than two classes.
    """
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        found = f"1 class, {classes[0]!r}" if len(classes) else "none"
        raise DataError(f"expected labels of at least two classes, found {found}")
    return classes, codes.astype(np.int64)


def _require_one_type(labels: NDArray[Any]) -> None:
    texts = [isinstance(label, str) for label in labels]
    if any(texts) and not all(texts):
        row = texts.index(not texts[0])
        found = f"{labels[0]!r} in row 0 and {labels[row]!r} in row {row}"
        raise DataError(f"y: expected labels of one type, found {found}: write them all as text")


def recode(labels: NDArray[Any], classes: NDArray[Any], name: str) -> NDArray[np.int64]:
    """The codes `(N,)` of other labels, called `name` in messages, in terms of `classes` `(C,)`.

    Raises `DataError` for a label that is none of them.
    """
    code_of = {value: position for position, value in enumerate(classes.tolist())}
    codes = np.empty(len(labels), dtype=np.int64)
    for row, label in enumerate(labels.tolist()):
        position = code_of.get(label)
        if position is None:
            known = [str(value) for value in code_of]
            more = ", ..." if len(known) > _SHOWN else ""
            raise DataError(
                f"{name}: the label {label!r} in row {row} never occurs in y.{nearest(str(label), known)} "
                f"Classes of y: {', '.join(known[:_SHOWN])}{more}"
            )
        codes[row] = position
    return codes
