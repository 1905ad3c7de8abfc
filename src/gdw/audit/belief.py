"""What the evidence says of each example's true class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gdw.audit.evidence import Evidence, Floats, Ints

_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True, eq=False)
class Belief:
    """Probabilities of the true class of N examples.

    Attributes:
        classes, probabilities: `(N, K)`, the likeliest classes, likeliest first.
        given: `(N,)`, the probability of the given label.
    """

    classes: Ints
    probabilities: Floats
    given: Floats


def belief(evidence: Evidence) -> Belief:
    """The mean prediction of training; with labels that the method prepared, the average of the two."""
    given = evidence.p_given
    if evidence.posterior_given is not None:
        given = (given + evidence.posterior_given) / 2
    classes, probabilities = [], []
    for start in range(0, len(evidence), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        found, p = _averaged(evidence, part)
        # Of the given label the whole sum is known, of another perhaps not what it had in the tail.
        p = np.where(found == evidence.given[part, None], given[part, None], p)
        order = np.argsort(-p, axis=1, kind="stable")[:, : evidence.top_classes.shape[1]]
        classes.append(np.take_along_axis(found, order, 1))
        probabilities.append(np.take_along_axis(p, order, 1))
    return Belief(np.concatenate(classes), np.concatenate(probabilities), given)


def _averaged(evidence: Evidence, part: slice) -> tuple[Ints, Floats]:
    classes, p = evidence.top_classes[part], evidence.top_probabilities[part]
    if evidence.posterior_classes is None or evidence.posterior_probabilities is None:
        return classes, p
    others, q = evidence.posterior_classes[part], evidence.posterior_probabilities[part]
    same = classes[:, :, None] == others[:, None, :]
    p = p + (same * q[:, None, :]).sum(2)
    # A class of both counts once: its second mention comes last.
    again = same.any(1)
    others, q = np.where(again, -1, others), np.where(again, -1.0, q)
    return np.concatenate([classes, others], 1), np.concatenate([p, q], 1) / 2
