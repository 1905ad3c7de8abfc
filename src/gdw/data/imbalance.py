"""Unbalanced classes for experiments: which examples to keep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gdw.errors import ConfigError, DataError, nearest
from gdw.seeding import generator

_KINDS = ("exp", "step")


def exponential(
    labels: NDArray[np.int64], num_classes: int, factor: float, *, seed: int
) -> NDArray[np.int64]:
    """Long tail: class `k` of `C` keeps `n * factor ** (-k / (C - 1))` examples.

    Gives the indices to keep, sorted. `factor` is the size of the first class over that of the last, after
    Cui et al., "Class-Balanced Loss Based on Effective Number of Samples" (CVPR 2019). `n` is the largest
    number that every class can provide for.

    Raises `ConfigError` for a factor below 1 or so large that a class would vanish, `DataError` for a class
    without examples.
    """
    steps = np.arange(num_classes) / max(1, num_classes - 1)
    return _keep(labels, num_classes, factor, factor**-steps, seed)


def step(
    labels: NDArray[np.int64], num_classes: int, factor: float, *, seed: int
) -> NDArray[np.int64]:
    """Two levels: the second half of the classes keeps `factor` times fewer examples than the first.

    After Buda et al., "A systematic study of the class imbalance problem" (2018). Otherwise as `exponential`.
    """
    minority = np.arange(num_classes) >= (num_classes + 1) // 2
    return _keep(labels, num_classes, factor, np.where(minority, 1 / factor, 1.0), seed)


@dataclass(frozen=True)
class Imbalance:
    """A kind of imbalance, `exp` or `step`, and its factor."""

    kind: str
    factor: float

    def apply(self, labels: NDArray[np.int64], num_classes: int, seed: int) -> NDArray[np.int64]:
        """The kept indices of `labels` `(N,)`, sorted."""
        keep = exponential if self.kind == "exp" else step
        return keep(labels, num_classes, self.factor, seed=seed)


def parse_imbalance(text: str) -> Imbalance:
    """`50` or `exp:50` (long tail), or `step:50`. Raises `ConfigError` naming what is wrong."""
    kind, colon, value = text.rpartition(":")
    kind = kind.strip().lower() if colon else "exp"
    if kind not in _KINDS:
        raise ConfigError(
            f"unknown imbalance {text!r}: expected FACTOR, exp:FACTOR or step:FACTOR"
            f".{nearest(kind, _KINDS)}"
        )
    try:
        factor = float(value)
    except ValueError:
        raise ConfigError(
            f"imbalance {text!r} has no factor: expected a number such as 50 (largest over smallest class)"
        ) from None
    _check_factor(factor)
    return Imbalance(kind, factor)


def _keep(
    labels: NDArray[np.int64],
    num_classes: int,
    factor: float,
    shares: NDArray[np.float64],
    seed: int,
) -> NDArray[np.int64]:
    _check_factor(factor)
    counts = np.bincount(labels, minlength=num_classes)
    if (counts == 0).any():
        raise DataError(f"class {int(np.argmin(counts))} has no examples to make an imbalance from")
    largest = float((counts / shares).min())
    # The tolerance keeps 100 * (1/50) * 50 from losing an example to rounding.
    kept = np.floor(largest * shares + 1e-6).astype(np.int64)
    if kept.min() < 1:
        raise ConfigError(
            f"an imbalance factor of {factor:g} leaves no example of class {int(np.argmin(kept))}: "
            f"expected at most {largest:.0f}"
        )
    rng = generator(seed, "imbalance")
    chosen = [
        rng.permutation(np.flatnonzero(labels == label))[:size] for label, size in enumerate(kept)
    ]
    return np.sort(np.concatenate(chosen))


def _check_factor(factor: float) -> None:
    if not 1 <= factor < np.inf:
        raise ConfigError(
            f"an imbalance factor is largest over smallest class, so at least 1, found {factor:g}"
        )
