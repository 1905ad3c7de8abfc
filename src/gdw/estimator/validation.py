"""The form of `X`, and its check by scikit-learn's rules, in `fit` and later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gdw.data.data_frames import is_picture
from gdw.data.loading import INDEX_COLUMNS
from gdw.errors import DataError, listed
from gdw.estimator.containers import as_array, is_encoded_picture, is_frame
from gdw.estimator.sources import are_image_files

Form = Literal["numbers", "sparse", "table", "texts", "pictures", "images", "untouched"]
"""What `X` is; "untouched": numbers for a network of the user's own."""

_DESCRIPTIONS: dict[Form, str] = {
    "numbers": "an array of numbers (N, F)",
    "sparse": "a sparse matrix (N, F)",
    "table": "a data frame",
    "texts": "a list of texts",
    "pictures": "a list of images or of their files",
    "images": "images (N, H, W) or (N, H, W, 3)",
    "untouched": "an array or tensor (N, ...)",
}


_FLOATS = {"accept_sparse": "csr", "dtype": (np.float64, np.float32)}
# NaN is a missing value in a table of numbers.
_RULES: dict[Form, dict[str, Any]] = {
    "numbers": {**_FLOATS, "ensure_all_finite": "allow-nan"},
    "sparse": _FLOATS,
}


def recognise_form(X: Any, *, own_module: bool) -> Form:
    """The form of training data, of `unwrapped`; with `own_module` dense numbers stay as they are."""
    for form, is_of_form in _RECOGNISED:
        if is_of_form(X):
            return form
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
    if is_frame(X) and not X.columns.is_unique:
        repeated = X.columns[X.columns.duplicated()].unique()
        raise DataError(
            f"X has more than one column named {listed(map(str, repeated))}: rename them"
        )
    if form in _AS_GIVEN:
        return _check_values(estimator, X, form, fitting=fitting)
    if form != "untouched" or not isinstance(X, Tensor):
        return _check_array(estimator, X, form, fitting=fitting)
    _require_rows(X, estimator)
    return X


def _check_values(estimator: Any, X: Any, form: Form, *, fitting: bool) -> Any:
    """Check what scikit-learn does not check beyond the names of columns."""
    from sklearn.utils.validation import validate_data

    single = not fitting and getattr(estimator, "n_features_in_", None) == 1
    if form == "table" and single and not hasattr(X, "iloc") and _ndim(X) == 1:
        X = [[value] for value in X]
    X = _AS_GIVEN[form](X)
    _require_rows(X, estimator)
    if form != "pictures":
        validate_data(estimator, X, reset=fitting, skip_check_array=True)
    return X


def _check_array(estimator: Any, X: Any, form: Form, *, fitting: bool) -> Any:
    from sklearn.utils.validation import validate_data

    X = as_array(X) if isinstance(X, Tensor) or (form == "numbers" and _is_sparse(X)) else X
    _require_dimensions(X, form, estimator)
    rules = _RULES.get(form, {})
    flat = bool(rules) or (form == "untouched" and _ndim(X) <= 2)
    return validate_data(estimator, X, reset=fitting, ensure_2d=flat, allow_nd=not flat, **rules)


def _require_dimensions(X: Any, form: Form, estimator: Any) -> None:
    if is_frame(X) and not X.shape[1]:
        raise DataError(
            f"Found array with 0 feature(s) (shape={X.shape}) while a minimum of 1 is required by "
            f"{type(estimator).__name__}"
        )
    if form in ("numbers", "sparse") and _ndim(X) > 2:
        raise DataError(f"expected {_DESCRIPTIONS[form]} as in fit, found {_ndim(X)} dimensions")


def select_rows(X: Any, rows: NDArray[np.int64]) -> Any:
    """The `rows` of what `check_features` returned."""
    if isinstance(X, list):
        return [X[row] for row in rows]
    return X.iloc[rows] if is_frame(X) else X[rows]


def _ndim(X: Any) -> int:
    try:
        return int(X.ndim) if hasattr(X, "ndim") else np.asarray(X).ndim
    except ValueError:
        # Rows of unequal length: scikit-learn's check of an array reports them.
        return 2


def _is_sparse(X: Any) -> bool:
    from scipy.sparse import issparse

    return bool(issparse(X))


def _is_numbers(X: Any) -> bool:
    """Whether all columns of a data frame are numbers that are features."""
    from pandas.api.types import is_numeric_dtype

    # Which columns are not features is found by the reader of tables.
    return all(map(is_numeric_dtype, X.dtypes)) and not set(map(str, X.columns)) & set(
        INDEX_COLUMNS
    )


def _is_pictures(X: Any) -> bool:
    """Whether `X` is a sequence of images: of Pillow, as files, or as arrays of several sizes."""
    if not _is_sequence(X):
        return False
    first = next((value for value in X if value is not None), None)
    if isinstance(first, (str, bytes)):
        return are_image_files(X)
    return is_picture(first) or is_encoded_picture(first) or _differ_in_size(X, first)


def _differ_in_size(X: Any, first: Any) -> bool:
    return isinstance(first, np.ndarray) and first.ndim > 1 and len(set(map(np.shape, X))) > 1


def _is_sequence(X: Any) -> bool:
    """Whether `X` is a list, or has one dimension."""
    return isinstance(X, list) or (hasattr(X, "ndim") and X.ndim == 1)


def _is_texts(X: Any) -> bool:
    return _is_sequence(X) and any(isinstance(value, str) for value in X)


def _is_mixed(X: Any) -> bool:
    """Whether rows hold names, or names and numbers."""
    if isinstance(X, np.ndarray):
        return X.ndim == 2 and _holds_texts(X)
    rows = X if isinstance(X, list) else ()
    return any(
        isinstance(row, (list, tuple)) and any(isinstance(v, str) for v in row) for row in rows
    )


def _is_table(X: Any) -> bool:
    return _is_mixed(X) or (is_frame(X) and not _is_numbers(X))


_RECOGNISED: tuple[tuple[Form, Callable[[Any], bool]], ...] = (
    ("sparse", _is_sparse),
    ("pictures", _is_pictures),
    ("texts", _is_texts),
    ("table", _is_table),
)


def _holds_texts(array: NDArray[Any]) -> bool:
    if array.dtype.kind == "O":
        return any(isinstance(value, str) for value in array.flat)
    return array.dtype.kind in "UT"


def _as_texts(X: Any) -> list[str | None]:
    X = _one_column(X)
    if not _is_sequence(X):
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


def _as_pictures(X: Any) -> list[Any]:
    X = _one_column(X)
    if not _is_sequence(X) and _ndim(X) not in (3, 4):
        raise DataError(f"expected {_DESCRIPTIONS['pictures']}, found {type(X).__name__}")
    return list(X)


def _one_column(X: Any) -> Any:
    """The column of a data frame, array or list of rows with a single one."""
    if is_frame(X):
        return X.iloc[:, 0] if X.shape[1] == 1 else X
    rows = isinstance(X, list) and all(isinstance(row, list) and len(row) == 1 for row in X)
    if rows or getattr(X, "shape", ())[1:] == (1,):
        return [row[0] for row in X]
    return X


def _as_frame(X: Any) -> Any:
    import pandas as pd

    if is_frame(X):
        return X
    if hasattr(X, "iloc"):
        return X.to_frame()
    if _ndim(X) != 2:
        raise DataError(f"expected {_DESCRIPTIONS['table']} as in fit, found {type(X).__name__}")
    return pd.DataFrame(X).infer_objects()


def _require_rows(X: Any, estimator: Any) -> None:
    if not len(X):
        raise DataError(
            f"Found array with 0 sample(s) while a minimum of 1 is required by "
            f"{type(estimator).__name__}"
        )


_AS_GIVEN: dict[Form, Callable[[Any], Any]] = {
    "texts": _as_texts,
    "pictures": _as_pictures,
    "table": _as_frame,
}
"""The forms whose values scikit-learn does not check."""
