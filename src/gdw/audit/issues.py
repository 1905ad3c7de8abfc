"""The table of label issues: one row a training example, most suspicious first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gdw.audit.belief import belief
from gdw.audit.evidence import Evidence, Floats, Ints
from gdw.audit.scoring import score
from gdw.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "index",
    "where",
    "given_label",
    "suggested_label",
    "suggested_probability",
    "score",
    "is_label_issue",
    "label_quality",
    "predicted_label",
    "weight",
)
THRESHOLD = 0.5

Where = Callable[[int], str]
"""The place of a training example, by its position, in words."""


def label_issues(
    evidence: Evidence,
    label_names: Sequence[str],
    *,
    where: Where | None = None,
    threshold: float = THRESHOLD,
) -> pd.DataFrame:
    """A data frame of N rows with the columns of `label_issues.csv`, most suspicious first.

    Args:
        evidence: of N examples and C classes.
        label_names: C names.
        where: in words where an example is; "example 17" by default.
        threshold: an issue has a score above it and a suggestion other than the given label.

    Returns:
        `index` (position in the training rows), `where`, `given_label`, `suggested_label` (the likeliest
        class, which may be the given one), `suggested_probability`, `score`, `is_label_issue`,
        `label_quality` (1 - score), `predicted_label` (the suggestion, by cleanlab's name), `weight` (mean
        class-level weight of the given label).

    Raises:
        ConfigError: another number of names, or a threshold outside 0 to 1.
    """
    if len(label_names) != evidence.num_classes:
        raise ConfigError(
            f"expected {evidence.num_classes} label names, one a class, found {len(label_names)}"
        )
    if not 0 <= threshold <= 1:
        raise ConfigError(f"threshold must be from 0 to 1, found {threshold:g}")
    found = belief(evidence)
    doubt, suggested = score(evidence), found.classes[:, 0]
    return issue_frame(
        evidence,
        label_names,
        suggested=suggested,
        probability=found.probabilities[:, 0],
        doubt=doubt,
        wrong=(doubt > threshold) & (suggested != evidence.given),
        where=where,
    )


def issue_frame(
    evidence: Evidence,
    label_names: Sequence[str],
    *,
    suggested: Ints,
    probability: Floats,
    doubt: Floats,
    wrong: np.typing.NDArray[np.bool_],
    where: Where | None,
) -> pd.DataFrame:
    """The table of `label_issues` from what was found about each example, all `(N,)` in their order."""
    import pandas as pd

    order = np.argsort(-doubt, kind="stable")
    names = np.array(list(label_names), dtype=object)
    place = where or "example {}".format
    frame: pd.DataFrame = pd.DataFrame(
        {
            "index": order,
            "where": [place(i) for i in order.tolist()],
            "given_label": names[evidence.given[order]],
            "suggested_label": names[suggested[order]],
            "suggested_probability": probability[order].astype(np.float64),
            "score": doubt[order],
            "is_label_issue": wrong[order],
            "label_quality": 1.0 - doubt[order],
            "predicted_label": names[suggested[order]],
            "weight": evidence.weight_given[order].astype(np.float64),
        },
        columns=list(COLUMNS),
    )
    return frame
