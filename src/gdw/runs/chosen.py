"""The examples that stand in for a clean set in a run without verified rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from gdw.files.documents import Document
from gdw.runs.prepare import PreparedData

CHOSEN = "chosen.json"
_ROWS = Document(format=1, remedy="start the run again", indent=None)


def with_chosen(prepared: PreparedData, chosen: Tensor) -> PreparedData:
    """With the training examples `chosen`, int64 `(M,)`, as the clean set. They are trained on as well."""
    return replace(prepared, meta=prepared.train.select(chosen), chosen=chosen)


def save_chosen(chosen: Tensor, folder: Path) -> None:
    """Write `chosen.json` into `folder`, so that a resumed run has the same clean set."""
    _ROWS.write(folder / CHOSEN, {"examples": chosen.tolist()})


def read_chosen(folder: Path, size: int) -> Tensor | None:
    """The examples that `save_chosen` wrote, positions below `size`; None if there is no file.

    Raises:
        RunError: the file is damaged.
    """
    path = folder / CHOSEN
    if not path.exists():
        return None
    rows = _ROWS.read(path).get("examples")
    if not isinstance(rows, list) or not rows or not all(type(row) is int for row in rows):
        raise _ROWS.damaged(path, "it has no list of examples")
    if min(rows) < 0 or max(rows) >= size:
        raise _ROWS.damaged(path, f"expected examples from 0 to {size - 1}")
    return torch.tensor(rows)
