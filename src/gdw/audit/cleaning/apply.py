"""From suspicious examples to a cleaned copy of the data, in the data's own format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from gdw.audit.cleaning.plan import Plan
from gdw.audit.rows import TrainingRows
from gdw.data.rows import FolderRows
from gdw.errors import ConfigError, DataError
from gdw.files.atomic import write_atomically
from gdw.files.wording import shown

Mode = Literal["KEEP", "RELABEL"]


@dataclass(frozen=True)
class Cleaned:
    """How many rows of a cleaned copy: `left_out`, `relabelled`, and `written` in all.

    `not_audited` of those written were no training examples of the run and are as they were.
    """

    written: int
    left_out: int
    relabelled: int
    not_audited: int


def check_output(data: Path, output: Path) -> None:
    """Whether a copy of `data` can be written to `output`, before long work starts.

    Raises:
        ConfigError: another suffix than the data's, no such folder, inside the data, or it exists.
    """
    if output.exists() or output.is_symlink():
        raise ConfigError(
            f"{shown(output)} exists already: choose another name, or remove it first"
        )
    if not output.parent.is_dir():
        raise ConfigError(f"there is no folder {shown(output.parent)}: make it, or choose another")
    if data.is_dir():
        if data.resolve() in output.resolve().parents:
            raise ConfigError(
                f"{shown(output)} is inside the data {shown(data)}: its images would be taken for a class; "
                "choose a folder elsewhere"
            )
    elif output.suffix.lower() != data.suffix.lower():
        raise ConfigError(
            f"the copy is in the data's own format: expected a name ending in {data.suffix}, "
            f"found {shown(output)}"
        )


def apply(
    mode: Mode,
    data: TrainingRows,
    *,
    wrong: NDArray[np.bool_],
    suggested: NDArray[np.int64],
    label_names: tuple[str, ...],
    output: Path,
) -> Cleaned:
    """Write a copy of the data: with KEEP without the examples that are wrong, with RELABEL with the
    suggested labels in their place. The original is only read.

    Args:
        mode: "KEEP" or "RELABEL".
        data: of N training examples in R rows.
        wrong, suggested: `(N,)`, whether each example is an issue, and the code of its suggested label.
        label_names: of the codes.
        output: the new file or folder, see `check_output`.

    Raises:
        DataError: data that cannot be copied row by row, or a suggested label that the file cannot hold.
    """
    keep = np.ones(len(data.rows), dtype=bool)
    relabel: dict[int, Any] = {}
    rows = data.numbers[wrong]
    if mode == "KEEP":
        keep[rows] = False
    else:
        spelled = _spelled(data, label_names)
        codes = suggested[wrong]
        missing = next((code for code in np.unique(codes).tolist() if code not in spelled), None)
        if missing is not None:
            raise DataError(
                f"{label_names[missing]!r} is suggested, but {shown(data.path)} has no row of that label to "
                "show how it is written there: use KEEP, or edit the suggestions"
            )
        relabel = {
            row: spelled[code] for row, code in zip(rows.tolist(), codes.tolist(), strict=True)
        }
    _write(data, Plan(data.path, data.label, keep, relabel), output)
    return Cleaned(
        written=int(keep.sum()),
        left_out=int((~keep).sum()),
        relabelled=len(relabel),
        not_audited=len(data.rows) - len(data.numbers),
    )


def _spelled(data: TrainingRows, label_names: tuple[str, ...]) -> dict[int, Any]:
    """The value by which the file itself means each class."""
    declared = data.rows.class_names(data.label)
    if declared is not None:
        number = {name: k for k, name in enumerate(declared)}
        return {code: number[name] for code, name in enumerate(label_names) if name in number}
    codes, first = np.unique(data.codes, return_index=True)
    if isinstance(data.rows, FolderRows):
        values = [path.parts[0] for path in data.rows.values("image", first)]
    else:
        values = data.rows.values(data.label, first)
    return dict(zip(codes.tolist(), values, strict=True))


def _write(data: TrainingRows, plan: Plan, output: Path) -> None:
    suffix = plan.source.suffix.lower()
    if isinstance(data.rows, FolderRows):
        from gdw.audit.cleaning.folder import copy_folder

        paths: list[Path] = data.rows.values("image", np.arange(len(data.rows)))
        copy_folder(plan, paths, output)
        return
    if suffix in (".csv", ".tsv"):
        from gdw.audit.cleaning.delimited import copy_delimited as copy
    elif suffix == ".parquet":
        from gdw.audit.cleaning.parquet import copy_parquet as copy
    elif suffix == ".jsonl":
        from gdw.audit.cleaning.jsonl import copy_jsonl as copy
    else:
        from gdw.audit.cleaning.npz import copy_npz as copy
    write_atomically(output, lambda file: copy(plan, file))
