"""Class imbalance for experiments: functions from labels to the indices of the examples to keep."""

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
    """A long tail: class `k` of C keeps `n * factor ** (-k / (C - 1))` examples.

    `n` is the largest number for which every class has enough examples.

    Source: Cui et al., "Class-Balanced Loss Based on Effective Number of Samples" (CVPR 2019).

    >>> exponential(np.repeat([0, 1, 2], 4), 3, 4.0, seed=0)
    array([ 0,  1,  2,  3,  4,  5, 11])

    Args:
        labels: int64 `(N,)`, from 0 to C - 1.
        num_classes: C.
        factor: the size of the first class divided by the size of the last class; 1 or more.
        seed: of the choice of examples.

    Returns:
        The sorted indices of the examples to keep.

    Raises:
        ConfigError: the factor is below 1, or so large that a class would have no example.
        DataError: a class has no examples.
    """
    steps = np.arange(num_classes) / max(1, num_classes - 1)
    return _keep(labels, num_classes, factor, factor**-steps, seed)


def step(
    labels: NDArray[np.int64], num_classes: int, factor: float, *, seed: int
) -> NDArray[np.int64]:
    """Step imbalance: the second half of the classes keeps `factor` times fewer examples than the first half.

    Source: Buda et al., "A systematic study of the class imbalance problem" (2018). Arguments, result and
    errors are those of `exponential`.
    """
    minority = np.arange(num_classes) >= (num_classes + 1) // 2
    return _keep(labels, num_classes, factor, np.where(minority, 1 / factor, 1.0), seed)


@dataclass(frozen=True)
class Imbalance:
    """A kind of class imbalance.

    Attributes:
        kind: "exp" (see `exponential`) or "step" (see `step`).
        factor: the size of the largest class divided by the size of the smallest class.
    """

    kind: str
    factor: float

    def apply(self, labels: NDArray[np.int64], num_classes: int, seed: int) -> NDArray[np.int64]:
        """The sorted indices of the examples to keep, for labels `(N,)`."""
        keep = exponential if self.kind == "exp" else step
        return keep(labels, num_classes, self.factor, seed=seed)


def parse_imbalance(text: str) -> Imbalance:
    """The imbalance that a text describes: `50` or `exp:50` (a long tail), or `step:50`.

    >>> parse_imbalance("step:20")
    Imbalance(kind='step', factor=20.0)

    Raises:
        ConfigError: the text cannot be read, or the factor is below 1.
    """
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
    # With the tolerance, 100 * (1/50) * 50 does not lose an example to rounding.
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
            "the imbalance factor is the largest class size divided by the smallest: expected a "
            f"finite number of 1 or more, found {factor:g}"
        )
