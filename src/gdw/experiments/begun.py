"""How far a cell is that was begun and not finished: hours of training should show something."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gdw.experiments.folder import read_cell
from gdw.train.run import RunFolder


@dataclass(frozen=True)
class Begun:
    """Test accuracy after each epoch so far, and how many epochs there will be."""

    curve: tuple[float, ...]
    epochs: int


def begun(folder: Path) -> Begun:
    """Of the cell in `folder`."""
    history = RunFolder(folder).history()
    curve = tuple(r["test_accuracy"] for r in history if r.get("test_accuracy") is not None)
    return Begun(curve, int(read_cell(folder)["config"]["training"]["epochs"]))
