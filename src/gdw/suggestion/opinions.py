"""What a model thinks of the labels of examples: their likely classes, and which labels are in doubt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.files.representation import ShortRepr

TOP = 9
"""How many classes are kept for each example."""

_RIGHT = 0.1

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False, repr=False)
class Opinions(ShortRepr):
    """Of N examples and C classes; K is `min(C, 9)` or less.

    Attributes:
        given: int64 `(N,)`, their labels.
        num_classes: C.
        classes: int64 `(N, K)`, the most probable classes of each example by models that did not learn from
            its label, most probable first.
        probabilities: float32 `(N, K)`, their probabilities.
        of_given: float32 `(N,)`, the probability of the given label.
        likely: int64 `(N,)`, the class that is most likely if the given label is known too.
        doubt: float32 `(N,)`, from 0 to 1: 1 if the given label and another class are equally likely, 0 if
            the label is surely right, or surely wrong.
        wrong: float32 `(N,)`, how likely the given label is wrong, if it is known which labels are confused
            with which.
    """

    given: NDArray[np.int64]
    num_classes: int
    classes: NDArray[np.int64]
    probabilities: Floats
    of_given: Floats
    likely: NDArray[np.int64]
    doubt: Floats
    wrong: Floats

    def __len__(self) -> int:
        return len(self.given)

    @property
    def strata(self) -> NDArray[np.int64]:
        """int64 `(N,)`, the likely class of each example, so that each class that is a label has some.

        A class that no example is likely to have gets the examples with this label.
        """
        count = np.bincount(self.likely, minlength=self.num_classes)
        missing = count[self.given] == 0
        return np.where(missing, self.given, self.likely)


def opinions(
    given: NDArray[np.int64],
    num_classes: int,
    classes: NDArray[np.int64],
    probabilities: Floats,
    of_given: Floats,
) -> Opinions:
    """Combine the predictions with the given labels; arguments as the attributes of `Opinions`.

    The probability of class k becomes `p(k|x) · T(given|k)`, where T is counted from the predictions.
    """
    # The given label is a candidate too, in the last column.
    known = (classes == given[:, None]).any(1)
    candidates = np.concatenate([classes, given[:, None]], axis=1)
    p = np.concatenate([probabilities, np.where(known, 0.0, of_given)[:, None]], axis=1)
    joint = p * _noise(candidates, p, given, num_classes)
    best = joint.argmax(1)
    rows = np.arange(len(given))
    total = joint.sum(1)
    of_label = (joint * (candidates == given[:, None])).sum(1)
    other = np.where(candidates == given[:, None], 0.0, joint).max(1)
    scale = np.where(total > 0, total, 1.0)
    gap = np.abs(of_label - other) / scale
    likely = np.where(total > 0, candidates[rows, best], given)
    return Opinions(
        given,
        num_classes,
        classes,
        probabilities.astype(np.float32),
        of_given.astype(np.float32),
        likely.astype(np.int64),
        (1.0 - np.clip(gap, 0.0, 1.0)).astype(np.float32),
        np.where(total > 0, 1.0 - of_label / scale, 0.0).clip(0.0, 1.0).astype(np.float32),
    )


def _noise(
    candidates: NDArray[np.int64], p: Floats, given: NDArray[np.int64], num_classes: int
) -> Floats:
    """`T(given|k)` of each candidate class k, `(N, K)`.

    It is counted by the probabilities of the classes. A tenth more examples of each class have the right
    label: where the models know nothing, the given label is the likely class.
    """
    from scipy.sparse import coo_matrix, eye

    width = candidates.shape[1]
    labels = np.repeat(given, width)
    shape = (num_classes, num_classes)
    counts = coo_matrix((p.ravel().astype(np.float64), (candidates.ravel(), labels)), shape=shape)
    right = max(1.0, _RIGHT * len(given) / num_classes)
    joint = (counts.tocsr() + right * eye(num_classes, format="csr")).tocsr()
    of_class = np.asarray(joint.sum(1)).ravel()
    found = np.asarray(joint[candidates.ravel(), labels]).reshape(candidates.shape)
    shares: Floats = found / of_class[candidates]
    return shares
