"""How likely each given label is wrong, and the table of label issues."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gdw.audit.evidence import Evidence, Floats, Ints
from gdw.errors import ConfigError

if TYPE_CHECKING:
    import pandas as pd

REMOVED = "remove"
"""A further column of a list that a person has decided on: whether the example is to be left out."""
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
PROBLEM_COLUMNS = (
    "near_duplicate_of",
    "duplicate_labels_differ",
    "outlier_score",
    "is_outlier",
    "image_problem",
)
"""The columns of `label_issues.csv` about the examples themselves."""
THRESHOLD = 0.5

Where = Callable[[int], str]
"""From the position of a training example to its place in words."""

_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True, eq=False)
class TrueClassProbabilities:
    """Estimated probabilities of the true class of N examples.

    Attributes:
        classes: `(N, K)`, the most probable classes, most probable first.
        probabilities: `(N, K)`, their probabilities.
        of_given: `(N,)`, the probability of the given label.
    """

    classes: Ints
    probabilities: Floats
    of_given: Floats


def true_class_probabilities(evidence: Evidence) -> TrueClassProbabilities:
    """The mean prediction of training, averaged with the label posterior if the method prepared one."""
    of_given = evidence.p_given
    if evidence.posterior_given is not None:
        of_given = (of_given + evidence.posterior_given) / 2
    top_classes, top_probabilities = [], []
    for start in range(0, len(evidence), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        classes, p = _averaged(evidence, part)
        # For the given label the exact mean is known. For another class one of the two terms may be missing.
        p = np.where(classes == evidence.given[part, None], of_given[part, None], p)
        order = np.argsort(-p, axis=1, kind="stable")[:, : evidence.top_classes.shape[1]]
        top_classes.append(np.take_along_axis(classes, order, 1))
        top_probabilities.append(np.take_along_axis(p, order, 1))
    return TrueClassProbabilities(
        np.concatenate(top_classes), np.concatenate(top_probabilities), of_given
    )


def _averaged(evidence: Evidence, part: slice) -> tuple[Ints, Floats]:
    """Classes and mean probabilities of the examples in `part`, each class once."""
    classes, p = evidence.top_classes[part], evidence.top_probabilities[part]
    if evidence.posterior_classes is None or evidence.posterior_probabilities is None:
        return classes, p
    others, q = evidence.posterior_classes[part], evidence.posterior_probabilities[part]
    same = classes[:, :, None] == others[:, None, :]
    p = p + (same * q[:, None, :]).sum(2)
    # The probability of a class in both lists was added above: its second entry must come last.
    repeated = same.any(1)
    others, q = np.where(repeated, -1, others), np.where(repeated, -1.0, q)
    return np.concatenate([classes, others], 1), np.concatenate([p, q], 1) / 2


def score(evidence: Evidence) -> NDArray[np.float64]:
    """How likely each given label is wrong: 1 minus the estimated probability of the given label.

    The probability is the mean of the model's predictions over the second half of training. If the method
    prepared a label posterior, it is the average of this mean and the posterior probability.

    Args:
        evidence: of N examples.

    Returns:
        float64 `(N,)`, from 0 (surely right) to 1 (surely wrong).

    Example:
        >>> import numpy as np
        >>> from gdw.audit import Evidence, score
        >>> p = np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]], dtype=np.float32)
        >>> given, ones = np.array([0, 0, 1]), np.ones(3, dtype=np.float32)
        >>> top = np.argsort(-p, axis=1)
        >>> evidence = Evidence(
        ...     num_classes=2, given=given, p_given=p[range(3), given], top_classes=top,
        ...     top_probabilities=np.take_along_axis(p, top, 1), weight_given=ones, weight_top=ones,
        ...     visits=np.ones(3, dtype=np.int32))
        >>> score(evidence).round(2)
        array([0.1, 0.8, 0.1])
    """
    of_given = true_class_probabilities(evidence).of_given
    return _score(of_given)


def _score(of_given: Floats) -> NDArray[np.float64]:
    doubt: NDArray[np.float64] = np.clip(1.0 - of_given.astype(np.float64), 0.0, 1.0)
    return doubt


def method_of_score(evidence: Evidence) -> str:
    """How `score` was computed, in one sentence, for `audit.json`."""
    mean = "the mean predicted probability of the given label over the second half of training"
    if evidence.posterior_given is None:
        return f"1 minus {mean}"
    return f"1 minus the average of {mean} and its probability in the method's label posterior"


def label_issues(
    evidence: Evidence,
    label_names: Sequence[str],
    *,
    where: Where | None = None,
    threshold: float = THRESHOLD,
) -> pd.DataFrame:
    """Rank all training examples by how likely their label is wrong.

    Args:
        evidence: of N examples and C classes, from `Recorder.evidence` or `Evidence.load`.
        label_names: the names of the C classes.
        where: from the position of an example to its place in words; by default "row 17".
        threshold: an example is a label issue if its score is above it and the suggested label differs
            from the given one.

    Returns:
        A data frame of N rows, most suspicious first, with the columns of `label_issues.csv`: `index`
        (the row in what the user gave, from 0: see `Evidence.numbers`), `where`, `given_label`,
        `suggested_label` (the most probable class, which may be the given one), `suggested_probability`,
        `score`, `is_label_issue`, `label_quality` (1 - score), `predicted_label` (the suggestion under
        cleanlab's name) and `weight` (the mean class-level weight of the given label).

    Raises:
        ConfigError: the number of names is not C, or the threshold is not between 0 and 1.

    Example:
        >>> import numpy as np
        >>> from gdw.audit import Evidence, label_issues
        >>> p = np.array([[0.9, 0.1], [0.2, 0.8], [0.1, 0.9]], dtype=np.float32)
        >>> given, ones = np.array([0, 0, 1]), np.ones(3, dtype=np.float32)
        >>> top = np.argsort(-p, axis=1)
        >>> evidence = Evidence(
        ...     num_classes=2, given=given, p_given=p[range(3), given], top_classes=top,
        ...     top_probabilities=np.take_along_axis(p, top, 1), weight_given=ones, weight_top=ones,
        ...     visits=np.ones(3, dtype=np.int32))
        >>> table = label_issues(evidence, ["cat", "dog"])
        >>> table[["given_label", "suggested_label"]].iloc[0].tolist()
        ['cat', 'dog']
    """
    if len(label_names) != evidence.num_classes:
        raise ConfigError(
            f"expected {evidence.num_classes} label names, one per class, found {len(label_names)}"
        )
    if not 0 <= threshold <= 1:
        raise ConfigError(f"threshold must be from 0 to 1, found {threshold:g}")
    probabilities = true_class_probabilities(evidence)
    doubt, suggested = _score(probabilities.of_given), probabilities.classes[:, 0]
    return issue_frame(
        evidence,
        label_names,
        suggested=suggested,
        probability=probabilities.probabilities[:, 0],
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
    wrong: NDArray[np.bool_],
    removed: NDArray[np.bool_] | None = None,
    where: Where | None,
) -> pd.DataFrame:
    """The table of `label_issues` from arrays `(N,)` in the order of the training examples.

    Args:
        evidence: of N examples.
        label_names: the names of the classes.
        suggested: the class of each suggestion.
        probability: its probability.
        doubt: the score, 0 to 1.
        wrong: whether the example is a label issue.
        removed: whether a person has decided to leave it out: the column `remove`, if given.
        where: as for `label_issues`.
    """
    import pandas as pd

    order = np.argsort(-doubt, kind="stable")
    names = np.array(list(label_names), dtype=object)
    numbers = evidence.numbers
    place = where or (lambda i: f"row {numbers[i]}")
    frame: pd.DataFrame = pd.DataFrame(
        {
            "index": numbers[order],
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
    if removed is not None:
        frame[REMOVED] = removed[order]
    return frame


def in_order_of_training(
    evidence: Evidence, frame: pd.DataFrame, column: pd.Series[Any], dtype: Any
) -> NDArray[Any]:
    """The values `(N,)` of a column of `frame`, a table of `label_issues`, in the order of the examples."""
    ordered = np.empty(len(frame), dtype=dtype)
    ordered[evidence.positions(frame["index"].to_numpy())] = column.to_numpy()
    return ordered
