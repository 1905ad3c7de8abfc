"""Scores made into probabilities by a logistic curve (Platt, 1999), fitted to the verified rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_STRENGTH = 2.0
"""scikit-learn's `C`. It keeps the slope finite where the scores separate the outcomes."""
_LEAST = 1e-3
_LARGEST_LEVERAGE = 0.95


@dataclass(frozen=True)
class Platt:
    """`P(wrong) = 1 / (1 + exp(−(intercept + slope · z)))`, z the standardised log-odds of the score.

    Attributes:
        centre, scale: of the log-odds.
        intercept, slope: of the curve.
    """

    centre: float
    scale: float
    intercept: float
    slope: float

    @classmethod
    def fit(
        cls, doubt: Floats, rows: NDArray[np.int64], wrong: NDArray[np.bool_], weight: Floats
    ) -> Platt | None:
        """Fit to verified rows.

        Args:
            doubt: `(N,)`, the scores of all rows, from 0 to 1.
            rows: `(m,)`, the verified ones.
            wrong: `(m,)`, their outcomes.
            weight: `(m,)`, how much each counts.

        Returns:
            None if the outcomes, or the scores, are all the same.
        """
        odds = _log_odds(doubt)
        scale = float(odds.std())
        if scale < _LEAST or wrong.all() or not wrong.any():
            return None
        from sklearn.linear_model import LogisticRegression

        centre = float(odds.mean())
        z = (odds[rows] - centre) / scale
        model = LogisticRegression(C=_STRENGTH).fit(z[:, None], wrong, weight / weight.mean())
        return cls(centre, scale, float(model.intercept_[0]), float(model.coef_[0, 0]))

    def __call__(self, doubt: Floats) -> Floats:
        """The probability of each score, in the shape of `doubt`."""
        from scipy.special import expit

        probability: Floats = expit(self.intercept + self.slope * self._standardised(doubt))
        return probability

    def leave_one_out(self, doubt: Floats, wrong: NDArray[np.bool_], weight: Floats) -> Floats:
        """How far each outcome is from the curve that is fitted without it, `(m,)`.

        One step of Newton's method, which is exact for linear regression.
        """
        p, weight = self(doubt), weight / weight.mean()
        design = np.stack([np.ones(len(p)), self._standardised(doubt)], axis=1)
        information = weight * p * (1 - p) + np.finfo(np.float64).eps
        hessian = (design * information[:, None]).T @ design + np.diag([1e-6, 1 / _STRENGTH])
        leverage = information * np.einsum("ij,jk,ik->i", design, np.linalg.inv(hessian), design)
        residual: Floats = (wrong - p) / (1 - np.minimum(leverage, _LARGEST_LEVERAGE))
        return residual

    def _standardised(self, doubt: Floats) -> Floats:
        return (_log_odds(doubt) - self.centre) / self.scale


def _log_odds(doubt: Floats) -> Floats:
    p = np.clip(doubt, _LEAST, 1 - _LEAST)
    odds: Floats = np.log(p / (1 - p))
    return odds
