"""What the terminal says when a sitting ends: what is saved, and the next command to type."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator
from pathlib import Path

from gdw.data.verification import Verification
from gdw.errors import counted, shown
from gdw.verify.desk import Desk


def closing(desk: Desk, *, again: str) -> Iterator[str]:
    """The lines at the end of a sitting.

    Args:
        desk: of the sitting.
        again: the command that goes on.
    """
    verification = desk.verification()
    pace = desk.progress.pace
    speed = "" if pace is None or not desk.answered_now else f", about {pace:.1f} s each"
    answers = counted(desk.answered_now, "answer")
    yield f"saved in {shown(desk.journal.path)}: {answers} in this sitting{speed}"
    yield from results(verification)
    if desk.progress.left:
        yield f"to go on: {again}"
    if verification.conflicts and not desk.settings.conflicts:
        yield f"to settle the conflicts: {again} --conflicts"


def results(verification: Verification) -> Iterator[str]:
    """How much is verified, and how often it agrees with the data and among annotators."""
    name = shown(verification.queue.path.name)
    yield f"{name}: {verification.described()}"
    pairs = list(zip(verification.labels, verification.given, strict=True))
    if pairs:
        other = sum(label != given for label, given in pairs)
        yield f"of {counted(len(pairs), 'verified row')}, {other:,} had another label in the data"
    yield from _sway(verification)
    for pair in verification.agreements():
        kappa = "not defined, one class alone" if pair.kappa is None else f"{pair.kappa:.2f}"
        yield (
            f"{pair.one or 'somebody'} and {pair.other or 'somebody'} agree on {pair.agree:,} of "
            f"{counted(pair.rows, 'row')} that both labelled (Cohen's kappa {kappa})"
        )


def _sway(verification: Verification) -> Iterator[str]:
    """How often the answers agree with the data, where the label of the data was hidden and where not."""
    given = {row.index: row.given_label for row in verification.queue.candidates}
    shares = []
    for blind in (True, False):
        same = [
            answer.label == given[answer.index]
            for answer in verification.answers
            if answer.label is not None and answer.blind == blind and not answer.resolves
        ]
        if not same:
            return
        shares.append(f"{sum(same) / len(same):.0%} of {len(same):,}")
    yield (
        f"answers that agree with the data: {shares[0]} where its label was hidden, {shares[1]} where it was "
        "shown"
    )


def training_command(verification: Verification) -> str:
    """The command that trains with the verified rows."""
    queue = verification.queue
    label = [] if queue.label == "label" else ["--label", queue.label]
    place = _short(Path(queue.place))
    words = ["gdw", "train", place, *label, "--meta", str(queue.path), "--output", "RUN"]
    return shlex.join(words)


def _short(path: Path) -> str:
    """The path without its detours, `a/../b`, unless links make that another file."""
    short = Path(os.path.normpath(path))
    same = short.exists() and path.exists() and short.samefile(path)
    return str(short if same else path)
