"""How far a grid is: which cells run, how they ended, and how long the others will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from gdw.experiments.cells import Cell
from gdw.experiments.dataset_builders import Log
from gdw.experiments.grid_folder import GridFolder

if TYPE_CHECKING:
    from gdw.experiments.cell_run import CellOutcome


class GridProgress:
    """Records how each cell ends, logs it in one line, and says what runs.

    Args:
        folder: the folder of the grid.
        cells: all its cells; the times of those that are done are known.
        waiting: the cells that will run.
        jobs: how many run at a time.
        log: takes a line for each cell that ends.
        clock: the time in seconds.
    """

    def __init__(
        self,
        folder: GridFolder,
        cells: Iterable[Cell],
        waiting: Sequence[Cell],
        *,
        jobs: int,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder, self._log, self._jobs, self._clock = folder, log, jobs, clock
        self._waiting = list(waiting)
        self._running: dict[Cell, float] = {}
        all_cells = list(cells)
        self._total = len(all_cells)
        self._taken = TakenTimes()
        for cell in all_cells:
            if folder.state(cell) == "done":
                self._taken.add(cell, float(folder.result(cell)["seconds"]))

    def cell_started(self, cell: Cell) -> None:
        self._waiting.remove(cell)
        self._running[cell] = self._clock()

    def cell_ended(self, cell: Cell, outcome: CellOutcome) -> None:
        """Record how `cell` ended, and log it."""
        self._running.pop(cell)
        left = len(self._waiting) + len(self._running)
        place = f"[{self._total - left}/{self._total}] {cell}"
        if outcome.error is not None:
            self._folder.fail(cell, outcome.error, detail=outcome.detail)
            self._log(f"{place}: failed: {self._folder.failure(cell)}")
            return
        result = self._folder.result(cell)
        self._taken.add(cell, result["seconds"])
        self._log(
            f"{place}: {result['accuracy']:.1%} ({duration(result['seconds'])}{self._comma_left()})"
        )

    def status(self) -> str:
        """The cells that run, how long they have been running, and the time that is left."""
        now = self._clock()
        running = [
            f"{cell} ({duration(now - began)})" for cell, began in list(self._running.items())
        ]
        return f"running: {'; '.join(running)}{self._comma_left()}" if running else ""

    def _comma_left(self) -> str:
        left = self.seconds_left()
        return "" if left is None else f", about {duration(left)} left"

    def seconds_left(self) -> float | None:
        """The seconds until the last cell ends, from the times of the cells that are done.

        None when no cell is done or left.
        """
        if self._taken.is_empty or not (self._waiting or self._running):
            return None
        now = self._clock()
        running = [
            max(0.0, self._taken.expected(cell) - (now - began))
            for cell, began in list(self._running.items())
        ]
        waiting = [self._taken.expected(cell) for cell in list(self._waiting)]
        # No cell is divided between jobs: the longest one bounds the time.
        return max([(sum(waiting) + sum(running)) / self._jobs, *waiting, *running])


class TakenTimes:
    """The mean times of the cells that are done, by data and method; as fast for thousands of cells."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str | None, str | None], tuple[float, int]] = {}

    @property
    def is_empty(self) -> bool:
        return not self._sums

    def add(self, cell: Cell, seconds: float) -> None:
        """A cell is done."""
        for data in (cell.data, None):
            for method in (cell.method, None):
                total, count = self._sums.get((data, method), (0.0, 0))
                self._sums[data, method] = total + seconds, count + 1

    def expected(self, cell: Cell) -> float:
        """How long `cell` will take, if any cell is done.

        As long as those with the same data and method; else as those of its method, scaled by how slow its
        data are; else as those of its data, or as all.
        """
        same, of_data, of_method, overall = (
            self._mean(data, method)
            for data, method in (
                (cell.data, cell.method),
                (cell.data, None),
                (None, cell.method),
                (None, None),
            )
        )
        if same is None and of_data is not None and of_method is not None and overall:
            return of_data * of_method / overall
        return next(mean for mean in (same, of_method, of_data, overall) if mean is not None)

    def _mean(self, data: str | None, method: str | None) -> float | None:
        total, count = self._sums.get((data, method), (0.0, 0))
        return total / count if count else None


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(75), duration(200), duration(7000)
    ('75 s', '3 min', '1.9 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
