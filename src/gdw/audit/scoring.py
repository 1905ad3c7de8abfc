"""How likely each given label is wrong."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gdw.audit.belief import belief
from gdw.audit.evidence import Evidence


def score(evidence: Evidence) -> NDArray[np.float64]:
    """`(N,)` float64 from 0 to 1, larger for labels more likely to be wrong.

    One less the probability of the given label: its mean over the second half of training, averaged with
    the method's own label posterior where there is one.
    """
    doubt: NDArray[np.float64] = np.clip(1.0 - belief(evidence).given.astype(np.float64), 0.0, 1.0)
    return doubt


def method_of_score(evidence: Evidence) -> str:
    """The score in a sentence, for `audit.json`."""
    seen = "the mean probability of the given label over the second half of training"
    if evidence.posterior_given is None:
        return f"one less {seen}"
    return f"one less the average of {seen} and its probability under the method's label posterior"
