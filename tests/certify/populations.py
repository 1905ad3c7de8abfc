"""Small data sets with known wrong labels, for simulations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats = NDArray[np.float64]


def population(
    size: int, share: float, *, slope: float = 3.0, seed: int = 0
) -> tuple[Floats, NDArray[np.bool_]]:
    """Scores `(N,)` and whether each label is wrong; a slope of 0 makes the scores useless."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=size)
    low, high = -60.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if expit(middle + slope * z).mean() < share else (low, middle)
    p = expit(low + slope * z)
    return (p if slope else rng.random(size)), rng.random(size) < p
