"""What more verified rows would be worth: the balanced accuracy against the number of verified rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gdw.seeding import generator
from gdw.suggestion.opinions import Floats, Opinions
from gdw.suggestion.quick_model import QuickModel, softmax

LEAST, OF_EACH = 60, 8
"""With fewer verified rows that were drawn at random, or fewer for each class, nothing can be said."""

_FOLDS, _REPEATS, _RESAMPLES = 5, 6, 200
_SHARES = (0.25, 0.5, 1.0)
_UNLIKELY = 1e-3


@dataclass(frozen=True)
class Curve:
    """Balanced accuracies, from 0 to 1, of quick models that know some verified rows.

    Attributes:
        now: with the verified rows that there are.
        more: a number of further rows.
        low, high: with these rows too: nine times in ten it is between these.
    """

    now: float
    more: int
    low: float
    high: float


def enough(labels: NDArray[np.int64]) -> int:
    """How many verified rows of the classes in `labels` tell what more are worth."""
    return max(LEAST, OF_EACH * max(2, len(np.unique(labels))))


def learning_curve(
    opinions: Opinions,
    X: NDArray[np.float32],
    positions: NDArray[np.int64],
    labels: NDArray[np.int64],
    probability: NDArray[np.float64],
    *,
    more: int = 100,
    seed: int = 0,
) -> Curve | None:
    """Predict each verified row by a model of a part of the others, and go on along the curve.

    The error is taken to fall with one over the square root of the number of verified rows.

    Args:
        opinions: on N examples.
        X: float32 `(N, F)`, see `quick_features`.
        positions: int64 `(M,)`, the verified examples that were drawn at random.
        labels: int64 `(M,)`, their verified labels.
        probability: `(M,)`, how likely each one was to be chosen.
        more: how many rows more.
        seed: of the divisions.

    Returns:
        The curve; None if there are too few rows to tell.
    """
    present, codes = np.unique(labels, return_inverse=True)
    if len(present) < 2 or len(positions) < enough(labels):
        return None
    p, rows = _probabilities(opinions, positions, present), X[positions]
    rng = generator(seed, "learning curve")
    right = np.zeros((2, len(_SHARES), len(positions)))
    for _ in range(_REPEATS):
        fold = rng.permutation(len(positions)) % _FOLDS
        for part in range(_FOLDS):
            test, others = (
                np.flatnonzero(fold == part),
                rng.permutation(np.flatnonzero(fold != part)),
            )
            for s, share in enumerate(_SHARES):
                some = others[: max(1, round(share * len(others)))]
                for kind, q in enumerate(_predicted(p, rows, codes, some, test)):
                    right[kind, s, test] += (q.argmax(1) == codes[test]) / _REPEATS
    weights = 1 / probability
    scores = [_balanced(right[kind], codes, weights) for kind in range(2)]
    best = right[int(np.argmax([score[-1] for score in scores]))]
    sizes = np.array(_SHARES) * len(positions) * (1 - 1 / _FOLDS)
    return _along(best, codes, weights, sizes, more, rng)


def _along(
    right: Floats,
    codes: NDArray[np.int64],
    weights: Floats,
    sizes: Floats,
    more: int,
    rng: np.random.Generator,
) -> Curve:
    """The curve through the accuracies at `sizes`, with an interval from rows that are drawn again."""
    count = len(codes)
    base = np.stack([np.ones(len(sizes)), sizes**-0.5], axis=1)
    solve = np.linalg.pinv(base)

    def values(chosen: NDArray[np.int64]) -> Floats:
        level, slope = solve @ _balanced(right[:, chosen], codes[chosen], weights[chosen])
        found: Floats = np.clip(level + slope * np.array([count, count + more]) ** -0.5, 0.0, 1.0)
        return found

    now, _ = values(np.arange(count))
    again = [values(_again(codes, rng)) for _ in range(_RESAMPLES)]
    gains = np.quantile([late - early for early, late in again], (0.05, 0.95))
    low, high = np.clip(now + np.maximum(gains, 0.0), 0.0, 1.0)  # more rows do no harm
    return Curve(float(now), more, float(low), float(high))


def _again(codes: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """As many rows of each class, drawn with replacement."""
    order = np.argsort(codes, kind="stable")
    counts = np.bincount(codes)
    start = np.repeat(np.cumsum(counts) - counts, counts)
    drawn: NDArray[np.int64] = order[
        start + (rng.random(len(codes)) * np.repeat(counts, counts)).astype(int)
    ]
    return drawn


def _balanced(right: Floats, codes: NDArray[np.int64], weights: Floats) -> Floats:
    """The balanced accuracy at each size, from `right` `(S, M)`: how often each row is right."""
    of_class = np.bincount(codes, weights)
    sums = np.stack([np.bincount(codes, weights * row) for row in right])
    known = of_class > 0
    means: Floats = (sums[:, known] / of_class[known]).mean(1)
    return means


def _probabilities(
    opinions: Opinions, positions: NDArray[np.int64], present: NDArray[np.int64]
) -> Floats:
    """The predicted probabilities `(M, J)` of the J classes `present`, without the verified label."""
    place = np.full(opinions.num_classes, -1)
    place[present] = np.arange(len(present))
    p = np.full((len(positions), len(present)), _UNLIKELY)
    where = place[opinions.classes[positions]]
    rows, columns = np.nonzero(where >= 0)
    p[rows, where[rows, columns]] += opinions.probabilities[positions][rows, columns]
    shares: Floats = p / p.sum(1, keepdims=True)
    return shares


def _predicted(
    p: Floats,
    X: NDArray[np.float32],
    codes: NDArray[np.int64],
    some: NDArray[np.int64],
    test: NDArray[np.int64],
) -> tuple[Floats, Floats]:
    """Two predictions of the rows `test` from the verified rows `some`.

    The first turns what the models of the data predict into true classes. The second averages it with a
    model of the verified rows alone.
    """
    classes = p.shape[1]
    true = p[some].T @ np.eye(classes)[codes[some]] + np.eye(classes)
    corrected = p[test] @ (true / true.sum(1, keepdims=True))
    alone = softmax(QuickModel.fit(X[some], codes[some], classes).scores(X[test]))
    return corrected, (corrected + alone) / 2
