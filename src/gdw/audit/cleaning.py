"""A copy of the user's data, in the same format, without suspicious examples or with corrected labels."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gdw.audit.data_rows import TrainingRows
from gdw.data.formats import CopyPlan
from gdw.data.rows import format_of
from gdw.errors import ConfigError, DataError, nearest, shown

__all__ = ["Cleaned", "Mode", "apply", "check_output", "mode_named"]

Mode = Literal["KEEP", "RELABEL"]


def mode_named(text: str) -> Mode:
    """The mode that a user wrote, in upper or lower case; `ConfigError` if there is none of that name."""
    modes: tuple[Mode, ...] = get_args(Mode)
    for mode in modes:
        if text.upper() == mode:
            return mode
    raise ConfigError(
        "--apply: expected KEEP, which leaves the rows with label issues out, or RELABEL, which gives them "
        f"the suggested label, found {text!r}.{nearest(text.upper(), modes)}"
    )


@dataclass(frozen=True)
class Cleaned:
    """What a cleaned copy contains.

    Attributes:
        written: the number of rows in the copy.
        left_out: the number of rows that were left out.
        relabelled: the number of rows with another label.
        not_audited: the number of rows in the copy that were not training examples of the run. They are
            copied as they are.
        verified_right: how many of these a person has verified.
        verified_wrong: how many of the rows that were left out or relabelled a person had verified before the
            training.
    """

    written: int
    left_out: int
    relabelled: int
    not_audited: int
    verified_right: int = 0
    verified_wrong: int = 0


def check_output(data: Path, output: Path) -> None:
    """Check, before long work starts, that a copy of `data` can be written to `output`.

    Raises:
        ConfigError: `output` is inside the data, is a folder that exists, or has another suffix.
    """
    if data.is_dir():
        if os.path.lexists(output):
            raise ConfigError(
                f"{shown(output)} exists already: choose another name, or remove it first"
            )
        if data.resolve() in output.resolve().parents:
            raise ConfigError(
                f"{shown(output)} is inside the data {shown(data)}, where its images would become a class: "
                "choose a folder elsewhere"
            )
    elif output.suffix.lower() != data.suffix.lower():
        raise ConfigError(
            f"the copy has the format of the data: expected a name ending in {data.suffix}, "
            f"found {shown(output)}"
        )


def apply(
    mode: Mode,
    data: TrainingRows,
    *,
    wrong: NDArray[np.bool_],
    suggested: NDArray[np.int64],
    removed: NDArray[np.bool_] | None = None,
    verified: Mapping[int, int] | None = None,
    label_names: tuple[str, ...],
    output: Path,
) -> Cleaned:
    """Write a cleaned copy of the data. The original is only read.

    Args:
        mode: "KEEP" leaves out the wrong examples. "RELABEL" gives them the suggested labels.
        data: N training examples in R rows.
        wrong: `(N,)` bool, whether each example is a label issue.
        suggested: `(N,)` int64, the code of the suggested label of each example.
        removed: `(N,)` bool, wrong examples that are left out also by "RELABEL"; by default none.
        verified: other rows of the data whose class a person has verified, each with its code. "KEEP" leaves
            them out if their label is another one, "RELABEL" gives them this one.
        label_names: the names of the codes.
        output: the path of the new file or folder; see `check_output`.

    Returns:
        The numbers of rows.

    Raises:
        DataError: the data cannot be copied row by row, or a suggested label does not occur in them.
    """
    keep = np.ones(len(data.rows), dtype=bool)
    relabel: dict[int, Any] = {}
    left_out = wrong if mode == "KEEP" else np.zeros_like(wrong) if removed is None else removed
    keep[data.numbers[left_out]] = False
    verified = verified or {}
    others = {row: code for row, code in verified.items() if code != data.codes[row]}
    if mode == "RELABEL":
        changed = wrong & ~left_out
        rows, codes = data.numbers[changed].tolist(), suggested[changed].tolist()
        relabel = _written_labels(
            data, {**dict(zip(rows, codes, strict=True)), **others}, label_names
        )
    else:
        keep[list(others)] = False
    plan = CopyPlan(data.path, data.rows, data.rows.written_name(data.label), keep, relabel)
    format_of(data.path).write_copy(plan, output)
    return Cleaned(
        written=int(keep.sum()),
        left_out=int((~keep).sum()),
        relabelled=len(relabel),
        not_audited=len(data.rows) - len(data.numbers) - len(others),
        verified_right=len(verified) - len(others),
        verified_wrong=len(others),
    )


def _written_labels(
    data: TrainingRows, codes: Mapping[int, int], label_names: tuple[str, ...]
) -> dict[int, Any]:
    """For each row with a new class, the value of the label column that stands for this class."""
    value_of = _label_values(data, label_names)
    missing = next((code for code in sorted(set(codes.values())) if code not in value_of), None)
    if missing is not None:
        raise DataError(
            f"the label {label_names[missing]!r} is suggested, but {shown(data.path)} has no row of that "
            "label to show how it is written there: use KEEP, or edit the suggestions"
        )
    return {row: value_of[code] for row, code in codes.items()}


def _label_values(data: TrainingRows, label_names: tuple[str, ...]) -> dict[int, Any]:
    """The value of the label column that stands for each class, as the file writes it."""
    declared = data.rows.class_names(data.label)
    if declared is not None:
        number = {name: k for k, name in enumerate(declared)}
        return {code: number[name] for code, name in enumerate(label_names) if name in number}
    codes, first = np.unique(data.codes, return_index=True)
    return dict(zip(codes.tolist(), data.rows.values(data.label, first), strict=True))
