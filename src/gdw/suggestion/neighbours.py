"""Rows that are like the suggested ones, for comparison on the page."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gdw.data.source import chunks

COUNT = 4
_CHUNK = 128
_MANY = 64
_MOST = 2 * 10**10


def neighbours(X: NDArray[np.float32], positions: NDArray[np.int64]) -> list[list[int]]:
    """The four nearest other rows of each row, nearest first; none for the last rows if they would take long.

    In many columns the nearest by angle: by distance, a few rows near the middle are the nearest of most.

    Args:
        X: float32 `(N, F)`.
        positions: int64 `(R,)`, the rows.
    """
    count, last = min(COUNT, len(X) - 1), len(positions)
    positions = positions[: _MOST // max(1, X.size)]
    if not count:
        return [[]] * last
    if X.shape[1] > _MANY:
        X = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-12)
    squares = (X * X).sum(1)
    found: list[list[int]] = []
    for chunk in chunks(len(positions), _CHUNK):
        rows = positions[chunk]
        distance = squares - 2 * (X[rows] @ X.T)
        distance[np.arange(len(rows)), rows] = np.inf
        nearest = np.argpartition(distance, count - 1, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(distance, nearest, 1), axis=1, kind="stable")
        found += np.take_along_axis(nearest, order, 1).tolist()
    return found + [[]] * (last - len(found))
