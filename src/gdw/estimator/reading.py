"""From the arguments of `fit` to encoded examples, with everything checked before any work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.examples import Examples, Inputs
from gdw.errors import ConfigError, DataError
from gdw.estimator.examples import chosen, read_trusted, require_each_class
from gdw.estimator.features import Features, conform, recognise, select, validated
from gdw.estimator.labels import code, read_labels, recode


@dataclass(frozen=True, eq=False)
class Read:
    """The data of a fit.

    Attributes:
        features: fitted on the rows of `X` that count.
        classes: `(C,)`, sorted.
        inputs: those rows, encoded, `R` of them.
        codes: int64 `(R,)`, their classes.
        rows: int64 `(R,)`, where they are in `X`.
        weights: float64 `(R,)`, above zero; None when all count alike.
        trusted: booleans `(R,)`; None without.
        meta: the clean examples given apart; None without.
    """

    features: Features
    classes: NDArray[Any]
    inputs: Inputs
    codes: NDArray[np.int64]
    rows: NDArray[np.int64]
    weights: NDArray[np.float64] | None
    trusted: NDArray[np.bool_] | None
    meta: Examples | None


def read(estimator: Any, X: Any, y: Any, *, sample_weight: Any, meta: Any, trusted: Any) -> Read:
    """Arguments and errors as of `GDWClassifier.fit`; sets what scikit-learn wants known of the features."""
    if meta is not None and trusted is not None:
        raise ConfigError(
            "expected the clean examples as meta or as trusted, found both: leave one out"
        )
    labels = read_labels(y, estimator)
    form = recognise(X, own_module=estimator.module is not None)
    valid = validated(estimator, X, form, fitting=True)
    length = valid.shape[0] if hasattr(valid, "shape") else len(valid)
    if len(labels) != length:
        raise DataError(
            f"Found input variables with inconsistent numbers of samples: {length} rows in X, "
            f"{len(labels)} labels in y"
        )
    weights = _read_weights(sample_weight, valid)
    mask = None if trusted is None else read_trusted(trusted, length)
    rows = np.arange(length) if weights is None else np.flatnonzero(weights)
    classes, codes = code(labels[rows])
    valid = valid if len(rows) == length else select(valid, rows)
    features = Features.fit(form, valid)
    if mask is not None:
        mask = mask[rows]
        require_each_class(codes[mask], classes, "trusted")
    return Read(
        features=features,
        classes=classes,
        inputs=features.encode(valid),
        codes=codes,
        rows=rows,
        weights=None if weights is None else weights[rows],
        trusted=mask,
        meta=None if meta is None else _read_meta(estimator, meta, features, classes),
    )


def _read_weights(sample_weight: Any, X: Any) -> NDArray[np.float64] | None:
    """`(N,)` float64; None when all are alike, so that weights of one change nothing at all."""
    from sklearn.utils.validation import _check_sample_weight

    if sample_weight is None:
        return None
    weights: NDArray[np.float64] = _check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    return None if np.all(weights == weights[0]) and weights[0] > 0 else weights


def _read_meta(estimator: Any, meta: Any, features: Features, classes: NDArray[Any]) -> Examples:
    if not isinstance(meta, (tuple, list)) or len(meta) != 2:
        raise DataError(
            f"meta: expected a pair (X, y) of clean examples, found {type(meta).__name__}"
        )
    X, y = meta
    valid = validated(estimator, conform(X, features.form), features.form, fitting=False)
    codes = recode(read_labels(y, estimator), classes, "meta")
    inputs = features.encode(valid)
    if len(inputs) != len(codes):
        raise DataError(f"meta: X has {len(inputs)} rows, y has {len(codes)}: expected as many")
    require_each_class(codes, classes, "meta")
    return chosen(inputs, codes, np.arange(len(codes)))
