"""From the arguments of `fit` to encoded examples; the encoders of numbers in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdw.data.encode.encoder import SparseInputs, fit_encoder, require_float32
from gdw.data.examples import Examples, Inputs
from gdw.data.source import Source
from gdw.errors import ConfigError, DataError
from gdw.estimator.sources import column_names, frame_source, image_source, text_source
from gdw.estimator.validation import (
    Form,
    check_features,
    check_labels,
    check_trusted,
    code_known_labels,
    code_labels,
    recognise_form,
    require_each_class,
    select_rows,
)

CHUNK = 16384


@dataclass(frozen=True, eq=False)
class EncodedData:
    """The checked and encoded data of a fit.

    Attributes:
        encoder: fitted on the rows of `X` that are used.
        classes: `(C,)`, sorted.
        examples: those R rows, encoded, with the codes of their classes `(R,)`.
        rows: int64 `(R,)`, their positions in `X`.
        weights: float64 `(R,)`, positive; None if all are equal.
        trusted: booleans `(R,)`; None if `fit` did not get them.
        meta: the separate clean examples; None if there are none.
    """

    encoder: FormEncoder
    classes: NDArray[Any]
    examples: Examples
    rows: NDArray[np.int64]
    weights: NDArray[np.float64] | None
    trusted: NDArray[np.bool_] | None
    meta: Examples | None


def encode(
    estimator: Any, X: Any, y: Any, *, sample_weight: Any, meta: Any, trusted: Any
) -> EncodedData:
    """Check and encode the arguments of `GDWClassifier.fit`, and set `n_features_in_` of the estimator.

    Raises:
        ValueError, TypeError: as `GDWClassifier.fit`.
    """
    if meta is not None and trusted is not None:
        raise ConfigError(
            "expected the clean examples as meta or as trusted, found both: leave one out"
        )
    labels = check_labels(y, estimator)
    form = recognise_form(X, own_module=estimator.module is not None)
    checked = check_features(estimator, X, form, fitting=True)
    length = _require_same_length(checked, labels)
    rows, weights = _check_weights(sample_weight, checked, length)
    mask = None if trusted is None else check_trusted(trusted, length)
    classes, codes = code_labels(labels[rows])
    checked = checked if len(rows) == length else select_rows(checked, rows)
    encoder = FormEncoder.fit(form, checked)
    if mask is not None:
        mask = mask[rows]
        require_each_class(codes[mask], classes, "trusted")
    return EncodedData(
        encoder=encoder,
        classes=classes,
        examples=Examples(encoder.encode(checked), torch.from_numpy(codes)),
        rows=rows,
        weights=weights,
        trusted=mask,
        meta=None if meta is None else _encode_meta(estimator, meta, encoder, classes),
    )


def _require_same_length(checked: Any, labels: NDArray[Any]) -> int:
    length: int = checked.shape[0] if hasattr(checked, "shape") else len(checked)
    if len(labels) != length:
        raise DataError(
            f"Found input variables with inconsistent numbers of samples: {length} rows in X, "
            f"{len(labels)} labels in y"
        )
    return length


def _check_weights(
    sample_weight: Any, X: Any, length: int
) -> tuple[NDArray[np.int64], NDArray[np.float64] | None]:
    """The rows with a positive weight, and their weights; None if all weights are equal."""
    from sklearn.utils.validation import _check_sample_weight

    if sample_weight is None:
        return np.arange(length), None
    weights: NDArray[np.float64] = _check_sample_weight(
        sample_weight, X, dtype=np.float64, ensure_non_negative=True
    )
    if np.all(weights == weights[0]) and weights[0] > 0:
        # Weights of one must change nothing at all.
        return np.arange(length), None
    rows = np.flatnonzero(weights)
    return rows, weights[rows]


def _encode_meta(
    estimator: Any, meta: Any, encoder: FormEncoder, classes: NDArray[Any]
) -> Examples:
    if not isinstance(meta, (tuple, list)) or len(meta) != 2:
        raise DataError(
            f"meta: expected a pair (X, y) of clean examples, found {type(meta).__name__}"
        )
    X, y = meta
    checked = check_features(estimator, X, encoder.form, fitting=False)
    codes = code_known_labels(check_labels(y, estimator), classes, "meta")
    inputs = encoder.encode(checked)
    if len(inputs) != len(codes):
        raise DataError(
            f"meta: X has {len(inputs)} rows, y has {len(codes)}: the numbers must be equal"
        )
    require_each_class(codes, classes, "meta")
    return Examples(inputs, torch.from_numpy(codes))


@dataclass(frozen=True, eq=False)
class FormEncoder:
    """A fitted encoder for one form of `X`.

    Attributes:
        form: what `X` is.
        encoder: has `encode`, `input_shape`, `mean_std` and `kind` like a `gdw.data.Encoder`. `kind` is for
            the choice of a network.
        names: of the columns of a table.
    """

    form: Form
    encoder: Any
    names: tuple[str, ...] = ()

    @classmethod
    def fit(cls, form: Form, X: Any) -> FormEncoder:
        """Fit to training data that `check_features` returned.

        Raises:
            DataError: they cannot be encoded.
        """
        if form == "table":
            names = column_names(X)
            return cls(form, fit_encoder(frame_source(X, names)), names)
        if form in _SOURCES:
            return cls(form, fit_encoder(_SOURCES[form](X)))
        return cls(form, _ENCODERS[form].fit(X))

    def encode(self, X: Any) -> Inputs:
        """The inputs of the network, from what `check_features` returned for the same form."""
        if self.form == "table":
            # By position: scikit-learn has compared the names.
            X = frame_source(X, self.names)
        elif self.form in _SOURCES:
            X = _SOURCES[self.form](X)
        inputs: Inputs = self.encoder.encode(X)
        return inputs


@dataclass(frozen=True, eq=False)
class NumberEncoder:
    """Standardises the columns of arrays `(N, F)`; NaN is a missing value.

    A missing value becomes the mean of its column. Each of the K columns with missing values in training
    gets an indicator, appended after the last column: `(N, F + K)` float32. A constant column becomes zeros.

    Attributes:
        mean, scale: float64 `(F,)`.
        incomplete: int64 `(K,)`, the columns with missing values.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    incomplete: NDArray[np.int64]
    kind: ClassVar[str] = "array"
    mean_std: ClassVar[None] = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (len(self.mean) + len(self.incomplete),)

    @classmethod
    def fit(cls, X: NDArray[Any]) -> NumberEncoder:
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler()
        missing = np.zeros(X.shape[1], dtype=bool)
        for _, part in _float64_parts(X):
            missing |= np.isnan(part).any(axis=0)
            scaler.partial_fit(part)
        # The mean of a column without any value is NaN.
        mean, scale = np.nan_to_num(scaler.mean_), np.nan_to_num(scaler.scale_, nan=1.0)
        return cls(mean, scale, np.flatnonzero(missing))

    def encode(self, X: NDArray[Any]) -> Tensor:
        encoded = np.empty((len(X), *self.input_shape), dtype=np.float32)
        width = len(self.mean)
        for rows, part in _float64_parts(X):
            encoded[rows, :width] = np.nan_to_num((part - self.mean) / self.scale)
            encoded[rows, width:] = np.isnan(part[:, self.incomplete])
        return torch.from_numpy(encoded)


@dataclass(frozen=True, eq=False)
class SparseEncoder:
    """Divides each column of sparse matrices `(N, F)` by its largest absolute value in training."""

    scale: NDArray[np.float64]
    mean_std: ClassVar[None] = None

    @property
    def kind(self) -> str:
        # Thousands of mostly empty columns are a bag of words, or similar to one.
        return "text" if len(self.scale) >= 512 else "array"

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.scale.shape

    @classmethod
    def fit(cls, X: Any) -> SparseEncoder:
        from sklearn.preprocessing import MaxAbsScaler

        return cls(MaxAbsScaler().fit(X).scale_)

    def encode(self, X: Any) -> SparseInputs:
        from scipy.sparse import csr_matrix

        scaled = csr_matrix(X, dtype=np.float64, copy=True)
        scaled.data /= self.scale[scaled.indices]
        return SparseInputs(scaled.astype(np.float32))


@dataclass(frozen=True, eq=False)
class UnchangedEncoder:
    """Leaves numbers `(N, *input_shape)` unchanged, for a network of the user's own.

    Tensors keep their dtype, arrays become float32.
    """

    input_shape: tuple[int, ...]
    kind: ClassVar[str] = "array"
    mean_std: ClassVar[None] = None

    @classmethod
    def fit(cls, X: Any) -> UnchangedEncoder:
        return cls(tuple(X.shape[1:]))

    def encode(self, X: Any) -> Tensor:
        if tuple(X.shape[1:]) != self.input_shape:
            raise DataError(
                f"expected X of shape {('N', *self.input_shape)} as in fit, found {tuple(X.shape)}"
            )
        if isinstance(X, Tensor):
            return X.detach()
        return torch.from_numpy(np.array(X, dtype=np.float32))


def _float64_parts(X: NDArray[Any]) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """`X` in parts of `CHUNK` rows, so that the copy in float64 stays small."""
    for start in range(0, len(X), CHUNK):
        rows = slice(start, start + CHUNK)
        part: NDArray[np.float64] = X[rows].astype(np.float64)
        require_float32(part, range(part.shape[1]), partial(_row_name, start))
        yield rows, part


def _row_name(start: int, row: int) -> str:
    return f"row {start + row} of X"


_SOURCES: dict[Form, Callable[[Any], Source]] = {"texts": text_source, "images": image_source}
_ENCODERS: dict[Form, Any] = {
    "numbers": NumberEncoder,
    "sparse": SparseEncoder,
    "untouched": UnchangedEncoder,
}
