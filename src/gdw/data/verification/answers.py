"""The answers to a verification file: a journal beside it, one line for each answer."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from gdw._version import __version__
from gdw.errors import DataError, OutputError, shown
from gdw.files.documents import OutputLock, require_format

Kind = Literal["label", "skip", "cannot_tell", "several", "undone"]
KINDS: tuple[str, ...] = get_args(Kind)
FORMAT = 1

_MARK = "gdw_answers"
_SUFFIX = ".answers.jsonl"


@dataclass(frozen=True)
class Answer:
    """What a person said about a row. The last answer of a person to a row counts.

    Attributes:
        index: the row of the data, from 0.
        digest: the checksum of what the person has seen.
        answer: "label": it is of the class in `labels`; "several": of several classes, perhaps those in
            `labels`; "cannot_tell"; "skip": not now; "undone": the answer before was a mistake.
        labels: names of classes.
        annotator: who said it.
        time: when, in UTC.
        seconds: how long it took; None if unknown.
        blind: whether the given label was hidden.
        resolves: whether it settles a conflict between other answers.
    """

    index: int
    digest: str
    answer: str
    labels: tuple[str, ...] = ()
    annotator: str = ""
    time: str = ""
    seconds: float | None = None
    blind: bool = True
    resolves: bool = False

    @property
    def label(self) -> str | None:
        """The class, if the answer is one."""
        return self.labels[0] if self.answer == "label" else None


def answers_of(queue: str | os.PathLike[str]) -> Path:
    """Where the answers to a verification file are: `verify.answers.jsonl` beside `verify.jsonl`."""
    path = Path(queue)
    return path.with_name(path.name.removesuffix(".jsonl") + _SUFFIX)


def read_answers(path: Path) -> tuple[list[Answer], bool]:
    """The answers in a journal, in order, and whether its last line was cut off and is left out.

    Raises:
        DataError: the file cannot be read, is damaged, or was written by a newer version of gdw.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {shown(path)}: {error.strerror or error}") from None
    *lines, rest = content.split(b"\n")
    answers = [
        answer
        for number, line in enumerate(lines, 1)
        if line.strip() and (answer := _read(path, number, line)) is not None
    ]
    return answers, bool(rest)


def _read(path: Path, number: int, line: bytes) -> Answer | None:
    """The answer in a line; None for the line of the format."""
    try:
        row = json.loads(line)
        if _MARK in row:
            version = row.get("gdw_version")
            require_format(int(row[_MARK]), FORMAT, path, version=version, error=DataError)
            return None
        answer = str(row["answer"])
        names = row.get("labels") or ([] if row.get("label") is None else [row["label"]])
        if answer not in KINDS or (answer == "label" and len(names) != 1):
            raise ValueError(answer)
        return Answer(
            index=int(row["index"]),
            digest=str(row.get("digest", "")),
            answer=answer,
            labels=tuple(map(str, names)),
            annotator=str(row.get("annotator", "")),
            time=str(row.get("time", "")),
            seconds=row.get("seconds"),
            blind=row.get("blind") is not False,
            resolves=row.get("resolves") is True,
        )
    except DataError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(
            f"{shown(path)} is damaged in line {number}: remove this line, the others are kept"
        ) from error


class Journal:
    """The file of answers, open to add some. Only one process can have it open.

    Args:
        path: the file. It is made if it does not exist.

    Raises:
        RunError: another process has it open.
        OutputError: the file cannot be written.
        DataError: it is damaged.

    Attributes:
        path: the file.
        answers: all answers in it.
        torn: whether its last line was cut off, by a power cut for example. It was removed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._unfinished = False
        self._lock = OutputLock(path, is_folder=False)
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise

    def _open(self) -> None:
        self.answers, self.torn = read_answers(self.path) if self.path.exists() else ([], False)
        try:
            self._file = os.open(
                self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666
            )
        except OSError as error:
            raise OutputError.of(error, self.path) from error
        self._size = _end_of_last_line(self._file)
        if not self._size:
            self._write({_MARK: FORMAT, "gdw_version": __version__})
        elif self.torn:
            os.ftruncate(self._file, self._size)

    def append(self, answer: Answer) -> None:
        """Add an answer. When this returns, it is on the disk.

        Raises:
            OutputError: the disk is full, or the file was removed or changed; nothing was added.
        """
        if self._unfinished:
            self._remove_half_a_line()
        self._require_untouched()
        self._write(_written(answer))
        self.answers.append(answer)

    def close(self) -> None:
        """Let others write the file."""
        with contextlib.suppress(OSError):
            os.close(self._file)
        self._file = -1
        self._lock.release()

    def _require_untouched(self) -> None:
        try:
            here, there = os.fstat(self._file), self.path.stat()
            changed = here.st_size != self._size or not os.path.samestat(here, there)
        except OSError:
            changed = True
        if changed:
            raise OutputError(
                0,
                "it was removed or changed by another program; stop gdw verify with Ctrl-C, put the "
                "file in order, and start again",
                str(self.path),
            )

    def _remove_half_a_line(self) -> None:
        """If it cannot be removed now, the next answer does it, and a reader leaves it out."""
        self._unfinished = True
        with contextlib.suppress(OSError):
            os.ftruncate(self._file, self._size)
            self._unfinished = False

    def _write(self, content: dict[str, Any]) -> None:
        line = (json.dumps(content, allow_nan=False) + "\n").encode("ascii")
        try:
            os.lseek(self._file, self._size, os.SEEK_SET)
            written = 0
            while written < len(line):
                written += os.write(self._file, line[written:])
            os.fsync(self._file)
        except OSError as error:
            self._remove_half_a_line()
            raise OutputError.of(error, self.path) from error
        self._size += len(line)


def _end_of_last_line(descriptor: int) -> int:
    """Where the last complete line of a file ends."""
    size = os.fstat(descriptor).st_size
    os.lseek(descriptor, 0, os.SEEK_SET)
    content = b""
    while len(content) < size and (part := os.read(descriptor, size - len(content))):
        content += part
    return content.rfind(b"\n") + 1


def _written(answer: Answer) -> dict[str, Any]:
    row: dict[str, Any] = {
        "index": answer.index,
        "answer": answer.answer,
        "label": answer.label,
        "labels": list(answer.labels) if answer.answer == "several" else [],
        "annotator": answer.annotator,
        "time": answer.time,
        "seconds": answer.seconds,
        "blind": answer.blind,
        "digest": answer.digest,
    }
    return {**row, "resolves": True} if answer.resolves else row


def lines_of(answers: list[Answer]) -> str:
    """The text of a journal with these answers."""
    header = {_MARK: FORMAT, "gdw_version": __version__}
    return "".join(json.dumps(row) + "\n" for row in (header, *map(_written, answers)))
