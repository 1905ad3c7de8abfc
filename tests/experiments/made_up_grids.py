"""Grids whose results were made up, without a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gdw.experiments.cells import Cell, expand
from gdw.experiments.grid_folder import DOCUMENT, GridFolder
from gdw.experiments.protocol import Protocol
from gdw.experiments.results import Results
from tests.experiments.conftest import tiny

Accuracy = dict[tuple[str | None, str, int], float | str | None]
MACHINE = {"processor": "P", "threads": 1, "torch": "2", "python": "3", "gdw": "0", "system": "S"}


def made_up(folder: Path, accuracy: Accuracy, **protocol: Any) -> Results:
    """A grid whose cells, by noise, method and seed, have an accuracy, an error (a text) or nothing yet."""
    grid = GridFolder(folder)
    noises = list(dict.fromkeys(noise for noise, _, _ in accuracy))
    methods = {method: {"method": "plain"} for _, method, _ in accuracy}
    seeds = sorted({seed for _, _, seed in accuracy})
    content = {"noise": noises, "methods": methods, "seeds": seeds, **protocol}
    made: Protocol = tiny(**content)
    grid.keep_protocol(made)
    for cell in expand(made):
        value = accuracy[cell.noise, cell.method, cell.seed]
        if isinstance(value, str):
            grid.fail(cell, value)
        elif value is not None:
            finish(grid, cell, value)
    return Results(grid)


def finish(grid: GridFolder, cell: Cell, accuracy: float) -> None:
    """Write the result of a cell. Data called `blobs_20` have 20 clean examples, other data 8."""
    grid.cell(cell).mkdir(parents=True)
    content = {
        "accuracy": accuracy,
        "balanced_accuracy": accuracy,
        "nll": 1 - accuracy,
        "ece": 0.1,
        "detection_auroc": None if cell.noise is None else accuracy,
        "detection_precision": None if cell.noise is None else accuracy,
        "wrong_labels": 0.3,
        "train_examples": 80,
        "clean_examples": int(cell.data.partition("_")[2] or 8),
        "averaged_epochs": 2,
        "seconds": 90.0,
        "curve": [0.1, accuracy],
        "machine": MACHINE,
    }
    DOCUMENT.write(grid.cell(cell) / "result.json", content)


TWO_BY_THREE: Accuracy = {
    (None, "a", 0): 0.80, (None, "a", 1): 0.90,
    (None, "b", 0): 0.70, (None, "b", 1): 0.72,
    (None, "c", 0): 0.90, (None, "c", 1): "it <b>broke</b> | here",
    ("flip:0.2", "a", 0): 0.50, ("flip:0.2", "a", 1): 0.50,
    ("flip:0.2", "b", 0): 0.60, ("flip:0.2", "b", 1): 0.60,
    ("flip:0.2", "c", 0): 0.60, ("flip:0.2", "c", 1): 0.60,
}  # fmt: skip
