"""How many labels of a data set are wrong: an interval that holds in 95 of 100 samples."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdw.certify.estimates import best
from gdw.certify.sample import VerifiedSample, require_enough
from gdw.certify.verifier_error import NO_ERROR, VerifierError
from gdw.errors import ConfigError, DataError, counted
from gdw.files.representation import ShortRepr

Floats = NDArray[np.float64]

DRAWN = "The verified rows were drawn from all rows at random, with known probabilities."
BLIND = "The scores of the verified rows do not depend on their verified labels."


@dataclass(frozen=True, repr=False)
class Share(ShortRepr):
    """The share of wrong labels of N rows.

    Attributes:
        estimate: from 0 to 1.
        low, high: the limits of the confidence interval.
        confidence: such as 0.95.
        rows: N.
        verified: how many rows were verified.
        wrong: how many of them have a wrong label.
        helped: whether the scores of the other rows made the interval narrower.
        classical: the limits without the scores.
        assumptions: what must hold, as sentences.
    """

    estimate: float
    low: float
    high: float
    confidence: float
    rows: int
    verified: int
    wrong: int
    helped: bool
    classical: tuple[float, float]
    assumptions: tuple[str, ...]

    @property
    def basis(self) -> str:
        """Where the figures come from, as one clause."""
        of_rows = (
            f"{counted(self.verified, 'verified row')}, {self.wrong:,} of them with a wrong label"
        )
        return of_rows + (f", and the scores of all {self.rows:,} rows" if self.helped else "")

    @property
    def sentence(self) -> str:
        """The result in one sentence, with its basis."""
        return (
            f"{self.low:.1%} to {self.high:.1%} of the {self.rows:,} labels are wrong, with "
            f"{self.confidence:.0%} confidence (best guess {self.estimate:.1%}; from {self.basis})"
        )

    def plain(self) -> dict[str, Any]:
        """The attributes and the sentence as plain values, for `audit.json`."""
        return {**asdict(self), "sentence": self.sentence}


def share_wrong(
    sample: VerifiedSample,
    doubt: ArrayLike | None = None,
    *,
    confidence: float = 0.95,
    verifier_error: VerifierError = NO_ERROR,
) -> Share:
    """The share of wrong labels of all N rows, with a confidence interval.

    The interval uses the scores of all rows where they help (`gdw.certify.estimates.assisted`). If all rows
    were equally likely to be drawn, it is never wider than without them. `docs/certificate.md` shows how
    often it contains the truth.

    Args:
        sample: the verified rows, 10 or more.
        doubt: `(N,)`, how likely the label of each row is wrong, from 0 to 1, in the order of the positions
            of the sample; None if there are no scores. They need not be calibrated. The scores of the
            verified rows must be made as those of the others: a model that learned from their verified
            labels knows them better than the other rows, and the interval would be wrong.
        confidence: above 0 and below 1.
        verifier_error: how often the verified labels are wrong.

    Raises:
        ConfigError: the confidence is out of range.
        DataError: there are fewer than 10 verified rows, or the scores are unusable.

    Example:
        >>> import numpy as np
        >>> from gdw.certify import share_wrong, verified_sample
        >>> wrong = np.arange(100) % 10 == 0
        >>> share = share_wrong(verified_sample(5000, np.arange(100), wrong))
        >>> print(share.sentence)
        5.1% to 17.2% of the 5,000 labels are wrong, with 95% confidence (best guess 10.0%; from 100 verified
        rows, 10 of them with a wrong label)
    """
    require_enough(sample)
    require_confidence(confidence)
    return of_sample(
        sample,
        None if doubt is None else checked_scores(doubt, sample.size),
        confidence,
        verifier_error,
    )


def of_sample(
    sample: VerifiedSample,
    doubt: Floats | None,
    confidence: float,
    verifier_error: VerifierError = NO_ERROR,
) -> Share:
    """As `share_wrong`, for any number of verified rows above 0."""
    left = verifier_error.confidence_left(confidence)
    estimate, limits, classical = best(doubt, sample, left)
    low, high = verifier_error.corrected(*limits)
    helped = limits is not classical
    return Share(
        estimate=verifier_error.best_guess(estimate.share),
        low=low,
        high=high,
        confidence=confidence,
        rows=sample.size,
        verified=len(sample),
        wrong=int(sample.wrong.sum()),
        helped=helped,
        classical=verifier_error.corrected(*classical),
        assumptions=assumptions(helped, verifier_error),
    )


def assumptions(helped: bool, verifier_error: VerifierError = NO_ERROR) -> tuple[str, ...]:
    """What must hold, as sentences; `helped` if scores were used."""
    return (DRAWN, verifier_error.assumption, *((BLIND,) if helped else ()))


def checked_scores(doubt: ArrayLike, size: int) -> Floats:
    """The scores `(N,)` as float64; `DataError` if there are not N of them, from 0 to 1."""
    scores = np.asarray(doubt, dtype=np.float64)
    if scores.shape != (size,):
        raise DataError(f"expected a score for each of the {size} rows, found {scores.shape}")
    if not ((scores >= 0) & (scores <= 1)).all():
        raise DataError("scores: expected numbers from 0 (surely right) to 1 (surely wrong)")
    return scores


def require_confidence(confidence: float) -> None:
    """`ConfigError` if a confidence is not between 0 and 1."""
    if not 0 < confidence < 1:
        raise ConfigError(
            f"confidence: expected a number above 0 and below 1, such as 0.95, found {confidence:g}"
        )
