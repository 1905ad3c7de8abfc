"""Run the cells of a grid that are not done yet, one by one or side by side."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from gdw.errors import GDWError, RunError
from gdw.experiments.attempt import Attempt, try_cell
from gdw.experiments.cells import Cell, expand
from gdw.experiments.folder import GridFolder
from gdw.experiments.pool import run_side_by_side
from gdw.experiments.protocol import Protocol
from gdw.experiments.settings import CellSettings, Places, cell_settings
from gdw.files.machine import describe_machine
from gdw.runs.config import RunConfig

Say = Callable[[str], None]


class Grid:
    """The cells of `protocol` in the folder `output`; nothing is written before `run`.

    Args:
        protocol: what to run.
        output: the folder, new or holding an earlier sitting.
        places: where the protocol's paths lead.
        only: `axis=glob` conditions, see `expand`.

    Raises:
        ConfigError: a cell whose options do not fit, before any is run.
        RunError: `output` holds cells that were run with other settings.
    """

    def __init__(
        self, protocol: Protocol, output: Path, *, places: Places, only: Sequence[str] = ()
    ) -> None:
        self.protocol = protocol
        self.folder = GridFolder(output)
        self.cells: dict[Cell, CellSettings] = {
            cell: cell_settings(protocol, cell, places=places, data=self.folder.data)
            for cell in expand(protocol, only)
        }
        self.folder.require_same(self.cells)

    @property
    def pending(self) -> list[Cell]:
        """What is left to do, begun cells first."""
        left = [cell for cell in self.cells if self.folder.state(cell) != "done"]
        return sorted(left, key=lambda cell: self.folder.state(cell) != "begun")

    def run(self, *, jobs: int, say: Say) -> int:
        """Run what is left, `jobs` cells at a time; how many failed.

        A cell that fails is recorded and the others go on; the next call tries it again. A first Ctrl-C
        lets the running cells write a checkpoint, then `KeyboardInterrupt` is raised. `RunError` if another
        process works on the grid.
        """
        self.folder.keep_protocol(self.protocol)
        with self._alone():
            return self._run(jobs=jobs, say=say)

    def _run(self, *, jobs: int, say: Say) -> int:
        ready = self._prepared(self.pending, say)
        progress = _Progress(self.folder, say, total=len(self.cells), left=len(ready), jobs=jobs)
        threads = None if jobs == 1 else max(1, usable_cores() // jobs)
        with self._sitting(ready, jobs, threads):

            def begin(cell: Cell) -> Path:
                return self.folder.begin(cell, self.cells[cell], threads=threads)

            if jobs == 1:
                _run_in_turn(ready, begin, progress)
            else:
                run_side_by_side(ready, jobs=jobs, begin=begin, done=progress.done)
        return sum(self.folder.state(cell) == "failed" for cell in self.cells)

    def _prepared(self, cells: Sequence[Cell], say: Say) -> list[Cell]:
        """Those of `cells` whose files are ready; the others have failed."""
        errors: dict[str, str] = {}
        made: set[str] = set()
        for cell in cells:
            material = self.cells[cell].material
            if material is None or material.key in made or cell.data in errors:
                continue
            try:
                material.make(self.folder.data, say)
                made.add(material.key)
            except (GDWError, OSError) as error:
                errors[cell.data] = str(error)
                say(f"{cell.data}: {errors[cell.data]}")
        for cell in cells:
            if cell.data in errors:
                self.folder.fail(cell, errors[cell.data])
        return [cell for cell in cells if cell.data not in errors]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Inside, no other process works on this grid; `RunError` if one does."""
        try:
            import fcntl
        except ImportError:  # no such locks on this system
            yield
            return
        with (self.folder.path / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunError(
                    f"{self.folder.path} is being worked on by another process: wait for it, or stop it"
                ) from None
            yield

    @contextmanager
    def _sitting(self, cells: Sequence[Cell], jobs: int, threads: int | None) -> Iterator[None]:
        started, clock = datetime.now(timezone.utc), time.perf_counter()
        try:
            yield
        finally:
            # A long cell may take several sittings, some of which finish nothing.
            if cells:
                machine = describe_machine()
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


def usable_cores() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def choose_jobs(configs: Sequence[RunConfig]) -> int:
    """How many cells to run at a time when nobody said: one a core, but one in all where there is a GPU.

    Small steps gain little from a second thread, and two cells side by side use both cores fully.
    """
    import torch

    if any(config.training.devices * config.training.nodes > 1 for config in configs):
        return 1
    on_cpu = all(config.training.accelerator == "cpu" for config in configs)
    if not on_cpu and (torch.cuda.is_available() or torch.backends.mps.is_available()):
        return 1
    return max(1, min(usable_cores(), len(configs)))


def _run_in_turn(cells: Sequence[Cell], begin: Callable[[Cell], Path], progress: _Progress) -> None:
    for cell in cells:
        ended = try_cell(begin(cell))
        if ended.interrupted:
            raise KeyboardInterrupt
        progress.done(cell, ended)


class _Progress:
    """Records how each cell ended and says so in a line."""

    def __init__(self, folder: GridFolder, say: Say, *, total: int, left: int, jobs: int) -> None:
        self._folder, self._say, self._total, self._left = folder, say, total, left
        self._jobs = jobs
        self._seconds: list[float] = []

    def done(self, cell: Cell, ended: Attempt) -> None:
        self._left -= 1
        place = f"[{self._total - self._left}/{self._total}] {cell}"
        if ended.error is not None:
            self._folder.fail(cell, ended.error, detail=ended.detail)
            self._say(f"{place}: failed: {self._folder.failure(cell)}")
            return
        result = self._folder.result(cell)
        self._seconds.append(result["seconds"])
        left = sum(self._seconds) / len(self._seconds) * self._left / self._jobs
        time_left = f", about {_duration(left)} left" if self._left else ""
        self._say(f"{place}: {result['accuracy']:.1%} ({_duration(result['seconds'])}{time_left})")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
