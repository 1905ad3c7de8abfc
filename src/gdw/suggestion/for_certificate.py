"""Rows to verify so that the share of wrong labels can be certified, and what they will bring."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gdw.certify.sample import FEWEST, VerifiedSample, verified_sample
from gdw.certify.selection import expected_widths, next_rows, random_widths
from gdw.certify.share import Share, share_wrong
from gdw.data.verification import Verification
from gdw.data.verification.queue import FOR_CERTIFICATE
from gdw.suggestion.draws import draws_of, require_same_labels
from gdw.suggestion.known import Known
from gdw.suggestion.strategies import Choice
from gdw.suggestion.suggesting import Looked, Suggestion, require_rows_left

_MORE = (50, 100, 200)


@dataclass(frozen=True)
class Prospect:
    """What is certain now, and how narrow the interval of the share of wrong labels will be.

    Attributes:
        now: the share, from the rows that are verified; None with fewer than 10.
        guess: the share that quick models suspect.
        widths: by number of further rows, how wide the 95 % interval will be, as a share.
    """

    now: Share | None
    guess: float
    widths: dict[int, float]

    def lines(self) -> Iterator[str]:
        """What it says, as lines for the terminal."""
        if self.now is None:
            yield (
                f"the 95% interval of the share of wrong labels will be {self._expected('verified rows')}, "
                f"or narrower (if about {self.guess:.0%} are wrong, as quick models suspect)"
            )
            return
        yield f"so far, by quick models: {self.now.sentence}"
        now = 100 * (self.now.high - self.now.low)
        yield f"this interval is {now:.1f} points wide; it will be {self._expected('more')}"

    def _expected(self, rows: str) -> str:
        (first, width), *others = self.widths.items()
        rest = [f"{100 * wide:.1f} after {n:,}" for n, wide in others]
        text = [f"about {100 * width:.1f} points wide after {first:,} {rows}", *rest]
        return f"{', '.join(text[:-1])} and {text[-1]}"


def rows_for_certificate(
    looked: Looked, known: Known, n: int, earlier: Verification | None, *, seed: int = 0
) -> tuple[Suggestion, Prospect]:
    """Draw rows to verify, more likely the more they are expected to make the interval narrow.

    Args:
        looked: all rows of the data.
        known: the rows that are in the `earlier` file.
        n: how many rows.
        earlier: a file of rows that were drawn from all rows at random, to which the rows are added.
        seed: of the draw.

    Raises:
        DataError: no row is left, or the labels of the data are not those of the earlier file.
    """
    require_rows_left(looked, known)
    doubt = looked.opinions.wrong.astype(np.float64)
    sample = _sample(looked, earlier)
    # A second draw with the same seed is not to repeat the random numbers of the first one.
    found = next_rows(
        doubt, n, verified=sample, taken=known.taken, seed=seed + int(known.taken.sum())
    )
    reasons = tuple("random" if equal else FOR_CERTIFICATE for equal in found.equal.tolist())
    choice = Choice(found.rows, found.probability, reasons)
    return Suggestion(looked, known, choice, FOR_CERTIFICATE, seed), _prospect(doubt, sample)


def _sample(looked: Looked, earlier: Verification | None) -> VerifiedSample:
    """The rows that are verified already, with the probabilities of their draws."""
    source = looked.source
    if earlier is None:
        return verified_sample(len(source), [], [])
    place = {number: i for i, number in enumerate(source.row_numbers.tolist())}
    positions = np.array([place.get(row, -1) for row in earlier.index.tolist()], dtype=np.int64)
    probability, draw = draws_of(earlier)
    names = source.label_names
    codes = source.known_labels
    given = [names[codes[i]] if i >= 0 else None for i in positions.tolist()]
    path = earlier.queue.path
    require_same_labels(given, earlier.given, path, advice=": choose another --output")
    wrong = np.array([a != b for a, b in zip(given, earlier.labels, strict=True)], dtype=bool)
    return verified_sample(len(source), positions, wrong, probability, batch=draw)


def _prospect(doubt: NDArray[np.float64], sample: VerifiedSample) -> Prospect:
    guess = float(doubt.mean())
    if len(sample) < FEWEST:
        return Prospect(None, guess, random_widths(guess, sample.size, _MORE))
    widths = expected_widths(doubt, sample, _MORE)
    return Prospect(share_wrong(sample, doubt), guess, {n: widths[n] for n in _MORE})
