"""Which rows to verify next so that the interval becomes narrow, and how narrow it will be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdw.certify.bounds import effective_size, share_interval
from gdw.certify.calibration import calibrated
from gdw.certify.estimates import best
from gdw.certify.sample import FEWEST, VerifiedSample
from gdw.certify.share import checked_scores, require_confidence
from gdw.errors import ConfigError
from gdw.files.representation import ShortRepr
from gdw.seeding import generator

Floats = NDArray[np.float64]

_AT_RANDOM, _UNTRIED = 0.4, 0.7
"""The part of the rows that is drawn whatever the scores say: with useless scores the variance is then at
most 1 / 0.4 times that of random rows. Scores that no verified row has calibrated may be far too sure: by the
labels of human annotators and nearest neighbours, a first draw with 0.4 makes the interval wider than random
rows do, and one with 0.7 does not."""
_ROUNDS = 30


@dataclass(frozen=True, eq=False, repr=False)
class NextRows(ShortRepr):
    """Rows to verify next, drawn at random.

    Attributes:
        rows: int64 `(n,)`, their positions.
        probability: float64 `(n,)`, how likely each was to be drawn, among the rows that were left.
        equal: bool `(n,)`. These rows, 40 % of them or more, are by themselves a sample for which all rows
            were equally likely.
    """

    rows: NDArray[np.int64]
    probability: Floats
    equal: NDArray[np.bool_]


def next_rows(
    doubt: ArrayLike,
    n: int,
    *,
    verified: VerifiedSample | None = None,
    taken: ArrayLike | None = None,
    seed: int = 0,
) -> NextRows:
    """Draw the rows that make the interval of the share of wrong labels narrow.

    A row with the probability p of a wrong label is drawn with a probability that grows with
    `sqrt(p (1 − p))` (Neyman, 1934; Zrnic and Candès, Active Statistical Inference, ICML 2024), and 40 % of
    the rows whatever their p is; 70 % where fewer than 10 verified rows calibrate the scores.

    Args:
        doubt: `(N,)`, how likely each label is wrong, from 0 to 1.
        n: how many rows to draw. If fewer are left, all of them.
        verified: the rows that are verified already. They are not drawn again, and calibrate the scores.
        taken: bool `(N,)`, further rows that are not drawn.
        seed: of the draw.

    Raises:
        ConfigError: n is less than 1.
        DataError: a score is not from 0 to 1.
    """
    if n < 1:
        raise ConfigError(f"n: expected a number of rows of 1 or more, found {n}")
    size = len(np.asarray(doubt))
    p, at_random = checked_scores(doubt, size), _UNTRIED
    free = np.ones(size, dtype=bool) if taken is None else ~np.asarray(taken, dtype=bool)
    if verified is not None:
        free[verified.rows] = False
        if len(verified) >= FEWEST:
            p, at_random = calibrated(verified, p).probability, _AT_RANDOM
    left = np.flatnonzero(free)
    likely = selection_probability(p[left], n, at_random=at_random)
    rng = generator(seed, "certify")
    drawn = _systematic(likely, rng)
    chosen = likely[drawn]
    equal = rng.random(len(drawn)) * chosen < min(at_random * n / max(1, len(left)), 1.0)
    return NextRows(left[drawn], chosen, equal | (n >= len(left)))


def selection_probability(p: Floats, n: int, *, at_random: float = _AT_RANDOM) -> Floats:
    """How likely each row is drawn, `(N,)`; the sum is n, or N if that is less.

    Args:
        p: `(N,)`, the probabilities that the labels are wrong.
        n: how many rows to draw.
        at_random: the part of them that is drawn whatever p is.
    """
    if n >= len(p):
        return np.ones(len(p))
    useful = np.sqrt(p * (1 - p))
    useful = useful / useful.mean() if useful.any() else np.ones(len(p))
    wanted = at_random + (1 - at_random) * useful
    likely = wanted * n / wanted.sum()
    for _ in range(_ROUNDS):  # what is above 1 goes to the others
        sure = likely >= 1
        if not sure.any():
            break
        rest = n - int(sure.sum())
        likely = np.where(sure, 1.0, likely * rest / likely[~sure].sum())
    drawn: Floats = np.minimum(likely, 1.0)
    return drawn


def expected_widths(
    doubt: ArrayLike,
    verified: VerifiedSample,
    more: tuple[int, ...] = (50, 100, 200),
    *,
    confidence: float = 0.95,
) -> dict[int, float]:
    """About how wide the interval of the share of wrong labels will be after more `next_rows`.

    Args:
        doubt: `(N,)`, the scores.
        verified: the rows that are verified already, 10 or more.
        more: numbers of further rows.
        confidence: of the interval.

    Returns:
        The width for each number of rows, as a share; for 0 that of today.

    Raises:
        DataError: there are fewer than 10 verified rows, or the scores are unusable.
    """
    require_confidence(confidence)
    scores = checked_scores(doubt, verified.size)
    p = calibrated(verified, scores).probability
    now, limits, _ = best(scores, verified, confidence)
    share = float(np.clip(now.share, p.mean() / 2, 1 - (1 - p.mean()) / 2))
    left = np.setdiff1d(np.arange(verified.size), verified.rows)
    unsure = share * (1 - share)
    widths = {0: limits[1] - limits[0]}
    for n in more:
        likely = selection_probability(p[left], n)
        new = float((p[left] * (1 - p[left]) * (1 / likely - 1)).sum()) / verified.size**2
        part = len(verified) / (len(verified) + min(n, len(left)))
        variance = part**2 * unsure / now.size + (1 - part) ** 2 * new
        if variance <= 0 or n >= len(left):
            widths[n] = 0.0
            continue
        low, high = share_interval(share, unsure / variance, confidence)
        widths[n] = high - low
    return widths


def random_widths(
    share: float, size: int, numbers: tuple[int, ...], *, confidence: float = 0.95
) -> dict[int, float]:
    """How wide the interval of the share of wrong labels is without scores, from random rows.

    >>> {n: round(width, 2) for n, width in random_widths(0.1, 5000, (50, 200)).items()}
    {50: 0.17, 200: 0.08}

    Args:
        share: a guess of it.
        size: the number of all rows.
        numbers: of random rows.
        confidence: of the interval.
    """
    widths = {}
    for n in numbers:
        effective = effective_size(n, size)
        limits = (0.0, 0.0) if np.isinf(effective) else share_interval(share, effective, confidence)
        widths[n] = limits[1] - limits[0]
    return widths


def _systematic(likely: Floats, rng: np.random.Generator) -> NDArray[np.int64]:
    """A draw of a fixed number of rows, each with its probability: equal steps over rows in random order."""
    order = rng.permutation(len(likely))
    ends = np.cumsum(likely[order])
    number = round(float(ends[-1]))
    places = (rng.random() + np.arange(number)) * ends[-1] / number
    drawn: NDArray[np.int64] = order[
        np.searchsorted(ends, places, side="right").clip(max=len(order) - 1)
    ]
    return drawn
