"""Which verified rows are a random sample of all rows of the data, and in which draw each one came."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gdw.data.verification import Candidate, Queue, Verification
from gdw.data.verification.queue import FROM_A_PART
from gdw.errors import DataError, counted, shown


def draws_of(verification: Verification) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How likely each of the M verified rows was to be drawn, and in which draw.

    Rows that were not drawn at random have no probability. Nor have those of a draw from a part of the data:
    one that was made after others chose rows for the doubt in their labels, or that left rows out.

    Returns:
        float64 `(M,)`, NaN for rows that are no sample; float64 `(M,)`, numbers in the order of the draws.
    """
    candidates = verification.queue.candidates
    at_random = np.array([_is_sample(row) for row in candidates], dtype=bool)
    sample, draw = sample_of(candidates, at_random), numbers_of_draws(candidates)
    position = {row.index: i for i, row in enumerate(candidates)}
    verified = [position[row] for row in verification.index.tolist()]
    probability = np.where(sample[verified], verification.selection_probability, np.nan)
    return probability, draw[verified]


def require_sample(queue: Queue) -> None:
    """`DataError` if rows that are drawn after those of a verification file are from a part of the data."""
    others = sum(not _is_sample(row) for row in queue.candidates)
    if others:
        were = counted(others, "row that was", "rows that were")
        raise DataError(
            f"{shown(queue.path)} has {were} not drawn from all rows of the data, and rows drawn after them "
            "certify nothing: choose another --output"
        )


def require_same_labels(
    now: Sequence[str | None], then: Sequence[str], path: Path, *, advice: str = ""
) -> None:
    """`DataError` if rows of a verification file have other labels in the data than when it was made.

    Args:
        now: the label of each row in the data; None for a row that is not there.
        then: the label that it had.
        path: the verification file.
        advice: ends the message.
    """
    changed = sum(a != b for a, b in zip(now, then, strict=True))
    if changed:
        raise DataError(
            f"the labels of {counted(changed, 'row')} of {shown(path)} have changed since it was made, so "
            f"its rows are no sample of the labels now{advice}"
        )


def _is_sample(row: Candidate) -> bool:
    return row.selection_probability is not None and row.draw != FROM_A_PART


def sample_of(candidates: Sequence[Candidate], at_random: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`(R,)`, which rows were drawn from all rows, or from those that random draws had left.

    Args:
        candidates: R rows of a verification file, in its order.
        at_random: `(R,)`, which rows were drawn at random, from all rows that the draws before had left.
    """
    draw = numbers_of_draws(candidates)
    unknown = np.array([row.draw is None for row in candidates], dtype=bool)
    chosen = ~at_random
    sample: NDArray[np.bool_] = ~chosen
    if chosen.any():
        first = int(np.argmax(chosen))
        later = np.flatnonzero(draw[first:] != draw[first])
        if len(later):
            sample[first + int(later[0]) :] = False
        if unknown[first]:  # Rows after it may have been drawn together with it, or not.
            sample[first:] = False
            sample[:first] &= ~unknown[:first]
    return sample


def numbers_of_draws(candidates: Sequence[Candidate]) -> NDArray[np.float64]:
    """`(R,)`, the draw of each row. Rows of unknown draws came together if they were equally likely."""
    keys = [
        (
            row.draw,
            row.drawn_from,
            row.selection_probability if row.draw is None and row.reason == "random" else None,
        )
        for row in candidates
    ]
    begins = [key != before for before, key in pairwise(keys)]
    return np.cumsum([0, *begins])[: len(keys)].astype(np.float64)
