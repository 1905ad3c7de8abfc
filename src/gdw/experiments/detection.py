"""Which labels a run finds doubtful, and how well that finds the wrong ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gdw.audit.evidence import Evidence
from gdw.audit.scoring import score
from gdw.data.source import Source


def detection_score(evidence: Evidence, method: str) -> NDArray[np.float64]:
    """`(N,)`, higher where the given label is doubtful: the audit's score, see `docs/audit.md`.

    For `cleanlab` it is cleanlab's own by default: one less the out-of-fold probability of the label.
    """
    if method == "cleanlab" and evidence.posterior_given is not None:
        return 1.0 - evidence.posterior_given.astype(np.float64)
    return score(evidence)


def wrong_labels(
    source: Source, *, truth: str | None, label: str, noisy: bool
) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | None:
    """The positions in `source` whose true label is known, and for each whether the given one is wrong.

    The truth is the column `truth`, else the label column itself if noise was added to it; None if neither
    says anything. A position whose truth is empty is left out.
    """
    column = truth if truth is not None else label if noisy else None
    if column is None:
        return None
    assert source.labels is not None, "loaded with a label column"
    written = source.column(column)
    known = np.flatnonzero([value is not None and str(value).strip() != "" for value in written])
    part = source.select(known)
    assert part.labels is not None
    true = part.codes(column, source.label_names, names_declared=source.names_declared)
    return known, part.labels != true


def auroc(wrong: NDArray[np.bool_], scores: NDArray[np.float64]) -> float | None:
    """How often a wrong label scores above a right one; None where there is only one kind."""
    if wrong.all() or not wrong.any():
        return None
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(wrong, scores))


def average_precision(wrong: NDArray[np.bool_], scores: NDArray[np.float64]) -> float | None:
    """The area under precision over recall of the wrong labels; None where there is only one kind."""
    if wrong.all() or not wrong.any():
        return None
    from sklearn.metrics import average_precision_score

    return float(average_precision_score(wrong, scores))
