"""Tests of whether methods differ: in pairs by more than the seeds explain, and in their mean ranks."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FEWEST = 6
"""With fewer pairs the smallest p of the signed-rank test is 2 / 2⁵ = 6 %, above the usual 5 %."""


@dataclass(frozen=True)
class Comparison:
    """Summary and tests of paired differences, a method minus the reference.

    Attributes:
        n: the number of pairs.
        mean, spread: mean and sample standard deviation of the differences.
        better, worse: how many differences are above and below zero.
        p_t: of the paired t test; None if there are too few pairs or all differences are equal.
        p_wilcoxon: of the signed-rank test; None if fewer than `FEWEST` differences are not zero.
        p_holm: `p_wilcoxon` corrected for the number of methods that are compared.
    """

    n: int
    mean: float
    spread: float | None
    better: int
    worse: int
    p_t: float | None
    p_wilcoxon: float | None
    p_holm: float | None = None


@dataclass(frozen=True)
class RankTest:
    """Whether the mean ranks of k methods in n settings differ by more than chance.

    Attributes:
        settings: n.
        statistic: of Friedman's test, approximately χ² with k - 1 degrees of freedom.
        p: of this test.
        critical_difference: by how much two mean ranks must differ to be told apart at 5 %, by Nemenyi's
            test: Demšar, Journal of Machine Learning Research 7 (2006), section 3.2.2.
    """

    settings: int
    statistic: float
    p: float
    critical_difference: float


def rank_test(scores: Sequence[Sequence[float]]) -> RankTest | None:
    """Friedman's and Nemenyi's tests.

    Args:
        scores: in each of n settings the scores of k methods.

    Returns:
        The tests; None for fewer than three methods or `FEWEST` settings.
    """
    settings, methods = len(scores), len(scores[0]) if scores else 0
    if settings < FEWEST or methods < 3:
        return None
    from scipy.stats import friedmanchisquare, studentized_range

    found = friedmanchisquare(*zip(*scores, strict=True))
    quantile = studentized_range.ppf(0.95, methods, float("inf")) / math.sqrt(2)
    difference = quantile * math.sqrt(methods * (methods + 1) / (6 * settings))
    return RankTest(settings, float(found.statistic), float(found.pvalue), float(difference))


def compare(differences: Sequence[float]) -> Comparison:
    """Summary and two-sided paired tests of `differences`."""
    n = len(differences)
    return Comparison(
        n=n,
        mean=statistics.fmean(differences) if n else 0.0,
        spread=statistics.stdev(differences) if n > 1 else None,
        better=sum(d > 0 for d in differences),
        worse=sum(d < 0 for d in differences),
        p_t=_paired_t(differences),
        p_wilcoxon=_signed_rank(differences),
    )


def holm(p_values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Holm's step-down correction (Scandinavian Journal of Statistics, 1979).

    Args:
        p_values: a p value by name; None where there was no test.

    Returns:
        The corrected values by name. None stays None and is not counted as a comparison.
    """
    known = sorted((p, name) for name, p in p_values.items() if p is not None)
    corrected: dict[str, float | None] = dict.fromkeys(p_values)
    highest = 0.0
    for position, (p, name) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - position)))
        corrected[name] = highest
    return corrected


def _paired_t(differences: Sequence[float]) -> float | None:
    if len(differences) < 2 or len(set(differences)) == 1:
        return None
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(differences, 0.0).pvalue)


def _signed_rank(differences: Sequence[float]) -> float | None:
    if sum(d != 0 for d in differences) < FEWEST:
        return None
    from scipy.stats import wilcoxon

    with warnings.catch_warnings():
        # SciPy warns that with ties it approximates the distribution, which is good enough here.
        warnings.simplefilter("ignore")
        return float(wilcoxon(differences).pvalue)
