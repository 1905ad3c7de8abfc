"""Scores as probabilities that each label is wrong, learned from the verified rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdw.certify.platt import Platt
from gdw.certify.sample import VerifiedSample, require_enough
from gdw.certify.share import checked_scores
from gdw.errors import counted
from gdw.files.representation import ShortRepr

Floats = NDArray[np.float64]
Method = Literal["isotonic", "logistic", "constant"]

_ENOUGH_FOR_STEPS = 50
"""With so many right and wrong labels a step function is more accurate than a logistic curve."""
_FOLDS = 5


@dataclass(frozen=True, eq=False, repr=False)
class Calibrated(ShortRepr):
    """The probability that each label is wrong.

    Attributes:
        probability: float64 `(N,)`. That of a verified row comes from the other verified rows.
        method: "isotonic", "logistic", or "constant" where the scores, or the outcomes, are all the same.
        verified: how many verified rows it is learned from.
        wrong: how many of them have a wrong label.
    """

    probability: Floats
    method: Method
    verified: int
    wrong: int

    @property
    def basis(self) -> str:
        """Where the probabilities come from, as one clause."""
        return (
            f"{self.method} calibration on {counted(self.verified, 'verified row')}, {self.wrong:,} of them "
            "with a wrong label"
        )


def calibrated(sample: VerifiedSample, doubt: ArrayLike, *, seed: int = 0) -> Calibrated:
    """Turn scores into probabilities that the labels are wrong.

    With 50 right and 50 wrong labels among the verified rows or more, a step function that rises with the
    score is fitted (isotonic regression), else a logistic curve (Platt, 1999). Each row counts by 1 / its
    probability to be drawn. Five times, a fifth of the verified rows is left out and gets its probabilities
    from the others, so that these can be compared with the outcomes.

    Args:
        sample: the verified rows, 10 or more.
        doubt: `(N,)`, the scores, as for `gdw.certify.share_wrong`.
        seed: of the division into fifths.

    Raises:
        DataError: there are fewer than 10 verified rows, or the scores are unusable.
    """
    require_enough(sample)
    scores = checked_scores(doubt, sample.size)
    wrong = int(sample.wrong.sum())
    method: Method = (
        "isotonic" if min(wrong, len(sample) - wrong) >= _ENOUGH_FOR_STEPS else "logistic"
    )
    everything = np.ones(len(sample), dtype=bool)
    probability = _fitted(scores, sample, everything, method)
    if probability is None:
        weight = 1 / sample.probability
        rate = float(weight @ sample.wrong + 0.5 * weight.mean()) / float(
            weight.sum() + weight.mean()
        )
        return Calibrated(np.full(sample.size, rate), "constant", len(sample), wrong)
    left_out = probability[sample.rows]
    for part in _parts(sample.wrong, seed):
        others = _fitted(scores, sample, ~part, method)
        if others is not None:
            left_out[part] = others[sample.rows[part]]
    probability[sample.rows] = left_out
    return Calibrated(probability, method, len(sample), wrong)


def _fitted(
    scores: Floats, sample: VerifiedSample, part: NDArray[np.bool_], method: Method
) -> Floats | None:
    """The probabilities of all rows by the verified rows in `part`; None if they say nothing."""
    rows, wrong, weight = sample.rows[part], sample.wrong[part], 1 / sample.probability[part]
    if method == "logistic":
        curve = Platt.fit(scores, rows, wrong, weight)
        return None if curve is None else curve(scores)
    from sklearn.isotonic import IsotonicRegression

    steps = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
    steps.fit(scores[rows], wrong, weight)
    fitted: Floats = steps.predict(scores)
    return fitted


def _parts(wrong: NDArray[np.bool_], seed: int) -> list[NDArray[np.bool_]]:
    """The verified rows in fifths, with the wrong labels spread evenly."""
    shuffled = np.random.default_rng(seed).permutation(len(wrong))
    order = shuffled[np.argsort(wrong[shuffled], kind="stable")]
    part = np.empty(len(wrong), dtype=np.int64)
    part[order] = np.arange(len(wrong)) % _FOLDS
    return [part == k for k in range(_FOLDS)]
