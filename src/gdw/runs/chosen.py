"""The examples that stand in for verified ones in a run that has none of them, or few of a class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdw.files.documents import Document
from gdw.runs.prepared_data import PreparedData
from gdw.runs.run import ENCODER
from gdw.train.run_folder import CHECKPOINTS

if TYPE_CHECKING:
    from torch import nn

    from gdw.train.run_folder import RunFolder
    from gdw.train.trainer import Trainer

CHOSEN = "chosen.json"
_ROWS = Document(format=1, remedy="start the run again", indent=None)


def with_chosen(
    prepared: PreparedData,
    trainer: Trainer,
    model: nn.Module,
    make_folder: Callable[[], RunFolder],
    *,
    most: NDArray[np.int64],
    saved: Path | None,
) -> PreparedData:
    """With training examples in the clean set, see `gdw.train.chosen_clean`. They are trained on as well.

    Args:
        prepared: the data.
        trainer, model: of the run.
        most: how many of each class, `(C,)`.
        make_folder: makes the run folder, on the first process.
        saved: the folder of a run that is resumed; None for a new run.
    """
    from gdw.train.chosen_clean import choose_for, with_stand_ins

    size, doubtful = len(prepared.source), prepared.train
    if size < len(doubtful):
        doubtful = doubtful.select(np.arange(size))
    chosen = None if saved is None else read_chosen(saved / ENCODER, size)
    if chosen is None:
        if saved is not None and (saved / CHECKPOINTS).exists():
            return prepared  # an earlier version of gdw took few verified examples as they were

        def kept() -> Path:
            return trainer.processes.on_first(make_folder).preparation / "choice"

        chosen = choose_for(trainer, model, doubtful, prepared.meta, most, kept)
    meta = with_stand_ins(prepared.meta, doubtful.select(chosen))
    return replace(prepared, meta=meta, chosen=chosen)


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
