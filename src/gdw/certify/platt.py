"""Scores made into probabilities by a logistic curve (Platt, 1999), fitted to the verified rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_PENALTY = np.array([1e-6, 0.5])
"""Of the squares of intercept and slope, twice. It keeps them finite where scores separate the outcomes."""
_STEPS, _LONGEST, _CONVERGED = 100, 3.0, 1e-9
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
        z = (odds[rows] - odds.mean()) / scale
        design = np.stack([np.ones(len(z)), z], axis=1)
        intercept, slope = _newton(design, wrong, weight / weight.mean())
        return cls(float(odds.mean()), scale, intercept, slope)

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
        information, hessian = _hessian(design, p, weight)
        leverage = information * np.einsum("ij,jk,ik->i", design, np.linalg.inv(hessian), design)
        residual: Floats = (wrong - p) / (1 - np.minimum(leverage, _LARGEST_LEVERAGE))
        return residual

    def _standardised(self, doubt: Floats) -> Floats:
        return (_log_odds(doubt) - self.centre) / self.scale


def _log_odds(doubt: Floats) -> Floats:
    p = np.clip(doubt, _LEAST, 1 - _LEAST)
    odds: Floats = np.log(p / (1 - p))
    return odds


def _newton(design: Floats, wrong: NDArray[np.bool_], weight: Floats) -> tuple[float, float]:
    """The coefficients of logistic regression with a ridge penalty, by Newton's method with bounded steps.

    Two coefficients are found in a tenth of the time of a general solver, and a decision needs many fits.
    """
    from scipy.special import expit

    found = np.zeros(2)
    for _ in range(_STEPS):
        p = expit(design @ found)
        _, hessian = _hessian(design, p, weight)
        step = np.linalg.solve(hessian, design.T @ (weight * (wrong - p)) - _PENALTY * found)
        found += step * min(1.0, _LONGEST / max(_CONVERGED, float(np.abs(step).max())))
        if np.abs(step).max() < _CONVERGED:
            break
    return float(found[0]), float(found[1])


def _hessian(design: Floats, p: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """The information of each row `(m,)`, and the second derivative `(2, 2)` of the penalised loss."""
    information = weight * p * (1 - p)
    return information, (design * information[:, None]).T @ design + np.diag(_PENALTY)
