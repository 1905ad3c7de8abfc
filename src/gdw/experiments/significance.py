"""Whether a difference between two methods is more than the luck of the seeds."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FEWEST = 6
"""With fewer pairs the signed-rank test cannot reach 5 %, whatever the differences: 2 / 2⁵ = 6 %."""


@dataclass(frozen=True)
class Comparison:
    """Paired differences, this method less the reference.

    `p_t` is of the paired t test, `p_wilcoxon` of the signed-rank test (None where it says nothing), `p_holm`
    the latter corrected for the number of methods that are compared.
    """

    n: int
    mean: float
    spread: float | None
    better: int
    worse: int
    p_t: float | None
    p_wilcoxon: float | None
    p_holm: float | None = None


def compare(differences: Sequence[float]) -> Comparison:
    """Two-sided paired tests of `differences`."""
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
    """Holm's step-down correction; those that are None stay so and are not counted."""
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
        # With ties the exact distribution is only approximated, which is good enough here.
        warnings.simplefilter("ignore")
        return float(wilcoxon(differences).pvalue)
