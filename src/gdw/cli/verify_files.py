"""What `gdw verify` does without a page: other tools' files, and the answers of several people."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from gdw.cli.app import note, say


def merge_answers(files: Sequence[Path], output: Path, *, force: bool) -> None:
    """Write the answers of several files into one, and say how far their annotators agree."""
    from gdw.verify.closing import results
    from gdw.verify.merging import conflicts, merge

    verification, notes = merge(files, output, force=force)
    for line in notes:
        note(line)
    for line in results(verification):
        say(line)
    if verification.conflicts:
        say("in conflict:")
        for line in conflicts(verification):
            say(line)
        queue = shlex.quote(str(verification.queue.path))
        say(f"to settle the conflicts: gdw verify {queue} --conflicts")


def export_rows(
    file: Path, output: Path, data: str | None, *, show_given: bool, force: bool
) -> None:
    """Write the rows and the answers so far for another tool."""
    from gdw.data.verification import read
    from gdw.errors import ConfigError, counted, shown
    from gdw.verify.exchange import export
    from gdw.verify.serving import moved, open_data

    if output.is_file() and not force:
        raise ConfigError(
            f"{shown(output)} exists already: name a new file, or overwrite it with --force"
        )
    verification = moved(read(file), data)
    written = export(output, verification, open_data(verification.queue), show_given=show_given)
    rows = counted(len(verification.queue), "row")
    say(f"{', '.join(map(shown, written))}: {rows}, {verification.described()}")
    say(f"to take the answers back: gdw verify {shlex.quote(str(file))} --import FILE")


def import_answers(file: Path, source: Path, annotator: str | None, login: str) -> None:
    """Add the answers that another tool has collected, or the answered rows of another verification file.

    If the tool does not say whose they are, and the user does not, they are those of the one person who has
    answered before, or of the one who is logged in.
    """
    from gdw.data.verification import is_queue, read
    from gdw.verify.closing import results, training_command

    if is_queue(source):
        _take_rows(file, source, annotator)
    else:
        _take_answers(file, source, annotator, login)
    verification = read(file)
    for line in results(verification):
        say(line)
    if len(verification.index):
        say(f"next: {training_command(verification)}")


def _take_rows(file: Path, source: Path, annotator: str | None) -> None:
    from gdw.errors import ConfigError, counted, shown
    from gdw.verify.taking import take

    if annotator is not None:
        raise ConfigError(f"{shown(source)} says itself who has answered: leave --annotator out")
    taken = take(file, source)
    say(f"{shown(source)}: {counted(taken.rows, 'new row')} with answers")
    if taken.known:
        note(
            f"{counted(taken.known, 'row')} of it {'was' if taken.known == 1 else 'were'} in {shown(file)} "
            "before: only what is answered there counts"
        )


def _take_answers(file: Path, source: Path, annotator: str | None, login: str) -> None:
    from gdw.data.verification import read
    from gdw.errors import counted, shown
    from gdw.verify.exchange import imported
    from gdw.verify.merging import add

    before = read(file)
    queue, verified = before.queue, dict(zip(before.index.tolist(), before.labels, strict=True))
    name = annotator or (before.annotators[0] if len(before.annotators) == 1 else login)
    answers, unanswered = imported(source, queue, annotator=name, verified=verified)
    new = add(answers, queue)
    rest = f", {counted(unanswered, 'row')} without an answer" if unanswered else ""
    known = f", {len(answers) - new:,} of them known before" if new < len(answers) else ""
    say(f"{shown(source)}: {counted(len(answers), 'answer')}{known}{rest}")
