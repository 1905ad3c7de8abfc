"""How far an audit can be trusted: one judgement for terminal, page, `audit.json` and estimator."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gdw.audit.evidence import Evidence, Floats, Ints
from gdw.audit.matrix import Cells
from gdw.audit.part_of_check import checked_on
from gdw.files.representation import ShortRepr

Level = Literal["supported", "unproven", "poor"]

_DRAWS, _FEWEST_DRAWS, _SEED, _TAIL = 4000, 40, 0, 0.05
_MOST_FLAGGED = 0.5
# Predictions agree with the most frequent label at this share above its frequency by chance alone.
_ABOVE_MAJORITY = 0.02
_BY_HEART = 0.98
_LARGEST_LOSS_OF_A_CLASS = 3  # one in three rows
_REMEDIES = {
    "supported": "",
    "unproven": "Decide on the list by eye (gdw verify RUN --issues)",
    "poor": "Train longer or verify more examples and audit again, or decide on the list by eye (gdw verify "
    "RUN --issues)",
}


@dataclass(frozen=True, repr=False)
class Assessment(ShortRepr):
    """How far an audit can be trusted, and what its suggestions would do.

    Attributes:
        level: "supported": verified examples show that the suggested labels are better than the given ones.
            "unproven": nothing shows it. "poor": there are signs that the list is mostly wrong.
        reason: one sentence with the figures behind `level`.
        wrong_share: the estimated share of wrong labels, by the noise matrix.
        wrong_low, wrong_high: a range for it. It contains the 95 % interval of the noise matrix, the share of
            issues, and the 90 % interval of ε if there are clean examples to estimate it from.
        flagged_share: the share of label issues.
    """

    level: Level
    reason: str
    wrong_share: float
    wrong_low: float
    wrong_high: float
    flagged_share: float

    def allows(self, mode: str) -> bool:
        """Whether a copy by `mode`, "KEEP" or "RELABEL", is likely to be better than the data.

        Without issues the rest has fewer wrong labels unless the list is worthless. New labels must be better
        than the given ones, which needs evidence.
        """
        return self.level == "supported" or (self.level == "unproven" and mode == "KEEP")

    @property
    def remedy(self) -> str:
        """What to do if the list is not supported, as one sentence without its full stop."""
        return _REMEDIES[self.level]

    def plain(self) -> dict[str, Any]:
        """The attributes as plain values, for `audit.json`."""
        return asdict(self)


def assess(evidence: Evidence, cells: Cells, wrong: NDArray[np.bool_]) -> Assessment:
    """Judge how far an audit can be trusted.

    Clean examples that models predicted without having been trained on them show how often an audit of such
    models replaces a right label (H) and leaves a wrong one wrong (U). The models predict the given labels of
    the training set less often than the verified ones, and the difference gives the share of wrong labels ε.
    Suggestions are supported if the labels are better with them by both accounts, that of the clean examples,
    `ε > (1 − ε) H + ε U`, and that of the share f of issues, `(f − (1 − ε) H) (1 − U) > (1 − ε) H`, in 95 %
    of the draws of a Bayesian bootstrap over the clean examples (Rubin, Annals of Statistics 9(1), 1981),
    with one example of unknown outcome added and without the draws in which ε is no share. See
    `docs/audit.md`.

    Args:
        evidence: of N examples.
        cells: their noise matrix.
        wrong: `(N,)`, whether each example is a label issue.

    Returns:
        The judgement. Without clean examples the best level is "unproven".
    """
    flagged = float(wrong.mean()) if len(wrong) else 0.0
    predicted = float((evidence.top_classes[:, 0] == evidence.given).mean())
    majority = float(np.bincount(evidence.given).max() / max(1, len(evidence)))
    share, low, high = cells.wrong_share()
    low, high = min(low, flagged), max(high, flagged)
    level: Level = "unproven"
    reason = (
        "nothing shows whether the suggested labels are better than the given ones, because the models were "
        "not tried on verified examples of all classes"
    )
    if evidence.clean_true is not None:
        evidence = checked_on(evidence, evidence.clean_true, evidence.drawn)
    if evidence.clean_check is not None and evidence.clean_agreement is not None:
        account = _by_clean_examples(evidence.clean_check, float(evidence.clean_agreement[0]))
        if account is None:
            reason = (
                "the verified examples are harder to predict than the data, so they do not show whether the "
                "suggested labels are better than the given ones"
            )
        else:
            level, reason = account.judged(flagged, predicted)
            least, most = _interval(account.error)
            low, high = min(low, least), max(high, most)
    if level != "supported" and flagged > _MOST_FLAGGED:
        level = "poor"
        reason = (
            f"{flagged:.0%} of the labels look wrong: the model has probably learned too little"
        )
    if predicted <= majority + _ABOVE_MAJORITY:
        level = "poor"
        reason = (
            f"in training the model predicted {predicted:.0%} of the labels, hardly more than always "
            f"predicting the most frequent one ({majority:.0%}): it has learned too little"
        )
    return Assessment(level, reason, share, low, high, flagged)


@dataclass(frozen=True, eq=False)
class _Account:
    """What clean examples say about an audit, as draws from the bootstrap.

    Attributes:
        examples: the number of clean examples.
        error: the share of wrong labels, ε.
        harmed: the share of all labels that are right and would be replaced, (1 − ε) H.
        missed: the chance that a wrong label stays wrong, U.
        replaced: the observed share of clean examples whose label would be replaced.
    """

    examples: int
    error: Floats
    harmed: Floats
    missed: Floats
    replaced: float

    def judged(self, flagged: float, predicted: float) -> tuple[Level, str]:
        """The judgement of an audit that calls a share `flagged` wrong.

        `predicted` is the share of the labels that the model predicted in training.
        """
        _, high = _interval(self.error)
        _, explained = _interval(self.harmed + self.error)
        examples = f"{self.examples:,} verified examples"
        if max(flagged, 1 - predicted) > explained:
            observed = (
                f"{flagged:.0%} of the labels look wrong"
                if flagged > explained
                else f"in training the model predicted {1 - predicted:.0%} of the labels otherwise"
            )
            return "poor", (
                f"{observed}, but by {examples} wrong labels and mistakes of the models explain at most "
                f"{explained:.0%}"
            )
        by_examples = self.error * (1 - self.missed) - self.harmed
        by_issues = (flagged - self.harmed) * (1 - self.missed) - self.harmed
        if np.quantile(np.minimum(by_examples, by_issues), _TAIL) > 0:
            least, most = _interval(self.harmed + self.error * self.missed)
            return "supported", (
                f"by {examples}, {least:.0%} to {most:.0%} of the labels would be wrong with the suggested "
                "ones"
            )
        if self.replaced > high:
            return "poor", (
                f"the models would replace {self.replaced:.0%} of {examples} too, more than can be wrong"
            )
        return "unproven", (
            f"{examples} do not show that the suggested labels are better than the given ones"
        )


def _interval(draws: Floats) -> tuple[float, float]:
    low, high = np.quantile(draws, (_TAIL, 1 - _TAIL))
    return float(low), float(high)


def _by_clean_examples(check: Floats, agreement: float) -> _Account | None:
    """The account of clean examples; None if the given labels are predicted better than the verified ones."""
    weight, outcomes = check[:, 0].astype(np.float64), check[:, 1:].astype(np.float64)
    observed = float(np.average(outcomes[:, 2], weights=weight))
    # One example of unknown outcome: a few examples without a mistake do not prove that there are none.
    weight, outcomes = np.append(weight, 1.0), np.vstack([outcomes, np.full((1, 4), 0.5)])
    random = np.random.default_rng(_SEED)
    means = np.empty((_DRAWS, 4))
    for k in range(_DRAWS):
        draw = random.exponential(size=len(weight)) * weight
        means[k] = draw @ outcomes / draw.sum()
    predicted, echoed, replaced, missed = means.T
    # P(prediction = given label) = (1 - ε) P(it is the true label) + ε P(it is the wrong label).
    difference = np.maximum(predicted - echoed, np.finfo(np.float64).eps)
    error = (predicted - agreement) / difference
    possible = (error >= 0) & (error <= 1)
    if possible.sum() < _FEWEST_DRAWS:
        return None
    error, harmed = error[possible], (1 - error[possible]) * replaced[possible]
    return _Account(len(check), error, harmed, missed[possible], observed)


def learned_by_heart(evidence: Evidence) -> bool:
    """Whether training predicted nearly every given label surely, as a model that memorised them does."""
    return float(evidence.p_given.mean()) > _BY_HEART


def classes_that_shrink(given: Ints, kept: Ints, label_names: tuple[str, ...]) -> list[str]:
    """In words: the classes that lose more than a third of their rows in a copy, the largest loss first.

    Args:
        given: `(N,)`, the labels in the data.
        kept: the labels in the copy, of these rows.
        label_names: the names of the labels.
    """
    before, after = (np.bincount(labels, minlength=len(label_names)) for labels in (given, kept))
    small = np.flatnonzero((before - after) * _LARGEST_LOSS_OF_A_CLASS > before)
    order = small[np.argsort(after[small] / before[small], kind="stable")]
    return [f"{label_names[k]!r} {after[k]:,} of {before[k]:,}" for k in order.tolist()]
