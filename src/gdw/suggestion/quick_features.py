"""Encoded inputs as a matrix of some hundred columns, for a quick model."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.source import chunks
from gdw.seeding import generator

WIDTH = 256
"""The largest number of columns."""

_OF_TERMS = 128
_WIDEST = 512
_SIDE = 16
_SAMPLE = 5000
_CHUNK = 2048


def quick_features(inputs: Any, *, seed: int = 0) -> NDArray[np.float32]:
    """The inputs as a matrix whose columns have a mean of 0 and, on average, a variance of 1.

    Images are reduced to 16 pixels a side, views to their mean, and many columns to principal components.
    Columns are scaled one by one, components together: small ones are mostly noise, and stay small.

    Args:
        inputs: of N examples, from an encoder: what `gdw.data.encode.encoder.Encoder.encode` returns.
        seed: of the components.

    Returns:
        float32 `(N, F)`; F is at most 512.
    """
    matrix = getattr(inputs, "matrix", None)
    if matrix is not None:
        return _components_of_terms(matrix, seed)
    parts = [_flat(inputs[chunk]) for chunk in chunks(len(inputs), _CHUNK)]
    return _components(np.concatenate(parts), seed)


def _flat(batch: Any) -> NDArray[np.float32]:
    """A batch of any inputs as rows `(B, F)`."""
    import torch

    batch = torch.as_tensor(batch)
    if batch.ndim == 4:
        if max(batch.shape[2:]) > _SIDE:
            batch = torch.nn.functional.adaptive_avg_pool2d(batch.float(), _SIDE)
    elif batch.ndim == 3:
        batch = batch.mean(1)
    flat: NDArray[np.float32] = batch.reshape(len(batch), -1).float().numpy()
    return flat


def _components(rows: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """The first principal components of many columns; few columns as they are."""
    if rows.shape[1] <= _WIDEST:
        return _scaled(rows)
    from sklearn.decomposition import PCA

    sample = rows[_sample(len(rows), seed)]
    width = min(WIDTH, len(sample))
    fitted = PCA(width, svd_solver="randomized", random_state=seed).fit(sample)
    parts = [fitted.transform(rows[chunk]) for chunk in chunks(len(rows), _CHUNK)]
    return _scaled(np.concatenate(parts).astype(np.float32), together=True)


def _components_of_terms(matrix: Any, seed: int) -> NDArray[np.float32]:
    """Latent semantic analysis of a sparse matrix."""
    if matrix.shape[1] <= _OF_TERMS:
        return _scaled(np.asarray(matrix.toarray(), dtype=np.float32))
    from sklearn.decomposition import TruncatedSVD

    # The vectorizer's terms are many, and the first components are all that is needed: one iteration.
    fitted = TruncatedSVD(_OF_TERMS, n_iter=1, random_state=seed)
    fitted.fit(matrix[_sample(matrix.shape[0], seed)])
    return _scaled(np.asarray(fitted.transform(matrix), dtype=np.float32), together=True)


def _sample(length: int, seed: int) -> NDArray[np.int64]:
    if length <= _SAMPLE:
        return np.arange(length)
    return np.sort(generator(seed, "components").choice(length, _SAMPLE, replace=False))


def _scaled(rows: NDArray[np.float32], *, together: bool = False) -> NDArray[np.float32]:
    """The columns with mean 0 and standard deviation 1, one by one or `together`; constant ones are 0."""
    mean, deviation = rows.mean(0, dtype=np.float64), rows.std(0, dtype=np.float64)
    if together:
        deviation = np.sqrt(np.mean(deviation**2, keepdims=True))
    scale = np.where(deviation > 1e-12, deviation, 1.0)
    rows -= mean.astype(np.float32)
    rows /= scale.astype(np.float32)
    return rows
