"""How unlike all other examples each one is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

_FENCE = 1.5


def outlier_scores(similarity: NDArray[Any], k: int) -> NDArray[np.float64]:
    """From the similarities of each example with its nearest neighbours to a score from 0 to 1.

    The distance d of an example is 1 minus the mean similarity. With the quartiles of all distances, the
    score is 1 - 2^-x with x = (d - median) / (fence - median), and 0 up to the median. The fence is the
    upper quartile plus 1.5 times the distance between the quartiles, beyond which values are "outside"
    (Tukey, 1977): there the score is 0.5.

    Args:
        similarity: `(N, K)`, of the K nearest neighbours; below -0.999 where there are fewer.
        k: an example with fewer neighbours than this gets 0, because nothing is known.

    Returns:
        float64 `(N,)`.
    """
    known = similarity > -0.999
    counted = known.sum(1)
    mean = np.where(known, similarity, 0).sum(1) / np.maximum(counted, 1)
    enough = counted >= k
    scores = np.zeros(len(similarity))
    if not enough.any():
        return scores
    distance = 1.0 - mean[enough].astype(np.float64)
    lower, median, upper = np.quantile(distance, (0.25, 0.5, 0.75))
    fence = upper + _FENCE * (upper - lower)
    if fence > median:
        scores[enough] = 1.0 - 2.0 ** -np.maximum((distance - median) / (fence - median), 0)
    return scores
