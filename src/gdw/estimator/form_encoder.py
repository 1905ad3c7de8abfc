"""The encoder of each form of `X`; the encoders of numbers in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdw.data.columns import ColumnType
from gdw.data.encode.encoder import SparseInputs, require_float32, unknown_notes
from gdw.data.examples import Inputs
from gdw.data.rows import Kind
from gdw.data.source import Source
from gdw.errors import DataError
from gdw.estimator.sources import (
    column_names,
    frame_like,
    frame_source,
    image_source,
    picture_source,
    text_source,
)
from gdw.estimator.validation import Form
from gdw.estimator.wanted_backbone import UsedBackbone, WantedBackbone, own_backbone

CHUNK = 16384


@dataclass(frozen=True, eq=False)
class FormEncoder:
    """A fitted encoder for one form of `X`.

    Attributes:
        form: what `X` is.
        encoder: has `encode`, `input_shape`, `mean_std` and `kind` like a `gdw.data.Encoder`. `kind` is for
            the choice of a network.
        columns: what is learned of a data frame; None for other forms.
        backbone: the backbone whose features or inputs the encoder makes; None for none.
    """

    form: Form
    encoder: Any
    columns: _FrameColumns | None = None
    backbone: UsedBackbone | None = None

    @classmethod
    def fit(
        cls,
        form: Form,
        X: Any,
        codes: NDArray[np.int64],
        classes: NDArray[Any],
        wanted: WantedBackbone,
    ) -> tuple[FormEncoder, tuple[str, ...]]:
        """Fit to training data that `check_features` returned, with labels `codes` `(N,)` into `classes`.

        `wanted` says which backbone to use for images and texts.

        Returns:
            The encoder, and notes for the user on what it does not use.

        Raises:
            DataError: they cannot be encoded.
        """
        if form == "table":
            source = frame_source(X, codes, [str(name) for name in classes])
            columns, types = source.feature_columns, dict(source.column_types)
            read = _FrameColumns(column_names(X), source.kind, columns, types)
            encoder, backbone = wanted.fit(source)
            fitted = cls(form, encoder, read, backbone)
            return fitted, source.notes + fitted._notes_of_backbone
        if form in _SOURCES:
            source = _SOURCES[form](X)
            encoder, backbone = wanted.fit(source)
            fitted = cls(form, encoder, backbone=backbone)
            return fitted, source.notes + fitted._notes_of_backbone
        wanted.require_none(form)
        return cls(form, _ENCODERS[form].fit(X)), ()

    def with_backbone(self, given: Any) -> FormEncoder:
        """The same encoder with the backbone that the user gave, which a pickle of the encoder leaves out.

        Without one (None), the backbone is loaded by its name when it is needed.
        """
        if given is None or self.backbone is None or self.backbone.finetune != "none":
            return self
        own = own_backbone(given, kind=self.encoder.kind)
        return replace(self, encoder=replace(self.encoder, backbone=own))

    @property
    def _notes_of_backbone(self) -> tuple[str, ...]:
        """What the backbone does not see of the training data, such as the ends of long texts."""
        return () if self.backbone is None else tuple(getattr(self.encoder, "notes", ()))

    def encode(self, X: Any) -> tuple[Inputs, tuple[str, ...]]:
        """The inputs of the network, from what `check_features` returned for the same form, and notes."""
        notes: tuple[str, ...] = ()
        if self.columns is not None:
            X = self.columns.of(X)
            notes = X.notes + unknown_notes(self.encoder, X)
        elif self.form in _SOURCES:
            X = _SOURCES[self.form](X)
        inputs: Inputs = self.encoder.encode(X)
        return inputs, notes


@dataclass(frozen=True)
class _FrameColumns:
    """What is learned from a data frame: the names of all columns, the kind, the columns, and their types."""

    names: tuple[str, ...]
    kind: Kind
    columns: tuple[str, ...]
    types: dict[str, ColumnType]

    def of(self, frame: Any) -> Source:
        # By position: scikit-learn has compared the names.
        return frame_like(frame, self.names, self.kind, self.columns, self.types)


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


_SOURCES: dict[Form, Callable[[Any], Source]] = {
    "texts": text_source,
    "pictures": picture_source,
    "images": image_source,
}
_ENCODERS: dict[Form, Any] = {
    "numbers": NumberEncoder,
    "sparse": SparseEncoder,
    "untouched": UnchangedEncoder,
}
