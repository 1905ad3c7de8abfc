"""Label noise for experiments: functions from labels `(N,)` to labels `(N,)`, some of which are wrong.

Every function is pure: the same seed gives the same labels, and global random state is not used.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdw.errors import ConfigError, DataError, nearest
from gdw.seeding import generator

Labels = NDArray[np.int64]


def uniform(labels: Labels, num_classes: int, rate: float, *, seed: int) -> Labels:
    """Symmetric noise: with probability `rate`, a label is drawn again from all C classes.

    The drawn class may be the old one, so on average `rate * (C - 1) / C` of the labels become wrong.

    >>> uniform(np.zeros(6, dtype=np.int64), 3, 0.5, seed=0)
    array([0, 0, 0, 1, 0, 0])

    Args:
        labels: int64 `(N,)`, from 0 to C - 1.
        num_classes: C.
        rate: from 0 to 1.
        seed: of the draws.

    Raises:
        ConfigError: the rate is outside [0, 1], or there are fewer than two classes.
        DataError: a label is not from 0 to C - 1.
    """
    _check(labels, num_classes, rate)
    rng = generator(seed, "noise.uniform")
    redrawn = rng.random(len(labels)) < rate
    return np.where(redrawn, rng.integers(num_classes, size=len(labels)), labels)


def flip(labels: Labels, num_classes: int, rate: float, *, seed: int) -> Labels:
    """With probability `rate`, a label becomes another class, which is the same for all labels of a class.

    The other class is drawn from `seed`. Arguments and errors are those of `uniform`.
    """
    _check(labels, num_classes, rate)
    flipped = generator(seed, "noise.flip").random(len(labels)) < rate
    return np.where(flipped, _flip_targets(num_classes, seed)[labels], labels)


def pair_flip(labels: Labels, num_classes: int, rate: float, *, seed: int) -> Labels:
    """With probability `rate`, a label becomes the next class; the last class becomes the first.

    Arguments and errors are those of `uniform`.
    """
    _check(labels, num_classes, rate)
    flipped = generator(seed, "noise.pair").random(len(labels)) < rate
    return np.where(flipped, (labels + 1) % num_classes, labels)


# The name in gdw 0.1.
pair = pair_flip


def by_matrix(labels: Labels, num_classes: int, matrix: ArrayLike, *, seed: int) -> Labels:
    """A label `i` becomes `j` with probability `matrix[i, j]`.

    The matrix has the shape `(C, C)`, and each row sums to 1. `ConfigError` says what is wrong with another
    matrix. The other arguments are those of `uniform`.
    """
    _check(labels, num_classes, 0.0)
    probabilities = _row_stochastic(matrix, num_classes)
    draws = generator(seed, "noise.matrix").random(len(labels))
    noisy: Labels = labels.copy()
    for label in np.unique(labels):
        rows = labels == label
        possible = np.flatnonzero(probabilities[label])
        bounds = np.cumsum(probabilities[label, possible])[:-1]
        noisy[rows] = possible[np.searchsorted(bounds, draws[rows], side="right")]
    return noisy


def instance_dependent(
    labels: Labels, num_classes: int, rate: float, *, seed: int, features: NDArray[np.floating]
) -> Labels:
    """Instance-dependent noise: the features decide which labels become wrong, and which class they become.

    A random linear projection of the standardised features gives a score for every class. An example may
    become the class with the highest score among the other classes. The probability of that decreases with
    the margin of the true class over this class, and is `rate` on average. The idea that flip rates and
    targets are functions of the features is from Xia et al., "Part-dependent Label Noise" (NeurIPS 2020).

    The features are `(N, F)`; `DataError` is raised if they have another shape or are not finite. The other
    arguments are those of `uniform`.
    """
    _check(labels, num_classes, rate)
    rng = generator(seed, "noise.instance")
    scores = _class_scores(features, len(labels), num_classes, rng)
    rows = np.arange(len(labels))
    true_scores = scores[rows, labels]
    scores[rows, labels] = -np.inf
    target = scores.argmax(axis=1)
    flipped = rng.random(len(labels)) < _rates(true_scores - scores[rows, target], rate)
    return np.where(flipped, target, labels)


def transition_matrix(kind: str, num_classes: int, rate: float, seed: int) -> NDArray[np.float64]:
    """The probability of each given label (columns) for each true label (rows), `(C, C)`.

    >>> transition_matrix("pair", 3, 0.25, seed=0)
    array([[0.75, 0.25, 0.  ],
           [0.  , 0.75, 0.25],
           [0.25, 0.  , 0.75]])

    The kinds are "uniform", "flip" (whose targets depend on `seed`) and "pair"; `ConfigError` is raised for
    another kind or a rate out of range.
    """
    if kind not in ("uniform", "flip", "pair"):
        raise ConfigError(
            f"no transition matrix for {kind!r} noise: expected uniform, flip or pair"
            f".{nearest(kind, ('uniform', 'flip', 'pair'))}"
        )
    _check(np.empty(0, dtype=np.int64), num_classes, rate)
    matrix = np.eye(num_classes) * (1 - rate)
    if kind == "uniform":
        return matrix + rate / num_classes
    targets = _flip_targets(num_classes, seed)
    if kind == "pair":
        targets = (np.arange(num_classes) + 1) % num_classes
    matrix[np.arange(num_classes), targets] += rate
    return matrix


_BY_RATE: dict[str, Callable[..., Labels]] = {
    "uniform": uniform,
    "flip": flip,
    "pair": pair_flip,
    "instance": instance_dependent,
}
_KINDS = (*_BY_RATE, "matrix")


@dataclass(frozen=True)
class Noise:
    """A kind of label noise.

    Attributes:
        kind: "uniform", "flip", "pair", "instance" or "matrix".
        rate: the rate, for kinds that have one.
        matrix: the transition matrix `(C, C)` of the kind "matrix".
    """

    kind: str
    rate: float = 0.0
    matrix: tuple[tuple[float, ...], ...] | None = None

    @property
    def needs_features(self) -> bool:
        """Whether `apply` needs the features of the examples."""
        return self.kind == "instance"

    def apply(
        self,
        labels: Labels,
        num_classes: int,
        seed: int,
        features: NDArray[np.floating] | None = None,
    ) -> Labels:
        """The noisy labels `(N,)`. Only instance-dependent noise uses the features `(N, F)`."""
        if self.matrix is not None:
            return by_matrix(labels, num_classes, self.matrix, seed=seed)
        if not self.needs_features:
            return _BY_RATE[self.kind](labels, num_classes, self.rate, seed=seed)
        if features is None:
            raise ConfigError("instance-dependent noise needs the features (N, F) of the examples")
        return instance_dependent(labels, num_classes, self.rate, seed=seed, features=features)


def parse_noise(text: str) -> Noise:
    """The noise that a text describes: `uniform:0.4`, `flip:0.4`, `pair:0.2`, `instance:0.3` or
    `matrix:FILE.csv`.

    The file has one line for each row of the matrix.

    >>> parse_noise("uniform:0.4")
    Noise(kind='uniform', rate=0.4, matrix=None)

    Raises:
        ConfigError: the text or the file cannot be read. The message names the fault and a similar kind.
    """
    kind, _, value = text.partition(":")
    kind = kind.strip().lower()
    if kind not in _KINDS:
        raise ConfigError(
            f"unknown noise {text!r}: expected KIND:RATE such as uniform:0.4, with KIND one of "
            f"{', '.join(_KINDS)}.{nearest(kind, _KINDS)}"
        )
    if kind == "matrix":
        return Noise(kind, matrix=_read_matrix(value))
    try:
        rate = float(value)
    except ValueError:
        raise ConfigError(
            f"noise {text!r} has no rate: expected a number from 0 to 1 after the colon, as in {kind}:0.4"
        ) from None
    _check(np.empty(0, dtype=np.int64), 2, rate)
    return Noise(kind, rate)


def _read_matrix(path: str) -> tuple[tuple[float, ...], ...]:
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
        rows = tuple(tuple(float(v) for v in line.split(",")) for line in lines if line.strip())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot read the noise matrix {path!r}: {error}; expected numbers separated by commas, "
            "one line for each row"
        ) from None
    if any(len(row) != len(rows) for row in rows):
        raise ConfigError(
            f"the noise matrix {path!r} is not square: expected as many rows as columns"
        )
    _row_stochastic(rows, len(rows))
    return rows


def _flip_targets(num_classes: int, seed: int) -> Labels:
    """`(C,)`: another class for each class, drawn uniformly from the others."""
    offsets = generator(seed, "noise.flip targets").integers(1, num_classes, size=num_classes)
    return (np.arange(num_classes) + offsets) % num_classes


def _class_scores(
    features: NDArray[np.floating], n: int, num_classes: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Random linear scores `(N, C)`; their spread does not depend on the number of features."""
    if features.ndim != 2 or len(features) != n:
        raise DataError(f"expected features of shape ({n}, F), found {features.shape}")
    if not np.isfinite(features).all():
        raise DataError(
            "instance-dependent noise needs finite features: fill in missing values first"
        )
    values = features.astype(np.float64)
    spread = values.std(axis=0)
    scaled = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    projection = rng.standard_normal((features.shape[1], num_classes))
    scores: NDArray[np.float64] = scaled @ projection / np.sqrt(max(1, features.shape[1]))
    return scores


def _rates(margins: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    """Probabilities `sigmoid(shift - margin)` with the mean `rate`.

    The mean increases with the shift, so the shift is found by bisection.
    """
    if rate in (0.0, 1.0) or len(margins) == 0:
        return np.full(len(margins), rate)
    reach = 40.0
    low, high = margins.min() - reach, margins.max() + reach
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _sigmoid(middle - margins).mean() < rate else (low, middle)
    return _sigmoid((low + high) / 2 - margins)


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = 0.5 * (1 + np.tanh(x / 2))
    return result


def _row_stochastic(matrix: ArrayLike, num_classes: int) -> NDArray[np.float64]:
    values = np.asarray(matrix, dtype=np.float64)
    if values.shape != (num_classes, num_classes):
        raise ConfigError(
            f"expected a noise matrix of shape ({num_classes}, {num_classes}), one row for each class, "
            f"found {values.shape}"
        )
    wrong = np.flatnonzero(~((values >= 0).all(axis=1) & (abs(values.sum(axis=1) - 1) < 1e-6)))
    if len(wrong):
        raise ConfigError(
            f"row {wrong[0]} of the noise matrix should be probabilities that sum to 1, "
            f"found {values[wrong[0]].tolist()}"
        )
    return values


def _check(labels: Labels, num_classes: int, rate: float) -> None:
    if not 0 <= rate <= 1:
        raise ConfigError(f"a noise rate is a number from 0 to 1, found {rate}")
    if num_classes < 2:
        raise ConfigError(f"noise needs at least two classes, found {num_classes}")
    if len(labels) and not (labels.min() >= 0 and labels.max() < num_classes):
        raise DataError(
            f"expected labels from 0 to {num_classes - 1}, found {labels.min()} to {labels.max()}"
        )
