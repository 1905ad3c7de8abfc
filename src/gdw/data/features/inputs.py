"""Features as inputs of a model: rows of a store, standardised when a batch is read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdw.data.features.shard import Features, Shard
from gdw.data.features.store import Place
from gdw.data.source import chunks

CHUNK = 4096


class FeatureRows:
    """The features of N examples in the files of a store, before they are standardised.

    Args:
        shards: the files.
        place: where each row is, `(N * V,)`.
        views: V, the number of rows of an example.
        width: F, the number of features.
    """

    def __init__(self, shards: Sequence[Shard], place: Place, views: int, width: int) -> None:
        used = np.unique(place.shard)
        self._shards = [shards[k] for k in used]
        shard = np.searchsorted(used, place.shard).astype(np.int32)
        self._shard, self._row = shard.reshape(-1, views), place.row.reshape(-1, views)
        self._width = width

    def __len__(self) -> int:
        return len(self._shard)

    @property
    def size(self) -> int:
        """The bytes of all rows."""
        return 4 * self._shard.size * self._width

    @property
    def cut(self) -> int:
        """The number of examples that are longer than the backbone takes."""
        flags = np.zeros(self._shard.shape, dtype=bool)
        for k, shard in enumerate(self._shards):
            if shard.cut.any():
                here = self._shard == k
                flags[here] = shard.cut[self._row[here]]
        return int(flags[:, :1].sum())

    def __getitem__(self, indices: NDArray[np.int64]) -> Features:
        """The rows of the examples at `indices` `(B,)`, float32 `(B, V, F)`."""
        shard_of, row_of = self._shard[indices].ravel(), self._row[indices].ravel()
        out = np.empty((len(shard_of), self._width), dtype=np.float32)
        order = np.argsort(shard_of, kind="stable")
        cuts = np.flatnonzero(np.diff(shard_of[order])) + 1
        for here in np.split(order, cuts) if len(order) else ():
            out[here] = self._shards[shard_of[here[0]]].rows[row_of[here]]
        return out.reshape(-1, self._shard.shape[1], self._width)


class FeatureInputs:
    """Standardised features of N examples, read as batches float32 `(B, F)`, or `(B, V, F)` of V views.

    Args:
        rows: the features.
        mean: `(F,)`.
        scale: `(F,)`.
    """

    def __init__(
        self,
        rows: FeatureRows,
        mean: NDArray[np.float64],
        scale: NDArray[np.float64],
    ) -> None:
        self._rows = rows
        self._mean, self._factor = mean.astype(np.float32), (1 / scale).astype(np.float32)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, indices: Sequence[int] | NDArray[np.int64], /) -> Tensor:
        values = self._rows[np.asarray(indices, dtype=np.int64)]
        values -= self._mean
        values *= self._factor
        return torch.from_numpy(values[:, 0] if values.shape[1] == 1 else values)

    def in_memory(self) -> Tensor:
        """All features as one tensor, for batches that are read faster."""
        shape = self[np.arange(min(1, len(self)))].shape[1:]
        out = torch.empty(len(self), *shape)
        for chunk in chunks(len(self), CHUNK):
            out[torch.from_numpy(chunk)] = self[chunk]
        return out


def mean_and_scale(rows: FeatureRows) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The mean and standard deviation of each feature over all views of all examples, float64 `(F,)` each.

    The scale of a constant feature is 1.
    """
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler()
    for chunk in chunks(len(rows), CHUNK):
        part = rows[chunk]
        scaler.partial_fit(part.reshape(-1, part.shape[2]).astype(np.float64))
    return scaler.mean_, scaler.scale_
