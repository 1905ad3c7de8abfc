"""Run the cells of a grid that are not done yet, one after the other or several at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from gdw.errors import GDWError
from gdw.experiments.cell_settings import CellSettings, cell_settings
from gdw.experiments.cells import Cell, expand
from gdw.experiments.dataset_builders import DatasetBuilder, Log
from gdw.experiments.grid_folder import GridFolder
from gdw.experiments.grid_progress import GridProgress
from gdw.experiments.protocol import Protocol, ProtocolPaths
from gdw.files.memory import usable_cores
from gdw.runs.config import RunConfig
from gdw.train.threads import divide_cores

Watched = Callable[[Callable[[], str]], AbstractContextManager[object]]


class Grid:
    """The cells of a protocol and the folder in which they run; nothing is written before `run`.

    Args:
        protocol: what to run.
        output: the folder, new or of an earlier call.
        paths: where the protocol's paths lead.
        only: conditions `axis=glob` that choose cells, see `expand`.

    Raises:
        ConfigError: the options of a cell do not fit.
        RunError: `output` holds cells that ran with other settings.
    """

    def __init__(
        self, protocol: Protocol, output: Path, *, paths: ProtocolPaths, only: Sequence[str] = ()
    ) -> None:
        self.protocol = protocol
        self.folder = GridFolder(output)
        self.cells: dict[Cell, CellSettings] = {
            cell: cell_settings(protocol, cell, paths=paths, data=self.folder.data)
            for cell in expand(protocol, only)
        }
        self.folder.require_same(self.cells)

    @property
    def pending(self) -> list[Cell]:
        """The cells that are not done, those that were started first."""
        unfinished = [cell for cell in self.cells if self.folder.state(cell) != "done"]
        return sorted(unfinished, key=lambda cell: self.folder.state(cell) != "started")

    def run(
        self, *, jobs: int, log: Log, watched: Watched | None = None, minutes: float | None = None
    ) -> int:
        """Run the pending cells.

        A cell that fails is recorded, and the others run; the next call tries it again. After a first Ctrl-C
        the running cells write a checkpoint, then `KeyboardInterrupt` is raised.

        Args:
            jobs: how many cells run at a time.
            log: takes a line for each cell that ends.
            watched: makes a context that shows what the function it gets returns, while the cells run.
            minutes: how long; then the running cells write a checkpoint. None: until all cells are done.

        Returns:
            How many cells failed.

        Raises:
            RunError: another process works on the grid.
        """
        until = None if minutes is None else time.monotonic() + 60 * minutes
        lock = self.folder.lock()
        try:
            self.folder.keep_protocol(self.protocol)
            ready = self._with_dataset_files(self.pending, log)
            progress = GridProgress(self.folder, self.cells, ready, jobs=jobs, log=log)
            threads = divide_cores(jobs)
            shown = nullcontext() if watched is None else watched(progress.status)
            with self._recorded_sitting(ready, jobs, threads), shown:
                self._run_cells(ready, jobs, threads, progress, until)
        finally:
            lock.release()
        return sum(self.folder.state(cell) == "failed" for cell in self.cells)

    def _run_cells(
        self,
        cells: Sequence[Cell],
        jobs: int,
        threads: int | None,
        progress: GridProgress,
        until: float | None,
    ) -> None:
        from gdw.experiments.cell_run import run_cell
        from gdw.experiments.worker_pool import TimeIsOver, run_in_parallel

        def start(cell: Cell) -> Path:
            progress.cell_started(cell)
            return self.folder.start(cell, self.cells[cell], threads=threads)

        if jobs > 1 or until is not None:
            workers: Any = {"jobs": jobs, "start": start, "on_end": progress.cell_ended}
            with suppress(TimeIsOver):
                run_in_parallel(cells, until=until, **workers)
            return
        for cell in cells:
            outcome = run_cell(start(cell))
            if outcome.interrupted:
                raise KeyboardInterrupt
            progress.cell_ended(cell, outcome)

    def _with_dataset_files(self, cells: Sequence[Cell], log: Log) -> list[Cell]:
        """Make the files of the data sets; return the cells whose files are there, and fail the others."""
        errors: dict[str, str] = {}
        for name, builder in self._builders(cells).items():
            try:
                builder.build(self.folder.data, log)
            except (GDWError, OSError) as error:
                errors[name] = str(error)
                log(f"{name}: {error}")
        for cell in cells:
            if cell.data in errors:
                self.folder.fail(cell, errors[cell.data])
        return [cell for cell in cells if cell.data not in errors]

    def _builders(self, cells: Sequence[Cell]) -> dict[str, DatasetBuilder]:
        """The builders that `cells` need, by the name of the data set."""
        builders = {cell.data: self.cells[cell].builder for cell in cells}
        return {name: builder for name, builder in builders.items() if builder is not None}

    @contextmanager
    def _recorded_sitting(
        self, cells: Sequence[Cell], jobs: int, threads: int | None
    ) -> Iterator[None]:
        """Inside, `cells` run; afterwards, also after an interrupt, the time that it took is recorded."""
        started, clock = datetime.now(timezone.utc), time.perf_counter()
        try:
            yield
        finally:
            if cells:
                from gdw.experiments.cost import describe_hardware

                machine = describe_hardware()
                self.folder.add_sitting(
                    {
                        "started": started.isoformat(timespec="seconds"),
                        "seconds": round(time.perf_counter() - clock, 1),
                        "jobs": jobs,
                        "cores": usable_cores(),
                        "cells": sum(self.folder.state(cell) == "done" for cell in cells),
                        "machine": {**machine, "threads": threads or machine["threads"]},
                    }
                )


def choose_jobs(configs: Sequence[RunConfig]) -> int:
    """How many cells to run at a time by default: one per core, or a single one where there is a GPU.

    A second thread speeds up small steps only a little; two cells at a time use both cores fully.
    """
    import torch

    if any(config.training.devices * config.training.nodes > 1 for config in configs):
        return 1
    on_cpu = all(config.training.accelerator == "cpu" for config in configs)
    if not on_cpu and (torch.cuda.is_available() or torch.backends.mps.is_available()):
        return 1
    return max(1, min(usable_cores(), len(configs)))
