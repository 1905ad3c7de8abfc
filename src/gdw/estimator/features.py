"""What `X` is, whether it is alike in `fit` and later, and its way to the network's inputs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gdw.data.encode import fit_encoder
from gdw.data.examples import Inputs
from gdw.data.source import Source
from gdw.errors import DataError
from gdw.estimator.numbers import NumberEncoder, SparseEncoder, Untouched
from gdw.estimator.sources import column_names, frame_source, image_source, text_source

Form = Literal["numbers", "sparse", "table", "texts", "images", "untouched"]

_WORDS: dict[Form, str] = {
    "numbers": "an array of numbers (N, F)",
    "sparse": "a sparse matrix (N, F)",
    "table": "a data frame",
    "texts": "a list of texts",
    "images": "images (N, H, W) or (N, H, W, 3)",
    "untouched": "an array or tensor (N, ...)",
}
_SOURCES: dict[Form, Callable[[Any], Source]] = {
    "texts": text_source,
    "images": image_source,
}
_ENCODERS: dict[Form, Any] = {
    "numbers": NumberEncoder,
    "sparse": SparseEncoder,
    "untouched": Untouched,
}


@dataclass(frozen=True, eq=False)
class Features:
    """Fitted preprocessing of one form of `X`.

    `encoder` has `encode`, `input_shape`, `mean_std` and `kind`, as a `gdw.data.Encoder` has; `kind` is for
    the choice of a network. `names` are those of a table's columns.
    """

    form: Form
    encoder: Any
    names: tuple[str, ...] = ()

    @classmethod
    def fit(cls, form: Form, X: Any) -> Features:
        """From training data that `validated` returned. Raises `DataError` for what cannot be encoded."""
        if form == "table":
            names = column_names(X)
            return cls(form, fit_encoder(frame_source(X, names)), names)
        if form in _SOURCES:
            return cls(form, fit_encoder(_SOURCES[form](X)))
        return cls(form, _ENCODERS[form].fit(X))

    def encode(self, X: Any) -> Inputs:
        """The network's inputs, from what `validated` returned for the same form."""
        if self.form == "table":
            # by position: scikit-learn has compared the names
            X = frame_source(X, self.names)
        elif self.form in _SOURCES:
            X = _SOURCES[self.form](X)
        inputs: Inputs = self.encoder.encode(X)
        return inputs


def recognise(X: Any, *, own_module: bool) -> Form:
    """The form of training data; with `own_module` dense numbers are left as they are."""
    if _is_sparse(X):
        return "sparse"
    if _is_frame(X):
        return _form_of_numbers(own_module, X) if _all_numeric(X) else "table"
    if isinstance(X, Tensor):
        return _form_of_numbers(own_module, X)
    if _is_texts(X):
        return "texts"
    if _is_mixed(X):
        return "table"
    return _form_of_numbers(own_module, X)


def validated(estimator: Any, X: Any, form: Form, *, fitting: bool) -> Any:
    """`X` checked by scikit-learn's rules, as its encoder takes it.

    Sets (when `fitting`) or compares `n_features_in_` and `feature_names_in_`. Raises `ValueError` or
    `TypeError` as scikit-learn does, and `DataError` for another form than that of training.
    """
    from sklearn.utils.validation import validate_data

    if form in ("texts", "table"):
        X = _as_texts(X) if form == "texts" else _as_frame(X)
        validate_data(estimator, X, reset=fitting, skip_check_array=True)
        _require_some(X, estimator)
        return X
    if form == "untouched" and isinstance(X, Tensor):
        _require_some(X, estimator)
        return X
    dense = form in ("numbers", "sparse")
    if dense and _ndim(X) > 2:
        raise DataError(f"expected {_WORDS[form]} as in fit, found {_ndim(X)} dimensions")
    flat = dense or (form == "untouched" and _ndim(X) <= 2)
    return validate_data(
        estimator,
        X,
        reset=fitting,
        accept_sparse="csr" if dense else False,
        dtype=(np.float64, np.float32) if dense else "numeric",
        # NaN is a missing value in a table of numbers
        ensure_all_finite="allow-nan" if form == "numbers" and not _is_sparse(X) else True,
        ensure_2d=flat,
        allow_nd=not flat,
    )


def conform(X: Any, form: Form) -> Any:
    """Sparse where training was dense, or the other way about, as training had it."""
    if form == "numbers" and _is_sparse(X):
        return X.toarray()
    return X


def select(X: Any, rows: NDArray[np.int64]) -> Any:
    """The `rows` of what `validated` returned."""
    if isinstance(X, list):
        return [X[row] for row in rows]
    return X.iloc[rows] if _is_frame(X) else X[rows]


def _form_of_numbers(own_module: bool, X: Any) -> Form:
    if own_module:
        return "untouched"
    return "images" if _ndim(X) > 2 else "numbers"


def _ndim(X: Any) -> int:
    try:
        return int(X.ndim) if hasattr(X, "ndim") else np.asarray(X).ndim
    except ValueError:
        # rows of unequal length: scikit-learn's check of an array says so
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
    """Rows of names, or of names and numbers."""
    if isinstance(X, np.ndarray):
        if X.ndim != 2 or X.dtype.kind not in "OU":
            return False
        return X.dtype.kind == "U" or any(isinstance(value, str) for value in X.flat)
    rows = X if isinstance(X, (list, tuple)) else ()
    return any(
        isinstance(row, (list, tuple)) and any(isinstance(v, str) for v in row) for row in rows
    )


def _as_texts(X: Any) -> list[str | None]:
    import pandas as pd

    if isinstance(X, str) or not hasattr(X, "__len__") or getattr(X, "ndim", 1) != 1:
        raise DataError(f"expected {_WORDS['texts']}, found {type(X).__name__}")
    texts: list[str | None] = []
    for position, value in enumerate(X):
        if isinstance(value, str):
            texts.append(value)
        elif np.ndim(value) == 0 and pd.isna(value):
            texts.append(None)
        else:
            raise DataError(
                f"X[{position}] is {value!r:.60}: expected a text as in the other rows; write it as one"
            )
    return texts


def _as_frame(X: Any) -> Any:
    import pandas as pd

    if _is_frame(X):
        return X
    if _ndim(X) != 2:
        raise DataError(f"expected {_WORDS['table']} as in fit, found {type(X).__name__}")
    return pd.DataFrame(X).infer_objects()


def _require_some(X: Any, estimator: Any) -> None:
    if not len(X):
        raise DataError(
            f"Found array with 0 sample(s) while a minimum of 1 is required by "
            f"{type(estimator).__name__}"
        )
