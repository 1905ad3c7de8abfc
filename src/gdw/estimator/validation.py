"""Checking `X`, `y` and `trusted` by scikit-learn's rules, in `fit` and later."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gdw.errors import DataError, nearest

Form = Literal["numbers", "sparse", "table", "texts", "images", "untouched"]
"""What `X` is; "untouched": numbers for a network of the user's own."""

_DESCRIPTIONS: dict[Form, str] = {
    "numbers": "an array of numbers (N, F)",
    "sparse": "a sparse matrix (N, F)",
    "table": "a data frame",
    "texts": "a list of texts",
    "images": "images (N, H, W) or (N, H, W, 3)",
    "untouched": "an array or tensor (N, ...)",
}

# How many classes an error message lists.
_LISTED = 10


def recognise_form(X: Any, *, own_module: bool) -> Form:
    """The form of training data; with `own_module` dense numbers stay as they are."""
    if _is_sparse(X):
        return "sparse"
    if _is_texts(X):
        return "texts"
    if _is_mixed(X) or (_is_frame(X) and not _all_numeric(X)):
        return "table"
    if own_module:
        return "untouched"
    return "images" if _ndim(X) > 2 else "numbers"


def check_features(estimator: Any, X: Any, form: Form, *, fitting: bool) -> Any:
    """Check `X` and return it as its encoder takes it.

    With `fitting` this sets `n_features_in_` and `feature_names_in_` of the estimator; without, it compares
    them.

    Raises:
        ValueError, TypeError: as scikit-learn raises them.
        DataError: `X` has another form than in `fit`.
    """
    from sklearn.utils.validation import validate_data

    if form == "numbers" and not fitting and _is_sparse(X):
        X = X.toarray()
    if form in ("texts", "table"):
        X = _as_texts(X) if form == "texts" else _as_frame(X)
        validate_data(estimator, X, reset=fitting, skip_check_array=True)
        _require_rows(X, estimator)
        return X
    if form == "untouched" and isinstance(X, Tensor):
        _require_rows(X, estimator)
        return X
    return _check_array(estimator, X, form, fitting=fitting)


def _check_array(estimator: Any, X: Any, form: Form, *, fitting: bool) -> Any:
    from sklearn.utils.validation import validate_data

    dense = form in ("numbers", "sparse")
    if dense and _ndim(X) > 2:
        raise DataError(f"expected {_DESCRIPTIONS[form]} as in fit, found {_ndim(X)} dimensions")
    flat = dense or (form == "untouched" and _ndim(X) <= 2)
    return validate_data(
        estimator,
        X,
        reset=fitting,
        accept_sparse="csr" if dense else False,
        dtype=(np.float64, np.float32) if dense else "numeric",
        # NaN is a missing value in a table of numbers.
        ensure_all_finite="allow-nan" if form == "numbers" and not _is_sparse(X) else True,
        ensure_2d=flat,
        allow_nd=not flat,
    )


def select_rows(X: Any, rows: NDArray[np.int64]) -> Any:
    """The `rows` of what `check_features` returned."""
    if isinstance(X, list):
        return [X[row] for row in rows]
    return X.iloc[rows] if _is_frame(X) else X[rows]


def check_labels(y: Any, estimator: Any) -> NDArray[Any]:
    """Check `y` and return it as an array of classes `(N,)`, of its own type.

    Raises:
        ValueError: there are no labels, some are missing, they are numbers but not classes, or there is
            more than one column.
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


def code_labels(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The classes `(C,)`, sorted, and the code of each label `(N,)`, from 0 to C-1.

    Raises:
        DataError: there are less than two classes.
    """
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        number = f"1 class, {classes[0]!r}" if len(classes) else "none"
        raise DataError(f"expected labels of at least two classes, found {number}")
    return classes, codes.astype(np.int64)


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
            known = [str(value) for value in code_of]
            more = ", ..." if len(known) > _LISTED else ""
            raise DataError(
                f"{name}: the label {label!r} in row {row} never occurs in y.{nearest(str(label), known)} "
                f"Classes of y: {', '.join(known[:_LISTED])}{more}"
            )
        codes[row] = position
    return codes


def check_trusted(trusted: Any, length: int) -> NDArray[np.bool_]:
    """The mask `(N,)` of verified rows.

    Raises:
        DataError: `trusted` is not a mask of that length, or all rows or none are true.
    """
    mask = np.asarray(trusted)
    if mask.shape != (length,) or not np.isin(mask, (0, 1)).all():
        found = f"shape {mask.shape}" if mask.shape != (length,) else f"values of type {mask.dtype}"
        raise DataError(
            f"trusted: expected {length} times true or false, one for each row of X, found {found}"
        )
    _require_both(mask.astype(bool))
    return mask.astype(bool)


def _require_both(mask: NDArray[np.bool_]) -> None:
    if mask.all() or not mask.any():
        found = "every row" if mask.all() else "no row"
        raise DataError(
            f"trusted: {found} of X is trusted: expected some clean rows and some to train on"
        )


def require_each_class(codes: NDArray[np.int64], classes: NDArray[Any], name: str) -> None:
    """Raise `DataError` if a class has no clean example. `codes` are those of the clean examples."""
    missing = np.flatnonzero(np.bincount(codes, minlength=len(classes)) == 0)
    if len(missing):
        word = "1 class has" if len(missing) == 1 else f"{len(missing)} classes have"
        first = ", ".join(repr(value) for value in classes[missing[:_LISTED]].tolist())
        raise DataError(
            f"{name}: {word} no clean example: {first}{', ...' if len(missing) > _LISTED else ''}. "
            "Add at least one verified example of each"
        )


def _require_one_type(labels: NDArray[Any]) -> None:
    texts = [isinstance(label, str) for label in labels]
    if any(texts) and not all(texts):
        row = texts.index(not texts[0])
        found = f"{labels[0]!r} in row 0 and {labels[row]!r} in row {row}"
        raise DataError(f"y: expected labels of one type, found {found}: write them all as text")


def _ndim(X: Any) -> int:
    try:
        return int(X.ndim) if hasattr(X, "ndim") else np.asarray(X).ndim
    except ValueError:
        # Rows of unequal length: scikit-learn's check of an array reports them.
        return 2


def _is_sparse(X: Any) -> bool:
    from scipy.sparse import issparse

    return bool(issparse(X))


def _is_frame(X: Any) -> bool:
    return hasattr(X, "iloc") and hasattr(X, "columns")


def _all_numeric(X: Any) -> bool:
    from pandas.api.types import is_numeric_dtype

    return all(is_numeric_dtype(dtype) for dtype in X.dtypes)


def _is_texts(X: Any) -> bool:
    if hasattr(X, "ndim") and X.ndim != 1:
        return False
    if not isinstance(X, (list, tuple, np.ndarray)) and not hasattr(X, "iloc"):
        return False
    return any(isinstance(value, str) for value in X)


def _is_mixed(X: Any) -> bool:
    """Whether rows hold names, or names and numbers."""
    if isinstance(X, np.ndarray):
        return X.ndim == 2 and _holds_texts(X)
    rows = X if isinstance(X, (list, tuple)) else ()
    return any(
        isinstance(row, (list, tuple)) and any(isinstance(v, str) for v in row) for row in rows
    )


def _holds_texts(array: NDArray[Any]) -> bool:
    if array.dtype.kind == "O":
        return any(isinstance(value, str) for value in array.flat)
    return array.dtype.kind == "U"


def _as_texts(X: Any) -> list[str | None]:
    if isinstance(X, str) or not hasattr(X, "__len__") or getattr(X, "ndim", 1) != 1:
        raise DataError(f"expected {_DESCRIPTIONS['texts']}, found {type(X).__name__}")
    return [_as_text(value, position) for position, value in enumerate(X)]


def _as_text(value: Any, position: int) -> str | None:
    if isinstance(value, str):
        return value
    import pandas as pd

    if np.ndim(value) == 0 and pd.isna(value):
        return None
    raise DataError(
        f"X[{position}] is {value!r:.60}: expected a text as in the other rows; write it as one"
    )


def _as_frame(X: Any) -> Any:
    import pandas as pd

    if _is_frame(X):
        return X
    if _ndim(X) != 2:
        raise DataError(f"expected {_DESCRIPTIONS['table']} as in fit, found {type(X).__name__}")
    return pd.DataFrame(X).infer_objects()


def _require_rows(X: Any, estimator: Any) -> None:
    if not len(X):
        raise DataError(
            f"Found array with 0 sample(s) while a minimum of 1 is required by "
            f"{type(estimator).__name__}"
        )
