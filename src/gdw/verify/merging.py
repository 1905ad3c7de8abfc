"""The answers of several people, or of other tools, in one file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gdw.data.verification import Answer, Journal, Queue, Verification, answers_of, read_answers
from gdw.data.verification.answers import lines_of
from gdw.data.verification.queue_file import is_queue, read_queue
from gdw.data.verification.verification import combined
from gdw.errors import ConfigError, counted, shortened, shown
from gdw.files.documents import OutputLock, write_text_atomically

_SUFFIX = ".answers.jsonl"
_SHOWN = 20


def merge(paths: Sequence[Path], output: Path, *, force: bool) -> tuple[Verification, list[str]]:
    """Write the answers of several files into one.

    Args:
        paths: the files of answers.
        output: the new file, named like the verification file beside it: `verify.answers.jsonl`.
        force: overwrite it if it exists.

    Returns:
        The verification with all answers, and notes.

    Raises:
        ConfigError: there is no verification file of this name, or `output` exists.
        DataError: a file cannot be read.
        RunError: another process writes `output`.
        OutputError: it cannot be written.
    """
    queue_path = output.with_name(output.name.removesuffix(_SUFFIX) + ".jsonl")
    if not output.name.endswith(_SUFFIX) or not is_queue(queue_path):
        raise ConfigError(
            f"{shown(output)} should be named like the verification file beside it, as verify{_SUFFIX} "
            "beside verify.jsonl"
        )
    taken = any(path.exists() and output.exists() and path.samefile(output) for path in paths)
    if output.exists() and (taken or not force):
        fix = "merge into a new file" if taken else "name a new file, or overwrite it with --force"
        raise ConfigError(f"{shown(output)} exists already: {fix}")
    queue, notes = read_queue(queue_path), []
    parts: list[list[Answer]] = []
    for path in paths:
        answers, torn = read_answers(path)
        parts.append(answers)
        notes += [f"the last line of {shown(path)} was cut off, and is left out"] if torn else []
    parts, more = _told_apart(parts, [path.name.removesuffix(_SUFFIX) for path in paths])
    answers = [answer for part in parts for answer in part]
    lock = OutputLock(output, is_folder=False)
    try:
        write_text_atomically(output, lines_of(answers))
    finally:
        lock.release()
    return combined(queue, answers), [*notes, *more]


def add(answers: Sequence[Answer], queue: Queue) -> int:
    """Add answers to those of a verification file; the number of those that were not there before.

    Raises:
        RunError: another process writes the answers.
        OutputError: they cannot be written.
        DataError: the answers that exist are damaged.
    """
    journal = Journal(answers_of(queue.path))
    try:
        known = {_said(answer) for answer in combined(queue, journal.answers).answers}
        new = [answer for answer in answers if _said(answer) not in known]
        for answer in new:
            journal.append(answer)
    finally:
        journal.close()
    return len(new)


def conflicts(verification: Verification) -> Iterator[str]:
    """The rows on which annotators differ, in words."""
    found = verification.conflicts
    for outcome in found[:_SHOWN]:
        said = [
            f"{answer.annotator or 'somebody'}: {answer.label or 'several classes'}"
            for answer in outcome.answers
            if answer.answer in ("label", "several")
        ]
        yield f"  {outcome.candidate.where} ({shortened(said, _SHOWN)})"
    if len(found) > _SHOWN:
        yield f"  and {counted(len(found) - _SHOWN, 'more row')}"


def _said(answer: Answer) -> tuple[object, ...]:
    return answer.index, answer.digest, answer.annotator, answer.answer, answer.labels


def _told_apart(
    parts: Sequence[list[Answer]], names: Sequence[str]
) -> tuple[list[list[Answer]], list[str]]:
    """The answers with names that differ if two files have the same name for answers to the same row."""
    rows: dict[str, list[set[int]]] = defaultdict(list)
    for part in parts:
        own: dict[str, set[int]] = defaultdict(set)
        for answer in part:
            own[answer.annotator].add(answer.index)
        for annotator, indices in own.items():
            rows[annotator].append(indices)
    shared = sorted(
        name for name, found in rows.items() if len(set.union(*found)) < sum(map(len, found))
    )
    if not shared:
        return list(parts), []
    note = (
        f"several files have answers of {' and '.join(map(repr, shared))} to the same rows: they are told "
        "apart by the names of the files"
    )
    told = [
        [
            replace(a, annotator=f"{a.annotator} ({name})") if a.annotator in shared else a
            for a in part
        ]
        for part, name in zip(parts, names, strict=True)
    ]
    return told, [note]
