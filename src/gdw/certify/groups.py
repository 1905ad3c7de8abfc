"""The share of wrong labels by class: of the rows with a given label, and of the rows of a true class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdw.certify.bounds import share_interval
from gdw.certify.sample import FEWEST, VerifiedSample, require_enough
from gdw.certify.share import checked_scores, of_sample, require_confidence
from gdw.certify.verifier_error import NO_ERROR, VerifierError


@dataclass(frozen=True)
class ClassShare:
    """The share of wrong labels in one class.

    Attributes:
        name: of the class.
        by: "given": of the rows that have this label. "true": of the rows that belong to this class.
        verified: how many of them were verified. With 0 the limits are 0 and 1: nothing is known.
        wrong: how many of these have a wrong label.
        low, high: the limits of the confidence interval, for this class alone.
    """

    name: str
    by: Literal["given", "true"]
    verified: int
    wrong: int
    low: float
    high: float


def shares_by_class(
    sample: VerifiedSample,
    given: ArrayLike,
    true: ArrayLike,
    label_names: Sequence[str],
    doubt: ArrayLike | None = None,
    *,
    confidence: float = 0.95,
    verifier_error: VerifierError = NO_ERROR,
) -> list[ClassShare]:
    """The share of wrong labels of each given label, then of each true class.

    How many rows belong to a true class is not known, so its interval comes from its verified rows alone.
    Of 20 intervals with 95 % confidence, one does not hold on average.

    Args:
        sample: the verified rows.
        given: `(N,)`, the class number of each given label.
        true: `(m,)`, the class number of each verified label.
        label_names: the names of the C classes.
        doubt: `(N,)`, the scores, as for `share_wrong`.
        confidence: of each interval.
        verifier_error: how often the verified labels are wrong. If they are, the rows of a true class are not
            known, and there are no shares of true classes.

    Raises:
        ConfigError, DataError: as `share_wrong`.
    """
    require_enough(sample)
    require_confidence(confidence)
    labels, classes = np.asarray(given), np.asarray(true)
    scores = None if doubt is None else checked_scores(doubt, sample.size)
    by_given = [
        _of_given(sample, labels == k, name, scores, confidence, verifier_error)
        for k, name in enumerate(label_names)
    ]
    if verifier_error.high > 0:
        return by_given
    by_true = [
        _of_true(sample, classes == k, name, confidence) for k, name in enumerate(label_names)
    ]
    return by_given + by_true


@dataclass(frozen=True)
class ClassPair:
    """What is known of one class, if it was verified in ten or more rows.

    Attributes:
        name: of the class.
        given: of the rows with this label, how many have a wrong one; None with fewer verified rows.
        true: of the rows of this class, how many have another label; None with fewer verified rows.
    """

    name: str
    given: ClassShare | None
    true: ClassShare | None


def known_classes(shares: Sequence[ClassShare]) -> list[ClassPair]:
    """The classes with 10 or more verified rows, those whose labels are surely wrong most often first.

    Args:
        shares: from `shares_by_class`.
    """
    pairs: dict[str, dict[str, ClassShare]] = {}
    for share in shares:
        pairs.setdefault(share.name, {})
        if share.verified >= FEWEST:
            pairs[share.name][share.by] = share
    known = [ClassPair(name, p.get("given"), p.get("true")) for name, p in pairs.items() if p]
    return sorted(known, key=lambda pair: -pair.given.low if pair.given else 1)


def classes_without(shares: Sequence[ClassShare]) -> list[str]:
    """The names of the given labels of which no row was verified."""
    return [share.name for share in shares if share.by == "given" and not share.verified]


def _of_given(
    sample: VerifiedSample,
    part: NDArray[np.bool_],
    name: str,
    doubt: NDArray[np.float64] | None,
    confidence: float,
    verifier_error: VerifierError,
) -> ClassShare:
    inside = sample.within(part)
    if not len(inside):
        return ClassShare(name, "given", 0, 0, 0.0, 1.0)
    scores = None if doubt is None or len(inside) < FEWEST else doubt[part]
    share = of_sample(inside, scores, confidence, verifier_error)
    return ClassShare(name, "given", share.verified, share.wrong, share.low, share.high)


def _of_true(
    sample: VerifiedSample, part: NDArray[np.bool_], name: str, confidence: float
) -> ClassShare:
    count = int(part.sum())
    if not count:
        return ClassShare(name, "true", 0, 0, 0.0, 1.0)
    weight, wrong = 1 / sample.probability[part], sample.wrong[part]
    size = weight.sum() ** 2 / (weight**2).sum()
    low, high = share_interval(float(weight @ wrong / weight.sum()), size, confidence)
    return ClassShare(name, "true", count, int(wrong.sum()), low, high)
