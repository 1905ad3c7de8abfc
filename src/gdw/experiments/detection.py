"""How well the scores of a run tell wrong labels from right ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gdw.audit.evidence import Evidence
from gdw.audit.issues import score
from gdw.data.source import Source


def detection_score(evidence: Evidence, method: str) -> NDArray[np.float64]:
    """The score `(N,)` of each example, higher where the given label is doubtful.

    It is the score of the audit (`docs/audit.md`). For the method `cleanlab` it is cleanlab's default: one
    minus the out-of-fold probability of the given label.
    """
    if method == "cleanlab" and evidence.posterior_given is not None:
        return 1.0 - evidence.posterior_given.astype(np.float64)
    return score(evidence)


def true_labels(
    source: Source, *, truth: str | None, label: str, noisy: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """The true labels, where they are known.

    Args:
        source: the training examples with their given labels.
        truth: the column with the true labels; None if there is none. Its empty values are unknown labels.
        label: the label column, which has the true labels if noise was added to them.
        noisy: whether noise was added.

    Returns:
        The positions of the examples `(K,)`, and the true class of each `(K,)`. None if the true labels are
        unknown.
    """
    column = truth if truth is not None else label if noisy else None
    if column is None:
        return None
    values = source.column(column)
    known = np.flatnonzero([value is not None and str(value).strip() != "" for value in values])
    examples = source.select(known)
    true = examples.codes(column, source.label_names, names_declared=source.names_declared)
    return known, true


def wrong_labels(
    source: Source, *, truth: str | None, label: str, noisy: bool
) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | None:
    """The positions `(K,)` of the examples whose true label is known, and whether the given one is wrong.

    For the arguments see `true_labels`.
    """
    found = true_labels(source, truth=truth, label=label, noisy=noisy)
    if found is None:
        return None
    known, true = found
    return known, source.select(known).known_labels != true


def auroc(wrong: NDArray[np.bool_], scores: NDArray[np.float64]) -> float | None:
    """How often a wrong label has a higher score than a right one; None if all are wrong or all right."""
    if wrong.all() or not wrong.any():
        return None
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(wrong, scores))


def average_precision(wrong: NDArray[np.bool_], scores: NDArray[np.float64]) -> float | None:
    """The area under the precision-recall curve of the wrong labels; None if all are wrong or all right."""
    if wrong.all() or not wrong.any():
        return None
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(wrong, scores))
