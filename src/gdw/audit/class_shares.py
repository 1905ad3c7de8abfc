"""The estimated share of wrong labels of each class, in agreement with a certificate if there is one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gdw.audit.evidence import Evidence, Floats
from gdw.audit.matrix import Cells

if TYPE_CHECKING:
    import pandas as pd

_FARTHEST = 60.0
_SURE = 1e-9


def shares_of_audit(
    evidence: Evidence, cells: Cells, frame: pd.DataFrame
) -> tuple[float | None, Floats]:
    """The share of wrong labels among the training examples by a certificate, and among those of each label.

    The noise matrix tells how the classes differ. How many labels are wrong in all is certified by verified
    rows, so the shares of the classes are moved until they agree with it.

    Args:
        evidence: of N training examples and C classes.
        cells: the noise matrix.
        frame: the list of issues. With a certificate it has the column `probability_wrong`.

    Returns:
        The share; None without a certificate. `(C,)`, the shares of the labels.
    """
    by_label = cells.wrong_share_by_label()
    if "probability_wrong" not in frame or not len(frame):
        return None, by_label
    certified = float(frame["probability_wrong"].mean())
    examples = np.bincount(evidence.given, minlength=evidence.num_classes)
    return certified, moved(by_label, examples, certified)


def moved(shares: Floats, weights: NDArray[np.int64], mean: float) -> Floats:
    """Shares whose odds are all multiplied by one number, so that they have a given mean.

    Args:
        shares: `(C,)`, from 0 to 1.
        weights: `(C,)`, of the mean.
        mean: from 0 to 1.

    Returns:
        `(C,)`, from 0 to 1.
    """
    from scipy.optimize import brentq
    from scipy.special import expit, logit

    odds = logit(np.clip(shares, _SURE, 1 - _SURE))
    wanted = min(max(mean, _SURE), 1 - _SURE)
    by = brentq(
        lambda step: float(np.average(expit(odds + step), weights=weights)) - wanted,
        -_FARTHEST,
        _FARTHEST,
    )
    result: Floats = expit(odds + by)
    return result
