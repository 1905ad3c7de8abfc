"""Read `history.jsonl`: one record of figures per epoch, whatever happened to the file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gdw.errors import RunError, one_line

_NUMBERS = (
    "train_loss", "train_accuracy", "meta_loss", "test_accuracy", "test_balanced_accuracy", "test_nll",
    "test_ece", "step", "lr", "seconds", "examples_per_second",
)  # fmt: skip
_MOST_EPOCHS = 10**9
_LARGEST = 1e300


def read_history(path: Path) -> list[dict[str, Any]]:
    """The records of the file at `path` in order; none without a file.

    Each has a number `epoch`, and figures: numbers, None, or lists of them that are as long in every record.
    The last line is ignored if a crash cut it short.

    Raises:
        RunError: another line is damaged.
    """
    lines = path.read_bytes().splitlines() if path.is_file() else []
    records: list[dict[str, Any]] = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            if number == len(lines):
                break
            raise _damaged(path, number, error) from error
        try:
            _require_figures(record, records[0] if records else record)
        except (TypeError, ValueError) as error:
            raise _damaged(path, number, error) from error
        records.append(record)
    return records


def _damaged(path: Path, number: int, error: Exception) -> RunError:
    return RunError(
        f"{path} is damaged at line {number} ({one_line(error)}): restore it, or train again"
    )


def _require_figures(record: Any, first: dict[str, Any]) -> None:
    if not isinstance(record, dict):
        raise TypeError(f"expected an object, found {type(record).__name__}")
    if type(record.get("epoch")) is not int or not 0 < record["epoch"] < _MOST_EPOCHS:
        raise ValueError("it has no number of its epoch")
    for name, value in record.items():
        figures = value if isinstance(value, list) else [value]
        if not _has_form(name, value, first.get(name)) or not all(map(_is_figure, figures)):
            raise ValueError(f"{name} is not the figure that it was, or none")


def _has_form(name: str, value: Any, before: Any) -> bool:
    """Whether a figure is a number or a list as it was before, with as many elements."""
    if value is None:
        return True
    if name in _NUMBERS:
        return not isinstance(value, list)
    if name == "test_recall" and not isinstance(value, list):
        return False
    return before is None or _length(before) == _length(value)


def _length(value: Any) -> int | None:
    return len(value) if isinstance(value, list) else None


def _is_figure(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and abs(value) < _LARGEST)


def last_epochs_mean(history: Sequence[Mapping[str, Any]], last: int) -> dict[str, Any]:
    """The mean of every metric over the last `last` records of a history.

    A metric must be in all of these records. Lists, such as the recall of each class, are averaged
    element by element. If a value is missing (None), the mean is None. `epoch`, `step` and `lr` are not
    metrics and are left out.
    """
    records = history[-last:]
    if not records:
        return {}
    names = [
        name
        for name in records[-1]
        if name not in ("epoch", "step", "lr") and all(name in record for record in records)
    ]
    return {name: _mean([record[name] for record in records]) for name in names}


def _mean(values: list[Any]) -> Any:
    if any(value is None for value in values):
        return None
    if isinstance(values[0], list):
        return [_mean(list(column)) for column in zip(*values, strict=True)]
    return sum(values) / len(values)
