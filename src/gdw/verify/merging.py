"""The answers of several people, or of other tools, in one file."""

from __future__ import annotations

import shlex
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
        output: the file, named like the verification file beside it: `verify.answers.jsonl`. If it exists,
            it may be one of `paths`: its answers stay.
        force: overwrite it if it exists.

    Returns:
        The verification with all answers, and notes.

    Raises:
        ConfigError: there is no verification file of this name, or `output` exists.
        DataError: a file cannot be read.
        RunError: another process writes `output`.
        OutputError: it cannot be written.
    """
    queue = read_queue(_queue_beside(output))
    _require_kept(output, paths, force=force)
    lock = OutputLock(output, is_folder=False)
    try:
        parts, notes = _read_all(paths)
        parts, more = _told_apart(parts, [path.name.removesuffix(_SUFFIX) for path in paths])
        answers = [answer for part in parts for answer in part]
        write_text_atomically(output, lines_of(answers))
    finally:
        lock.release()
    return combined(queue, answers), [*notes, *more]


def _queue_beside(output: Path) -> Path:
    """The verification file that `output` is named like."""
    queue = output.with_name(output.name.removesuffix(_SUFFIX) + ".jsonl")
    if not output.name.endswith(_SUFFIX) or not is_queue(queue):
        raise ConfigError(
            f"{shown(output)} should be named like the verification file beside it, as verify{_SUFFIX} "
            "beside verify.jsonl"
        )
    return queue


def _require_kept(output: Path, paths: Sequence[Path], *, force: bool) -> None:
    """Answers that exist are lost only if the user says so."""
    if (
        force
        or not output.exists()
        or any(path.exists() and path.samefile(output) for path in paths)
    ):
        return
    words = ["gdw", "verify", *map(str, (output, *paths)), "--merge", str(output)]
    raise ConfigError(
        f"{shown(output)} exists already: to keep its answers, name it too ({shlex.join(words)}); "
        "--force overwrites it"
    )


def _read_all(paths: Sequence[Path]) -> tuple[list[list[Answer]], list[str]]:
    """The answers of each file that no file before has, and notes on files whose last line was cut off."""
    found = [read_answers(path) for path in paths]
    cut_off = [path for path, (_, torn) in zip(paths, found, strict=True) if torn]
    notes = [f"the last line of {shown(path)} was cut off, and is left out" for path in cut_off]
    known: set[Answer] = set()
    parts = []
    for answers, _ in found:
        parts.append([answer for answer in answers if answer not in known])
        known.update(answers)
    return parts, notes


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
    shared = _shared_names(parts)
    if not shared:
        return list(parts), []
    note = (
        f"several files have answers of {' and '.join(map(repr, shared))} to the same rows: they are told "
        "apart by the names of the files"
    )
    told = [_renamed(part, shared, name) for part, name in zip(parts, names, strict=True)]
    return told, [note]


def _shared_names(parts: Sequence[list[Answer]]) -> list[str]:
    """The names under which several files have answers to the same row."""
    files: dict[tuple[str, int], set[int]] = defaultdict(set)
    for number, part in enumerate(parts):
        for answer in part:
            files[answer.annotator, answer.index].add(number)
    return sorted({name for (name, _), numbers in files.items() if len(numbers) > 1})


def _renamed(part: Sequence[Answer], shared: Sequence[str], file: str) -> list[Answer]:
    return [
        replace(answer, annotator=f"{answer.annotator} ({file})")
        if answer.annotator in shared
        else answer
        for answer in part
    ]
