"""The rows of a data set that a person has verified, with the probability that each one was drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdw.errors import DataError
from gdw.files.representation import ShortRepr

Floats = NDArray[np.float64]

_ROUNDING = 1e-9
FEWEST = 10
"""With fewer verified rows there is no certificate."""


@dataclass(frozen=True, eq=False, repr=False)
class VerifiedSample(ShortRepr):
    """m of N rows, drawn at random and verified.

    Attributes:
        size: N.
        rows: int64 `(m,)`, the positions of the verified rows, from 0 to N - 1.
        wrong: bool `(m,)`, whether the given label of each is wrong.
        probability: float64 `(m,)`, how likely each row was to be drawn.
    """

    size: int
    rows: NDArray[np.int64]
    wrong: NDArray[np.bool_]
    probability: Floats

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def equal(self) -> bool:
        """Whether all rows were equally likely to be drawn."""
        return len(self) == 0 or bool(np.ptp(self.probability) <= _ROUNDING)

    def within(self, part: NDArray[np.bool_]) -> VerifiedSample:
        """The sample of the rows in `part` `(N,)` alone; positions count the rows of the part.

        If all rows were equally likely, so are those of the part, whatever their number is.
        """
        position = np.cumsum(part) - 1
        inside = part[self.rows]
        rows, size = position[self.rows[inside]], int(part.sum())
        probability = self.probability[inside]
        if self.equal and len(rows):
            probability = np.full(len(rows), len(rows) / size)
        return VerifiedSample(size, rows, self.wrong[inside], probability)

    def with_outcome(self, wrong: NDArray[np.bool_]) -> VerifiedSample:
        """The same rows with another outcome `(m,)`."""
        return VerifiedSample(self.size, self.rows, wrong, self.probability)


def verified_sample(
    size: int,
    rows: ArrayLike,
    wrong: ArrayLike,
    probability: ArrayLike | None = None,
    *,
    batch: ArrayLike | None = None,
) -> VerifiedSample:
    """The sample of m verified rows of N, checked.

    >>> verified_sample(1000, [3, 7], [True, False])
    VerifiedSample(size=1000, rows=int64 (2,), wrong=bool (2,), probability=float64 (2,))

    Args:
        size: N, the number of all rows, verified or not.
        rows: `(m,)`, the positions of the verified rows, from 0.
        wrong: `(m,)`, whether the given label of each is wrong.
        probability: `(m,)`, how likely each row was to be drawn; by default all rows were equally likely.
            Rows that were drawn and not answered may be missing, if that does not depend on their labels.
        batch: `(m,)`, numbers that say in which of several draws each row came, in their order. The
            probability of a row is then that in its own draw, among the rows that were left.

    Raises:
        DataError: shapes differ, a row is unknown or verified twice, or a probability is missing, not above
            0, or above 1.
    """
    positions = np.asarray(rows, dtype=np.int64).ravel()
    outcome = np.asarray(wrong).ravel().astype(bool)
    if len(outcome) != len(positions):
        raise DataError(
            f"expected one outcome for each of the {len(positions)} verified rows, found {len(outcome)}"
        )
    _check_rows(positions, size)
    if probability is None:
        drawn = np.full(len(positions), len(positions) / max(1, size))
    else:
        drawn = _checked_probability(np.asarray(probability, dtype=np.float64).ravel(), positions)
        draw = np.zeros(len(drawn)) if batch is None else np.asarray(batch).ravel()
        if len(draw) != len(drawn):
            raise DataError(
                f"expected a batch for each of the {len(drawn)} verified rows, found {len(draw)}"
            )
        drawn = _pooled(drawn, draw, size)
    return VerifiedSample(int(size), positions, outcome, drawn)


def require_enough(sample: VerifiedSample) -> None:
    """`DataError` if a sample has too few rows for a certificate."""
    if len(sample) < FEWEST:
        rows = "none" if not len(sample) else f"{len(sample)}"
        raise DataError(
            f"a certificate needs {FEWEST} or more verified rows that were drawn from the data at random and "
            f"whose given label is known, found {rows}: verify 60 random rows (gdw suggest --strategy random)"
        )


def _check_rows(rows: NDArray[np.int64], size: int) -> None:
    outside = rows[(rows < 0) | (rows >= size)]
    if len(outside):
        raise DataError(
            f"verified rows: expected positions from 0 to {size - 1}, found {outside[0]}"
        )
    values, count = np.unique(rows, return_counts=True)
    if (count > 1).any():
        raise DataError(
            f"row {values[count > 1][0]} is verified {count.max()} times: keep one answer for each row"
        )


def _checked_probability(probability: Floats, rows: NDArray[Any]) -> Floats:
    if len(probability) != len(rows):
        raise DataError(
            f"expected one selection probability for each of the {len(rows)} verified rows, found "
            f"{len(probability)}"
        )
    unusable = np.flatnonzero(~((probability > 0) & (probability <= 1)))
    if len(unusable):
        first = unusable[0]
        found = "none" if np.isnan(probability[first]) else f"{probability[first]:g}"
        raise DataError(
            f"selection probabilities: expected numbers above 0 and at most 1, found {found} for row "
            f"{rows[first]}: leave out the rows that were not drawn at random"
        )
    return probability


def _pooled(probability: Floats, batch: NDArray[Any], size: int) -> Floats:
    """The probabilities of all draws as those of one: the weights are those of a mean of estimates.

    If some of the drawn rows were not answered, the others stand for them: the rows of a draw stand for all
    rows that were left. So each draw gives an estimate of these rows, and the rows of the draws before it are
    known. The mean of the estimates, weighted by the number of rows, has no bias if they have none, even if
    a draw depends on what earlier ones found (Zrnic and Candès, Active Statistical Inference, ICML 2024).
    """
    if not len(batch):
        return probability
    _, of_row, count = np.unique(batch, return_inverse=True, return_counts=True)
    spread = [np.ptp(probability[of_row == b]) for b in range(len(count))]
    if max(spread) <= _ROUNDING:
        return np.full(len(batch), len(batch) / size)
    part = count / len(batch)
    later = 1 - np.cumsum(part)
    left = size - np.concatenate([[0], np.cumsum(count)[:-1]])
    stands_for = 1 / probability
    stands_for *= (left / np.bincount(of_row, stands_for))[of_row]
    pooled: Floats = 1 / np.maximum(1.0, part[of_row] * stands_for + later[of_row])
    return pooled
