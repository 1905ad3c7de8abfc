"""How far a cell is that was begun and not finished: hours of training should show something."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from gdw.errors import GDWError
from gdw.experiments.folder import read_cell
from gdw.train.run_folder import RunFolder


@dataclass(frozen=True)
class Begun:
    """Test accuracy after each epoch so far (NaN where unknown), and how many epochs there will be."""

    curve: tuple[float, ...]
    epochs: int


def begun(folder: Path) -> Begun | None:
    """Of the cell in `folder`; None where it cannot be read: the run that goes on with it says why."""
    try:
        curve = [record["test_accuracy"] for record in RunFolder(folder).history()]
        epochs = int(read_cell(folder)["config"]["training"]["epochs"])
    except (GDWError, ValueError, LookupError, AttributeError, TypeError):
        return None
    return Begun(tuple(math.nan if a is None else float(a) for a in curve), epochs)
