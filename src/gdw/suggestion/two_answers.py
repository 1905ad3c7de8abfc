"""How often a person who verifies is wrong, from rows that two people have answered."""

from __future__ import annotations

from pathlib import Path

from gdw.certify.verifier_error import VerifierError, rate_of_two
from gdw.data.verification import answers_of, read_answers, read_queue
from gdw.data.verification.verification import combined
from gdw.errors import DataError, counted, shown


def error_of_two(path: Path, *, confidence: float) -> tuple[VerifierError, str]:
    """The largest error rate of one annotator that the answers to a verification file allow.

    The first answers of people count, not those that settled conflicts later.

    Args:
        path: the verification file.
        confidence: that the rate is not larger.

    Returns:
        The rate, and what it comes from, as a sentence.

    Raises:
        DataError: no row has the answers of two people.
        ConfigError: they differ in too many rows.
    """
    place = answers_of(path)
    answers = read_answers(place)[0] if place.exists() else []
    first = combined(read_queue(path), [answer for answer in answers if not answer.resolves])
    pairs = []
    for outcome in first.outcomes:
        said = {answer.annotator: answer.label for answer in outcome.answers if answer.label}
        if len(said) > 1:
            one, other, *_ = sorted(said)
            pairs.append(said[one] != said[other])
    if not pairs:
        raise DataError(
            f"no row of {shown(path)} has the answers of two people: let another person answer some of them, "
            f"gdw verify {shown(path)} --annotator NAME"
        )
    rate = rate_of_two(len(pairs), sum(pairs), confidence)
    differ = f"two people answered {counted(len(pairs), 'row')}, and differ in {sum(pairs):,}"
    return VerifierError(0.0, rate.high, confidence), differ
