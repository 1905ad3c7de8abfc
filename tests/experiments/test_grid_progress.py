"""What a grid says while it runs: which cells run, and how long the others will take."""

from __future__ import annotations

from pathlib import Path

import pytest

from gdw.experiments.cell_run import CellOutcome
from gdw.experiments.cells import Cell
from gdw.experiments.grid_folder import DOCUMENT, RESULT, GridFolder
from gdw.experiments.grid_progress import GridProgress
from tests.experiments.made_up_grids import finish

CELLS = [
    Cell(data, None, None, method, seed)
    for data in ("small", "large")
    for method in ("plain", "gdw")
    for seed in (0, 1)
]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def done(folder: GridFolder, cell: Cell, seconds: float) -> None:
    """Write the result of a cell that took so long."""
    finish(folder, cell, 0.5)
    path = folder.cell(cell) / RESULT
    DOCUMENT.write(path, {**DOCUMENT.read(path), "seconds": seconds})


def progress_of(
    path: Path, seconds: dict[Cell, float], jobs: int = 1
) -> tuple[GridProgress, Clock, list[str]]:
    """The progress of a grid where these cells were done before."""
    folder, clock, said = GridFolder(path), Clock(), list[str]()
    for cell, taken in seconds.items():
        done(folder, cell, taken)
    waiting = [cell for cell in CELLS if cell not in seconds]
    progress = GridProgress(folder, CELLS, waiting, jobs=jobs, log=said.append, clock=clock)
    return progress, clock, said


def test_the_time_left_is_by_data_and_method(tmp_path: Path) -> None:
    # small plain 1 s, small gdw 10 s, large plain 100 s: large gdw is not known yet.
    first = {CELLS[0]: 1.0, CELLS[2]: 10.0, CELLS[4]: 100.0}
    progress, _, _ = progress_of(tmp_path, first)
    # 100 s for its data and 10 s for its method, relative to the mean of all.
    unknown = 100 * 10 / (111 / 3)
    assert progress.seconds_left() == pytest.approx(1 + 10 + 100 + 2 * unknown)


def test_no_time_is_said_before_a_cell_is_done(tmp_path: Path) -> None:
    progress, clock, _ = progress_of(tmp_path, {})
    assert progress.seconds_left() is None
    assert progress.status() == ""
    progress.cell_started(CELLS[0])
    clock.now = 75
    assert progress.status() == "running: small: plain, seed 0 (75 s)"


def test_running_cells_and_the_time_that_they_took_count(tmp_path: Path) -> None:
    progress, clock, said = progress_of(tmp_path, dict.fromkeys(CELLS[:6], 60.0), jobs=2)
    for cell in CELLS[6:]:
        progress.cell_started(cell)
    assert progress.seconds_left() == pytest.approx(60)
    clock.now = 20
    assert progress.seconds_left() == pytest.approx(40)
    assert progress.status() == (
        "running: large: gdw, seed 0 (20 s); large: gdw, seed 1 (20 s), about 40 s left"
    )
    done(GridFolder(tmp_path), CELLS[6], 20.0)
    progress.cell_ended(CELLS[6], CellOutcome())
    assert said == ["[7/8] large: gdw, seed 0: 50.0% (20 s, about 0 s left)"]
    progress.cell_ended(CELLS[7], CellOutcome("broken"))
    assert said[1] == "[8/8] large: gdw, seed 1: failed: broken"
    assert progress.seconds_left() is None


def test_one_long_cell_bounds_the_time(tmp_path: Path) -> None:
    first = dict.fromkeys(CELLS[:3], 1.0) | dict.fromkeys(CELLS[4:7], 600.0)
    progress, _, _ = progress_of(tmp_path, first, jobs=8)
    assert progress.seconds_left() == pytest.approx(600)
