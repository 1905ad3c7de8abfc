"""Arrays of numbers with gaps, sparse matrices, and inputs that are left as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdw.data.encode.encoder import SparseInputs, chunks, require_float32
from gdw.errors import DataError

CHUNK = 16384


@dataclass(frozen=True, eq=False)
class NumberEncoder:
    """`(x - mean) / scale` by column for arrays `(N, F)` in which NaN is a missing value.

    A missing value becomes the column's mean, and each column that had one in training gets an indicator
    behind all columns: `(N, F + K)` float32. A constant column becomes zeros. `mean` and `scale` are float64
    `(F,)`, `incomplete` is int64 `(K,)`.
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
        for rows in chunks(len(X), CHUNK):
            part = _float64(X, rows)
            missing |= np.isnan(part).any(axis=0)
            scaler.partial_fit(part)
        # the mean of a column that is empty throughout is no number
        mean, scale = np.nan_to_num(scaler.mean_), np.nan_to_num(scaler.scale_, nan=1.0)
        return cls(mean, scale, np.flatnonzero(missing))

    def encode(self, X: NDArray[Any]) -> Tensor:
        encoded = np.empty((len(X), *self.input_shape), dtype=np.float32)
        width = len(self.mean)
        for rows in chunks(len(X), CHUNK):
            part = _float64(X, rows)
            encoded[rows, :width] = np.nan_to_num((part - self.mean) / self.scale)
            encoded[rows, width:] = np.isnan(part[:, self.incomplete])
        return torch.from_numpy(encoded)


@dataclass(frozen=True, eq=False)
class SparseEncoder:
    """Sparse matrices `(N, F)` by column divided by the largest size seen in training; zeros stay zeros."""

    scale: NDArray[np.float64]
    mean_std: ClassVar[None] = None

    @property
    def kind(self) -> str:
        # thousands of mostly empty columns are a bag of words, or behave like one
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
class Untouched:
    """Numbers for a network of one's own, of shape `(N, *input_shape)`.

    Tensors keep their type; the numbers of arrays become float32.
    """

    input_shape: tuple[int, ...]
    kind: ClassVar[str] = "array"
    mean_std: ClassVar[None] = None

    @classmethod
    def fit(cls, X: Any) -> Untouched:
        return cls(tuple(X.shape[1:]))

    def encode(self, X: Any) -> Tensor:
        if tuple(X.shape[1:]) != self.input_shape:
            raise DataError(
                f"expected X of shape {('N', *self.input_shape)} as in fit, found {tuple(X.shape)}"
            )
        if isinstance(X, Tensor):
            return X.detach()
        return torch.from_numpy(np.array(X, dtype=np.float32))


def _float64(X: NDArray[Any], rows: NDArray[np.int64]) -> NDArray[np.float64]:
    part: NDArray[np.float64] = X[rows].astype(np.float64)
    require_float32(part, range(part.shape[1]), lambda row: f"row {int(rows[row])} of X")
    return part
