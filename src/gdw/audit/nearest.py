"""The most similar examples by the cosine of their features, in memory that grows with the examples only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gdw.data.source import chunks
from gdw.seeding import generator

K = 10
"""How many neighbours of each example are looked up."""

ALL_PAIRS = 20_000
"""Up to this many examples every pair is compared; with more, those that are near the same landmark."""

_WIDTH = 128
_PER_LANDMARK = 2_000
_LANDMARKS = 3
_MOST_IN_GROUP = 4 * _PER_LANDMARK
_NUMBERS_AT_ONCE = 1 << 24
_ROWS_AT_ONCE = 4_096
_TINY = 1e-12

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class Features(Protocol):
    """N rows of features, read in blocks: `features[indices]` is float32 `(B, F)`, dense or CSR, finite."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Ints, /) -> Any: ...


@dataclass(frozen=True, eq=False)
class Neighbours:
    """The K nearest of N base rows for each of Q rows.

    Attributes:
        index: int64 `(Q, K)`, base rows, most similar first; -1 where there are fewer than K.
        similarity: float32 `(Q, K)`, the cosine from -1 to 1; -1 where there is no neighbour.
    """

    index: Ints
    similarity: Floats


class Index:
    """Base rows to search in.

    All rows are reduced to 128 numbers by a random projection, which keeps angles (Johnson and
    Lindenstrauss, 1984). It only finds candidates: their similarities are computed from all features. With
    at most `limit` base rows every pair is compared, in blocks (`sklearn.neighbors`). With more, N / 2,000
    base rows are drawn as landmarks, and the pairs that share one of their three nearest landmarks are
    compared, so that time grows as N, not as N².

    Args:
        base: N rows.
        limit: the largest number of base rows of which every pair is compared.
        seed: of the projection and of the draw.
    """

    def __init__(self, base: Features, *, limit: int = ALL_PAIRS, seed: int = 0) -> None:
        self._base, self._seed = base, seed
        width = base[np.arange(min(1, len(base)))].shape[1]
        self._projection = None
        if width > _WIDTH:
            random = generator(seed, "projection")
            self._projection = random.standard_normal((width, _WIDTH), dtype=np.float32)
        self._sketch = self._reduced(base)
        self._landmarks: Floats | None = None
        if len(base) > limit:
            count = len(base) // _PER_LANDMARK + _LANDMARKS
            drawn = generator(seed, "landmarks").choice(len(base), count, replace=False)
            self._landmarks = self._sketch[drawn]
            self._groups = _nearest(self._landmarks, self._sketch, _LANDMARKS)

    def search(self, queries: Features | None = None, *, k: int = K) -> Neighbours:
        """The neighbours of `queries`; by default those of the base rows, without themselves.

        Args:
            queries: Q rows with as many features as the base rows.
            k: the number of neighbours.
        """
        rows = self._base if queries is None else queries
        sketch = self._sketch if queries is None else self._reduced(queries)
        wanted = k + (queries is None)
        if self._landmarks is None:
            found = _nearest(self._sketch, sketch, wanted)
        else:
            found = self._by_landmark(self._landmarks, sketch, wanted)
        if queries is None:
            found = np.where(found == np.arange(len(rows))[:, None], -1, found)
        return self._ranked(rows, _each_once(found), k)

    def _reduced(self, rows: Features) -> Floats:
        parts = [unit(rows[chunk]) for chunk in chunks(len(rows), _ROWS_AT_ONCE)]
        if self._projection is not None:
            parts = [unit(np.asarray(part @ self._projection)) for part in parts]
        parts = [part.toarray() if hasattr(part, "toarray") else part for part in parts]
        width = self._projection.shape[1] if self._projection is not None else None
        return np.concatenate(parts) if parts else np.empty((0, width or 1), dtype=np.float32)

    def _by_landmark(self, landmarks: Floats, sketch: Floats, k: int) -> Ints:
        """`(Q, 3 k)`: for each of the three nearest landmarks of a query, the nearest base rows there."""
        groups = self._groups if sketch is self._sketch else _nearest(landmarks, sketch, _LANDMARKS)
        found = np.full((len(sketch), _LANDMARKS, k), -1, dtype=np.int64)
        for group in range(len(landmarks)):
            members = np.flatnonzero((self._groups == group).any(1))
            query, column = np.nonzero(groups == group)
            # Many equal rows are in one group: any of them will do.
            members = members[:: -(-len(members) // _MOST_IN_GROUP)] if len(members) else members
            if len(members) and len(query):
                nearest = _nearest(self._sketch[members], sketch[query], k)
                found[query, column] = np.where(nearest < 0, -1, members[nearest])
        return found.reshape(len(sketch), _LANDMARKS * k)

    def _ranked(self, rows: Features, candidates: Ints, k: int) -> Neighbours:
        """The `k` most similar of the candidates `(Q, n)`, of which those that are -1 do not count."""
        similarity = np.full(candidates.shape, -1.0, dtype=np.float32)
        width = self._base[np.arange(min(1, len(self._base)))].shape[1]
        size = max(1, _NUMBERS_AT_ONCE // max(1, width))
        for chunk in chunks(len(rows), min(size, _ROWS_AT_ONCE)):
            own = unit(rows[chunk])
            for column in range(candidates.shape[1]):
                other = candidates[chunk, column]
                cosine = row_products(own, unit(self._base[np.maximum(other, 0)]))
                similarity[chunk, column] = np.where(other < 0, -1.0, cosine)
        order = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
        index = np.take_along_axis(candidates, order, 1)
        similarity = np.take_along_axis(similarity, order, 1)
        missing = k - index.shape[1]
        if missing > 0:
            index = np.pad(index, ((0, 0), (0, missing)), constant_values=-1)
            similarity = np.pad(similarity, ((0, 0), (0, missing)), constant_values=-1.0)
        return Neighbours(index, similarity.clip(-1, 1))


def _nearest(base: Floats, queries: Floats, k: int) -> Ints:
    """The `k` nearest of unit rows `(N, d)` for unit rows `(Q, d)`, or all N if there are fewer."""
    from sklearn.neighbors import NearestNeighbors

    count = min(k, len(base))
    if not count or not len(queries):
        return np.full((len(queries), count), -1, dtype=np.int64)
    # For rows of unit length the order by distance is that by cosine.
    fitted = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(base)
    found: Ints = fitted.kneighbors(queries, return_distance=False).astype(np.int64)
    return found


def _each_once(found: Ints) -> Ints:
    """-1 in place of numbers that are further left in the same row too."""
    order = np.argsort(found, axis=1, kind="stable")
    ordered = np.take_along_axis(found, order, 1)
    again = np.zeros(found.shape, dtype=bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    repeated = np.zeros_like(again)
    np.put_along_axis(repeated, order, again, 1)
    return np.where(repeated, -1, found)


def unit(rows: Any) -> Any:
    """The rows `(B, F)`, dense or CSR, with length one; rows of zeros stay."""
    if hasattr(rows, "toarray"):
        from scipy.sparse import diags_array

        lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
        return (diags_array(1 / np.maximum(lengths, _TINY)) @ rows).astype(np.float32).tocsr()
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, _TINY), dtype=np.float32)


def row_products(a: Any, b: Any) -> Floats:
    """The scalar product `(B,)` of each row of `a` with the same row of `b`."""
    if hasattr(a, "toarray"):
        return np.asarray(a.multiply(b).sum(axis=1), dtype=np.float32).ravel()
    return np.asarray(np.einsum("bf,bf->b", a, b), dtype=np.float32)
