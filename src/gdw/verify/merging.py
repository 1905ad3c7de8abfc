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
    queue = read_queue(_queue_beside(output))
    _require_free(output, paths, force=force)
    parts, notes = _read_all(paths)
    parts, more = _told_apart(parts, [path.name.removesuffix(_SUFFIX) for path in paths])
    answers = [answer for part in parts for answer in part]
    lock = OutputLock(output, is_folder=False)
    try:
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


def _require_free(output: Path, paths: Sequence[Path], *, force: bool) -> None:
    if not output.exists():
        return
    if any(path.exists() and path.samefile(output) for path in paths):
        raise ConfigError(f"{shown(output)} exists already: merge into a new file")
    if not force:
        raise ConfigError(
            f"{shown(output)} exists already: name a new file, or overwrite it with --force"
        )


def _read_all(paths: Sequence[Path]) -> tuple[list[list[Answer]], list[str]]:
    """The answers of each file, and notes on files whose last line was cut off."""
    found = [read_answers(path) for path in paths]
    cut_off = [path for path, (_, torn) in zip(paths, found, strict=True) if torn]
    notes = [f"the last line of {shown(path)} was cut off, and is left out" for path in cut_off]
    return [answers for answers, _ in found], notes


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
