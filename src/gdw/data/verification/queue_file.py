"""The verification file: a line about the data, and one for each row to verify. It does not change."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw._version import __version__
from gdw.data.rows import require_existing
from gdw.data.source import Source
from gdw.data.text_files import ReadOptions
from gdw.data.verification.contents import digests
from gdw.data.verification.queue import Candidate, Queue
from gdw.errors import DataError, shown
from gdw.files.documents import require_format, write_text_atomically

FORMAT = 1
MOST_LIKELY = 9
"""The most likely classes that a row has: one for each key from 1 to 9."""

_MARK = b'{"gdw_verification":'
_FAR = 3
_REMEDY = "make it again: gdw suggest DATA --output FILE"
_Likely = Sequence[tuple[str, float | None]]


def is_queue(path: str | os.PathLike[str]) -> bool:
    """Whether there is a verification file at `path`."""
    try:
        with Path(path).open("rb") as file:
            return file.read(len(_MARK)) == _MARK
    except OSError:
        return False


def write_queue(
    path: str | os.PathLike[str],
    source: Source,
    positions: NDArray[np.int64],
    *,
    label: str,
    data: str | os.PathLike[str],
    likely: Sequence[_Likely] | None = None,
    selection_probability: Sequence[float | None] | None = None,
    reasons: Sequence[str] | None = None,
    neighbours: Sequence[Sequence[int]] | None = None,
    strategy: str = "",
    seed: int | None = None,
    before: Sequence[Candidate] = (),
    draw: int | None = None,
    drawn_from: str = "",
) -> Queue:
    """Write a verification file, whole or not at all, and return it.

    Args:
        path: the file, `.jsonl`. Answers that exist beside it stay; they count for the same rows.
        source: the labelled data.
        positions: int64 `(R,)`, the examples to verify, in order: positions in `source`.
        label: the label column.
        data: the path of the data.
        likely: for each of them, classes with probabilities, at most 9 are kept. By default none.
        selection_probability, reasons: see `Candidate`, for each of them.
        neighbours: for each of them, positions in `source` of examples like it.
        strategy, seed: how they were chosen.
        before: rows of an earlier file of the same data, which stay before these.
        draw, drawn_from: see `Candidate`.

    Raises:
        OutputError: the file cannot be written.
        ConfigError: the source has no labels.
    """
    chosen = _candidates(source, positions, likely, selection_probability, reasons, neighbours)
    candidates = (replace(row, draw=draw, drawn_from=drawn_from) for row in chosen)
    queue = Queue(
        path=Path(path),
        data=_written_place(Path(data), Path(path).parent),
        kind=source.kind,
        label=label,
        label_names=source.label_names,
        columns=source.feature_columns,
        rows_in_data=len(source.rows),
        candidates=(*before, *candidates),
        read_options=source.rows.options,
        strategy=strategy,
        seed=seed,
        names_declared=source.names_declared,
        labels_merged=source.labels_merged,
    )
    rewrite_queue(queue)
    return queue


def rewrite_queue(queue: Queue) -> None:
    """Write a verification file to its path, whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    write_text_atomically(queue.path, _text(queue))


def _candidates(
    source: Source,
    positions: NDArray[np.int64],
    likely: Sequence[_Likely] | None,
    probabilities: Sequence[float | None] | None,
    reasons: Sequence[str] | None,
    neighbours: Sequence[Sequence[int]] | None,
) -> tuple[Candidate, ...]:
    count, names = len(positions), source.label_names
    given, numbers = source.known_labels, source.row_numbers
    found = zip(
        positions.tolist(),
        likely or [()] * count,
        probabilities or [None] * count,
        reasons or [""] * count,
        digests(source.rows, source.kind, source.feature_columns, numbers[positions]),
        neighbours or [()] * count,
        strict=True,
    )
    return tuple(
        Candidate(
            index=int(numbers[i]),
            where=source.where(i),
            given_label=names[given[i]],
            likely=tuple((str(name), _plain(p)) for name, p in classes[:MOST_LIKELY]),
            selection_probability=_plain(probability),
            reason=reason,
            digest=digest,
            neighbours=tuple((int(numbers[k]), names[given[k]]) for k in near),
        )
        for i, classes, probability, reason, digest, near in found
    )


def read_queue(path: str | os.PathLike[str]) -> Queue:
    """Read a verification file.

    Raises:
        DataError: there is no such file, it is damaged, or it was written by a newer version of gdw.
    """
    place = Path(path)
    require_existing(place)
    if place.is_dir() or not is_queue(place):
        raise DataError(
            f"{shown(place)} is not a verification file: {_what_instead(place)}gdw suggest DATA "
            "--output FILE makes one"
        )
    lines = _lines(place)
    try:
        header = json.loads(lines[0])
        require_format(
            int(header["gdw_verification"]),
            FORMAT,
            place,
            version=header.get("gdw_version"),
            error=DataError,
        )
        queue = _queue(place, header, lines[1:])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{shown(place)} is damaged in its first line: {_REMEDY}") from error
    if not queue.candidates:
        raise DataError(f"{shown(place)} has no rows to verify: {_REMEDY}")
    return queue


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DataError(f"cannot read {shown(path)}: {reason}") from None


def _what_instead(path: Path) -> str:
    if path.name.endswith(".answers.jsonl"):
        queue = path.with_name(path.name.replace(".answers.jsonl", ".jsonl"))
        return f"it has the answers of {shown(queue)}, which is the one to give; "
    return ""


def _queue(path: Path, header: Mapping[str, Any], lines: Iterable[str]) -> Queue:
    # One object for each name: a hundred thousand rows with nine names each would take much memory.
    names = {name: name for name in map(str, header["label_names"])}
    return Queue(
        path=path,
        data=str(header["data"]),
        kind=header["kind"],
        label=str(header["label"]),
        label_names=tuple(map(str, header["label_names"])),
        columns=tuple(map(str, header["columns"])),
        rows_in_data=int(header["rows_in_data"]),
        candidates=tuple(_candidate(path, k, line, names) for k, line in enumerate(lines, 2)),
        read_options=ReadOptions(**header.get("read_options", {})),
        strategy=str(header.get("strategy", "")),
        seed=header.get("seed"),
        names_declared=header.get("names_declared") is True,
        labels_merged=header.get("labels_merged") is True,
    )


def _candidate(path: Path, number: int, line: str, names: Mapping[str, str]) -> Candidate:
    try:
        row = json.loads(line)
        likely = row.get("likely", ())[:MOST_LIKELY]
        return Candidate(
            index=int(row["index"]),
            where=str(row["where"]),
            given_label=str(row["given_label"]),
            likely=tuple((names.get(name, str(name)), p) for name, p in likely),
            selection_probability=row.get("selection_probability"),
            reason=str(row.get("reason", "")),
            digest=str(row.get("digest", "")),
            neighbours=tuple((int(k), str(name)) for k, name in row.get("neighbours", ())),
            draw=None if row.get("draw") is None else int(row["draw"]),
            drawn_from=str(row.get("drawn_from", "")),
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"{shown(path)} is damaged in line {number}: {_REMEDY}") from error


def _text(queue: Queue) -> str:
    header = {
        "gdw_verification": FORMAT,
        "gdw_version": __version__,
        "data": queue.data,
        "kind": queue.kind,
        "label": queue.label,
        "label_names": queue.label_names,
        "columns": queue.columns,
        "rows_in_data": queue.rows_in_data,
        "read_options": asdict(queue.read_options),
        "strategy": queue.strategy,
        "seed": queue.seed,
        "names_declared": queue.names_declared,
        "labels_merged": queue.labels_merged,
    }
    rows = (vars(row) for row in queue.candidates)
    # All characters are ASCII, so that a name may hold anything and a line stays a line.
    return "".join(json.dumps(line, allow_nan=False) + "\n" for line in (header, *rows))


def _plain(number: float | None) -> float | None:
    """A number for JSON; None if it is not finite."""
    return None if number is None or not np.isfinite(number) else round(float(number), 6)


def _written_place(data: Path, folder: Path) -> str:
    """The path of the data from the folder of the file, if they are near each other; else from the root."""
    absolute = data.resolve()
    try:
        relative = Path(os.path.relpath(absolute, folder.resolve()))
    except ValueError:  # another drive of Windows
        return str(absolute)
    return str(absolute) if relative.parts[:_FAR].count("..") == _FAR else str(relative)
