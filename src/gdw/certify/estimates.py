"""The share of wrong labels from a sample, as a share and the number of rows that it is worth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gdw.certify.bounds import at_most, effective_size, share_interval
from gdw.certify.platt import Platt
from gdw.certify.sample import VerifiedSample

Floats = NDArray[np.float64]
Limits = tuple[float, float]

_SURPRISE = 0.5
"""Half a row that the scores mispredict completely is added to their squared errors: a few verified rows
without a mistake do not prove that there are none."""


@dataclass(frozen=True)
class Estimate:
    """A share that is as uncertain as if it were observed in `size` rows drawn at random.

    Attributes:
        share: from 0 to 1.
        size: the effective number of rows; infinite if all rows are verified.
    """

    share: float
    size: float

    def interval(self, confidence: float) -> tuple[float, float]:
        """The limits of the confidence interval."""
        if np.isinf(self.size):
            return self.share, self.share
        return share_interval(self.share, self.size, confidence)

    def p_value(self, target: float) -> float:
        """Of "the share is above `target`"."""
        if np.isinf(self.size):
            return float(self.share > target)
        return float(at_most(self.share * self.size, self.size, target))


def classical(sample: VerifiedSample) -> Estimate:
    """The estimate from the verified rows alone. Rows that were less likely to be drawn count more.

    The effective number of rows is then the smaller one of those by Kish (1965), from the weights, and by
    Korn and Graubard (1998), from the variance.
    """
    if sample.equal:
        return Estimate(float(sample.wrong.mean()), effective_size(len(sample), sample.size))
    weight = 1 / sample.probability
    share = float(weight @ sample.wrong / weight.sum())
    of_design = weight**2 * (1 - sample.probability) / weight.sum() ** 2
    if not of_design.any():
        return Estimate(share, np.inf)
    size = 1 / float(of_design.sum())
    squares = (sample.wrong - share) ** 2
    variance = float(of_design @ squares) * len(sample) / max(1, len(sample) - 1)
    return Estimate(share, size if variance <= 0 else min(size, share * (1 - share) / variance))


def assisted(doubt: Floats, sample: VerifiedSample) -> Estimate | None:
    """The estimate that uses the scores of all rows: prediction-powered inference.

    The scores are made into probabilities by a logistic curve, which is fitted to the verified rows. The
    estimate is the mean of these probabilities over all rows, plus the mean error on the verified rows, each
    counted by 1 / its probability to be drawn (the generalised difference estimator of survey statistics,
    and PPI of Angelopoulos et al., Science 382, 2023). Its variance comes from the errors left out of the
    fit. The curve finds how far to trust the scores, as the λ of PPI++ does (Angelopoulos et al.,
    arXiv 2311.01453): with useless scores it is flat.

    Args:
        doubt: `(N,)`, how likely the label of each row is wrong, from 0 to 1. The scores of the verified rows
            must be made as those of the others, without their verified labels.
        sample: of verified rows.

    Returns:
        None where the scores cannot help: all outcomes, or all scores, are the same.
    """
    weight = 1 / sample.probability
    curve = Platt.fit(doubt, sample.rows, sample.wrong, weight)
    if curve is None:
        return None
    seen = doubt[sample.rows]
    error = sample.wrong - curve(seen)
    share = float(np.clip(curve(doubt).mean() + weight @ error / sample.size, 0, 1))
    of_design = weight**2 * (1 - sample.probability)
    squares = curve.leave_one_out(seen, sample.wrong, weight) ** 2
    variance = float(of_design @ squares + _SURPRISE * of_design.mean()) / sample.size**2
    return Estimate(share, np.inf if variance <= 0 else share * (1 - share) / variance)


def weighted(doubt: Floats | None, sample: VerifiedSample) -> Estimate:
    """The estimate where rows were not equally likely: assisted, if the scores can help.

    A choice between both estimates after a look at them would make the interval too narrow, because here
    they may be far apart. The assisted one is worth at least as many rows as the classical one.
    """
    plain = classical(sample)
    helped = None if doubt is None or np.isinf(plain.size) else assisted(doubt, sample)
    return plain if helped is None else Estimate(helped.share, max(helped.size, plain.size))


def best(
    doubt: Floats | None, sample: VerifiedSample, confidence: float
) -> tuple[Estimate, Limits, Limits]:
    """The estimate with the narrower interval, of the assisted and the classical one.

    Where rows were not equally likely, it is `weighted`.

    Returns:
        The estimate, the limits of its interval, and those of the classical estimate.
    """
    plain = classical(sample)
    limits = plain.interval(confidence)
    if not sample.equal:
        helped = weighted(doubt, sample)
        return helped, (limits if helped == plain else helped.interval(confidence)), limits
    found = None if doubt is None or np.isinf(plain.size) else assisted(doubt, sample)
    if found is not None and found.size > plain.size:
        low, high = found.interval(confidence)
        if high - low < limits[1] - limits[0]:
            return found, (low, high), limits
    return plain, limits, limits
