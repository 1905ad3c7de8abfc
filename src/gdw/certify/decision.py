"""How many rows to change so that a target is sure to be met: fixed-sequence testing over a ranking."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gdw.certify.ranked import Change, Changed, Drop, Ranking, Relabel
from gdw.certify.sample import require_enough
from gdw.certify.share import assumptions, require_confidence
from gdw.certify.tally import Tally
from gdw.certify.verifier_error import NO_ERROR, VerifierError
from gdw.errors import ConfigError, counted
from gdw.files.representation import ShortRepr

Floats = NDArray[np.float64]
Scores = Literal["", "list", "quick models"]

_NEARLY = 0.9
_CHANGES: dict[str, type[Change]] = {"drop": Drop, "relabel": Relabel, "changed": Changed}


@dataclass(frozen=True, eq=False, repr=False)
class Curve(ShortRepr):
    """A share over the number of changed rows, with a band.

    Attributes:
        rows: int64 `(K,)`, the numbers of changed rows.
        share: float64 `(K,)`, the estimates; NaN where no row was verified.
        low, high: float64 `(K,)`, the confidence interval of each share by itself, not of all together.
    """

    rows: NDArray[np.int64]
    share: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True, repr=False)
class Decision(ShortRepr):
    """The number of rows to change so that a share is at most the target, with confidence.

    Attributes:
        what: "drop", "relabel" or "changed", see `decide`.
        target: the largest share.
        confidence: such as 0.95.
        rows: k, how many of the most suspicious rows to change; None if no number is sure to meet the target.
        share: the estimated share at k; without a k that at the first one that is tested.
        more: about how many more verified rows it would take, drawn as these were; None if `rows` is known,
            or if the share is not below the target.
        verified: how many rows were verified.
        total: N.
        assumptions: what must hold, as sentences.
        scores: whose scores and suggestions they are, if there are several: those of the "list" of an audit,
            of which the verified rows were verified after the training, or of "quick models".
    """

    what: str
    target: float
    confidence: float
    rows: int | None
    share: float
    more: int | None
    verified: int
    total: int
    assumptions: tuple[str, ...]
    scores: Scores = ""

    @property
    def sentence(self) -> str:
        """The result in one sentence, with its basis."""
        goal = _GOALS[self.what].format(
            target=self.target, total=self.total, all="the" if self.scores == "list" else "all"
        )
        sure, basis = f"with {self.confidence:.0%} confidence", self._basis
        if self.rows == 0:
            return f"no row has to be changed: {goal}, {sure} (from {basis})"
        if self.rows is not None:
            deed = _DEEDS[self.what].format(rows=self.rows)
            return f"{deed}{WHOSE[self.scores]}: {goal}, {sure} (from {basis})"
        if self.more is None:
            best = self._by if self.what == "relabel" else f"at best {self._by}".rstrip()
            return (
                f"no number of rows is sure to meet the target that {goal}: {best} about "
                f"{self.share:.1%} are, by {basis}. Choose a higher target"
            )
        takes = f"about {self.more:,} more, drawn at random"
        if self.more > _NEARLY * (self.total - self.verified):
            takes = "nearly all others"
        by = f" {self._by}" if self.scores else ""
        return (
            f"{basis} do not show that {goal}, {sure}: the best guess is {self.share:.1%}{by}, and it "
            f"takes {takes}"
        )

    @property
    def _by(self) -> str:
        """By what the estimated share is reached."""
        name = _NAMES[self.scores]
        if self.what == "relabel":
            return f"with all suggestions of {name}" if name else "with all suggestions"
        return f"with {name}" if name else ""

    @property
    def _basis(self) -> str:
        if self.scores == "list":
            return f"{counted(self.verified, 'row')} verified after the training"
        return counted(self.verified, "verified row")


WHOSE = {"": "", "list": " of this list", "quick models": " (as quick models see them)"}
"""Whose scores and suggestions a phrase about rows is of."""
_NAMES = {"": "", "list": "this list", "quick models": "quick models"}
_DEEDS = {
    "drop": "leave out the {rows:,} most suspicious rows",
    "relabel": "relabel the {rows:,} most suspicious rows",
    "changed": "change up to {rows:,} of the most suspicious rows",
}
_GOALS = {
    "drop": "at most {target:.1%} of the remaining labels are wrong",
    "relabel": "at most {target:.1%} of {all} {total:,} labels are wrong then",
    "changed": "at most {target:.1%} of the changed labels were right",
}


def decide(
    ranking: Ranking,
    what: str,
    *,
    target: float,
    confidence: float = 0.95,
    verifier_error: VerifierError = NO_ERROR,
) -> Decision:
    """How many of the most suspicious rows to change.

    The hypothesis that the share is above the target is tested for one k after the other, and the first one
    that is not rejected ends the sequence. The order does not depend on the verified labels. So the chance
    that any k is accepted whose share is above the target is at most 1 − confidence (fixed-sequence testing:
    Angelopoulos et al., Learn then Test, arXiv 2110.01052). If all rows were equally likely to be drawn, the
    p-values are exact (hypergeometric).

    Args:
        ranking: of all rows, from `gdw.certify.ranking`.
        what: "drop": the smallest k such that the rows after the first k have few wrong labels. "relabel":
            the smallest k such that all rows have, if the first k get the suggested label. "changed": the
            largest k such that few of the first k labels were right.
        target: the largest share, above 0 and below 1.
        confidence: above 0 and below 1. It holds for one decision; of two decisions with 95 %, both hold with
            90 %.
        verifier_error: how often the verified labels are wrong. They may miss so many wrong labels, so the
            observed share is compared with a smaller target; that they also call right labels wrong makes
            no decision easier.

    Raises:
        ConfigError: an unknown `what`, or a target or confidence out of range.
        DataError: there are fewer than 10 verified rows.
    """
    change = _change(ranking, what)
    _require_share("target", target)
    require_confidence(confidence)
    require_enough(ranking.sample)
    alpha, shown = 1 - verifier_error.confidence_left(confidence), verifier_error.shown(target)
    tally = Tally.of(change, answers_vary=verifier_error.high > 0)
    accepted, p_value = None, tally.p_values(change, shown)
    for i in tally.order(change.falls, shown, alpha):
        if p_value(i) > alpha:
            break
        accepted = int(i)
    start = tally.start(change.falls)
    more = None if accepted is not None else tally.more(start, shown, alpha)
    share = float(tally.share[start if accepted is None else accepted])
    return Decision(
        what=what,
        target=target,
        confidence=confidence,
        rows=None if accepted is None else int(tally.steps[accepted]),
        share=share,
        more=more,
        verified=len(ranking.sample),
        total=ranking.sample.size,
        assumptions=assumptions(helped=True, verifier_error=verifier_error),
    )


def curve(
    ranking: Ranking,
    what: str,
    *,
    confidence: float = 0.95,
    verifier_error: VerifierError = NO_ERROR,
) -> Curve:
    """The share over the number of changed rows, as `decide` counts it.

    The band is pointwise: each interval holds with the confidence, not all of them together. For the choice
    of a k from the curve use `decide`.
    """
    change = _change(ranking, what)
    steps, left = change.steps, verifier_error.confidence_left(confidence)
    values = np.full((len(steps), 3), np.nan)
    for i, k in enumerate(steps.tolist()):
        if len(change.sample(k)):
            estimate = change.estimate(k)
            limits = verifier_error.corrected(*estimate.interval(left))
            values[i] = verifier_error.best_guess(estimate.share), *limits
    return Curve(steps, *values.T)


def _change(ranking: Ranking, what: str) -> Change:
    if what not in _CHANGES:
        raise ConfigError(f"expected one of {', '.join(_CHANGES)}, found {what!r}")
    return _CHANGES[what](ranking)


def _require_share(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ConfigError(
            f"{name}: expected a share above 0 and below 1, such as 0.03, found {value:g}"
        )
