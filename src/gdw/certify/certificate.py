"""All that verified rows say about the labels of a data set, as one object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdw.certify.calibration import Calibrated, calibrated
from gdw.certify.decision import Curve, Decision, curve, decide
from gdw.certify.groups import ClassShare, classes_without, shares_by_class
from gdw.certify.ranked import order_of_change, ranking
from gdw.certify.sample import FEWEST, VerifiedSample, verified_sample
from gdw.certify.selection import NextRows, expected_widths, next_rows
from gdw.certify.share import Share, checked_scores, share_wrong
from gdw.certify.verifier_error import NO_ERROR, VerifierError, as_verifier_error
from gdw.errors import DataError, counted, listed
from gdw.files.representation import ShortRepr


@dataclass(frozen=True, eq=False, repr=False)
class Certificate(ShortRepr):
    """What is known about the labels of N rows, from m verified ones.

    Attributes:
        share: the share of wrong labels.
        classes: the same for each given label, then for each true class.
        decisions: how many rows to leave out, to relabel and to change, for the targets that were given.
        curve: the share of wrong labels over the number of relabelled rows; None without suggestions.
        calibrated: the probability that each label is wrong.
        widths: about how wide the interval of the share will be after more verified rows.
        notes: what to know about the verified rows, as sentences.
        sample: the verified rows that were drawn at random.
        doubt: float64 `(N,)`, the scores.
    """

    share: Share
    classes: tuple[ClassShare, ...]
    decisions: tuple[Decision, ...]
    curve: Curve | None
    calibrated: Calibrated
    widths: dict[int, float]
    notes: tuple[str, ...]
    sample: VerifiedSample
    doubt: NDArray[np.float64]

    def next_rows(self, n: int, *, seed: int = 0) -> NextRows:
        """Draw n rows to verify next, see `gdw.certify.next_rows`.

        Give their probabilities after `sample.probability` to the next certificate, with the number of the
        draw of each row as `batch`.
        """
        return next_rows(self.doubt, n, verified=self.sample, seed=seed)

    def plain(self) -> dict[str, Any]:
        """The figures as plain values, for `audit.json`; without the probabilities of the rows."""
        return {
            "share": self.share.plain(),
            "classes": [asdict(of_class) for of_class in self.classes],
            "decisions": [{**asdict(d), "sentence": d.sentence} for d in self.decisions],
            "calibration": self.calibrated.basis,
            "expected_widths": {str(more): width for more, width in self.widths.items()},
            "notes": list(self.notes),
        }


def certify_labels(
    given: ArrayLike,
    doubt: ArrayLike,
    rows: ArrayLike,
    labels: ArrayLike,
    label_names: Sequence[str],
    *,
    suggested: ArrayLike | None = None,
    probability: ArrayLike | None = None,
    batch: ArrayLike | None = None,
    target: float | None = None,
    most_right: float | None = None,
    confidence: float = 0.95,
    verifier_error: float | VerifierError = NO_ERROR,
) -> Certificate:
    """Certify the labels of N rows from m verified ones.

    Args:
        given: int `(N,)`, the class numbers of the labels, also of the verified rows.
        doubt: `(N,)`, how likely each label is wrong, from 0 to 1. The scores of the verified rows must not
            depend on their verified labels: use models that learned the given labels of the other rows.
        rows: int `(m,)`, the positions of the verified rows.
        labels: int `(m,)`, the class numbers of their verified labels.
        label_names: the names of the C classes.
        suggested: int `(N,)`, the class that each row would get; made like `doubt`.
        probability: `(m,)`, how likely each verified row was to be drawn; NaN for rows that were not drawn at
            random, which are left out. By default all rows were equally likely.
        batch: `(m,)`, the draw in which each row came, as for `verified_sample`.
        target: the largest share of wrong labels for decisions, such as 0.03.
        most_right: the largest share of right labels among the changed ones, such as 0.2: one more decision.
        confidence: of each statement.
        verifier_error: how often the verified labels are wrong: a number such as 0.02 for at most this share
            of the rows, or what `known_rate` or `rate_of_two` return. It widens intervals, and decisions
            need more rows.

    Raises:
        ConfigError: an option is out of range.
        DataError: fewer than 10 verified rows were drawn at random, or an array is unusable.
    """
    error = as_verifier_error(verifier_error)
    classes, verified = np.asarray(given, dtype=np.int64), np.asarray(labels, dtype=np.int64)
    scores = checked_scores(doubt, len(classes))
    sample, drawn = _sample(classes, np.asarray(rows), verified, probability, batch)
    options: dict[str, Any] = {"confidence": confidence, "verifier_error": error}
    by_class = shares_by_class(sample, classes, verified[drawn], label_names, scores, **options)
    relabelled, kinds = None, ["drop"]
    if suggested is None:
        ranked = ranking(sample, scores)
    else:
        new = np.asarray(suggested, dtype=np.int64)
        changed = new != classes
        ranked = ranking(
            sample,
            scores,
            suggestion_wrong=new[sample.rows] != verified[drawn],
            candidates=int(changed.sum()),
            order=order_of_change(scores, changed),
        )
        kinds.append("relabel")
        relabelled = curve(ranked, "relabel", **options)
    goals = [(kind, target) for kind in kinds] + [("changed", most_right)]
    return Certificate(
        share=share_wrong(sample, scores, **options),
        classes=tuple(by_class),
        decisions=tuple(
            decide(ranked, kind, target=goal, **options) for kind, goal in goals if goal is not None
        ),
        curve=relabelled,
        calibrated=calibrated(sample, scores),
        widths=expected_widths(scores, sample, confidence=confidence),
        notes=_notes(sample, len(drawn) - int(drawn.sum()), by_class),
        sample=sample,
        doubt=scores,
    )


def _sample(
    given: NDArray[np.int64],
    rows: NDArray[Any],
    labels: NDArray[np.int64],
    probability: ArrayLike | None,
    batch: ArrayLike | None,
) -> tuple[VerifiedSample, NDArray[np.bool_]]:
    """The rows that were drawn at random, and which of `rows` they are, `(m,)`."""
    if labels.shape != rows.shape:
        raise DataError(
            f"expected a verified label for each of the {len(rows)} verified rows, found {labels.shape}"
        )
    drawn = np.ones(len(rows), dtype=bool)
    likely = None if probability is None else np.asarray(probability, dtype=np.float64)
    if likely is not None and likely.shape == rows.shape:
        drawn = ~np.isnan(likely)
        likely = likely[drawn]
    if drawn.sum() < FEWEST <= len(rows):
        raise DataError(
            f"a certificate needs {FEWEST} or more verified rows that were drawn at random, found "
            f"{drawn.sum()} of {len(rows)}: the others were chosen because their labels are in doubt. Verify "
            "60 random rows (gdw suggest --strategy random)"
        )
    verified_sample(len(given), rows, np.zeros(len(rows)))  # the positions are checked first
    kept = rows[drawn]
    draws = None if batch is None else np.asarray(batch)[drawn]
    wrong = given[kept] != labels[drawn]
    return verified_sample(len(given), kept, wrong, likely, batch=draws), drawn


def _notes(sample: VerifiedSample, left_out: int, classes: Sequence[ClassShare]) -> tuple[str, ...]:
    notes = []
    if left_out:
        notes.append(
            f"{counted(left_out, 'verified row is', 'verified rows are')} left out, because they were not "
            "drawn at random"
        )
    without = classes_without(classes)
    if without:
        some = counted(len(without), "class has", "classes have")
        alone = "it" if len(without) == 1 else "them"
        notes.append(
            f"{some} no verified row, so nothing is known about {alone} alone: {listed(without)}"
        )
    if sample.wrong.all():
        notes.append("every verified label differs from the given one: are these the right rows?")
    elif not sample.wrong.any():
        notes.append(
            "no verified label differs from the given one, so the scores cannot be calibrated: are the given "
            "labels as they were before any correction?"
        )
    return tuple(notes)
