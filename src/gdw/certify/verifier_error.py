"""Verifiers who are wrong now and then: what the share of wrong labels is then (Rogan and Gladen, 1978)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gdw.certify.bounds import share_interval
from gdw.errors import ConfigError

RIGHT = "The people who verified are always right."


@dataclass(frozen=True)
class VerifierError:
    """How often a verified label is wrong.

    Attributes:
        low, high: limits of the rate.
        confidence: that the rate is within them; 1 if it is known.
    """

    low: float
    high: float
    confidence: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high < 0.5:
            raise ConfigError(
                f"the error rate of verifiers: expected a share from 0 to below 0.5, found {self.high:g}"
            )

    def corrected(self, low: float, high: float) -> tuple[float, float]:
        """The limits of the share of wrong labels, from those of the share that verifiers call wrong.

        A verifier who errs calls a right label wrong. Of the wrong labels, some are taken for right: from
        none of them, because the wrong answer is another one than the given label, to as many as the rate.
        """
        least = (low - self.high) / (1 - self.high)
        most = (high - self.low) / (1 - self.low - self.high)
        return float(np.clip(least, 0, 1)), float(np.clip(most, 0, 1))

    def best_guess(self, share: float) -> float:
        """The share of wrong labels, about, from the share that verifiers call wrong."""
        return float(np.mean(self.corrected(share, share)))

    def shown(self, target: float) -> float:
        """The share that verifiers call wrong, at least, if more than the share `target` is wrong."""
        return target * (1 - self.high)

    def confidence_left(self, confidence: float) -> float:
        """The confidence of the sampling, so that the rate and the sampling have `confidence` together.

        Raises:
            ConfigError: the rate is less certain than that.
        """
        if self.confidence < 1 and self.confidence <= confidence:
            raise ConfigError(
                f"the error rate of verifiers has a confidence of {self.confidence:g}: expected more than "
                f"the {confidence:g} of the certificate"
            )
        return confidence + (1 - self.confidence)

    @property
    def assumption(self) -> str:
        """The sentence about verifiers that belongs to the figures."""
        if self.high <= 0:
            return RIGHT
        rate = f"{self.low:.1%} to {self.high:.1%}"
        if self.low in (0, self.high):
            rate = f"{'' if self.low else 'at most '}{self.high:.1%}"
        return (
            f"The people who verified are wrong in {rate} of the rows, of those with a right label and of "
            "those with a wrong one, in each row by itself."
        )


NO_ERROR = VerifierError(0.0, 0.0)


def known_rate(rate: float) -> VerifierError:
    """Verifiers who are wrong in the share `rate` of the rows; `ConfigError` if it is not below a half."""
    return VerifierError(rate, rate)


def as_verifier_error(rate: float | VerifierError) -> VerifierError:
    """A number as verifiers who are wrong in at most this share of the rows.

    >>> as_verifier_error(0.02)
    VerifierError(low=0.0, high=0.02, confidence=1.0)
    """
    return rate if isinstance(rate, VerifierError) else VerifierError(0.0, float(rate))


def rate_of_two(rows: int, differ: int, confidence: float = 0.975) -> VerifierError:
    """The error rate of one annotator, from `rows` that two have answered independently.

    If both err alike and independently in the share e of the rows, they differ in 2 e (1 − e) of them, and
    in up to e² more where both are wrong and say different classes. Errors that both make cannot be seen.

    >>> rate_of_two(200, 12)
    VerifierError(low=0.0147, high=0.0569, confidence=0.975)

    Args:
        rows: the number of rows with two answers.
        differ: how many of them have different ones.
        confidence: of the limits.

    Raises:
        ConfigError: there is no such row, or the two differ in half of them or more.
    """
    if not 0 <= differ <= rows or rows < 1:
        raise ConfigError(
            f"two annotators: expected one or more rows, found {rows}, of which {differ} differ"
        )
    low, high = share_interval(differ / rows, rows, confidence)
    if high >= 0.5:
        raise ConfigError(
            f"two annotators differ in {differ} of {rows} rows, too often to say how often one is wrong: let "
            "both answer more rows"
        )
    # d = 2e − e² at least, and 2e (1 − e) at most where both errors agree.
    least, most = 1 - np.sqrt(1 - low), (1 - np.sqrt(1 - 2 * high)) / 2
    return VerifierError(round(float(least), 4), round(float(most), 4), confidence)
