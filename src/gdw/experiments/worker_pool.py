"""Run several cells at a time, each in a worker process; a worker that dies fails only its cell."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from gdw.experiments.cell_run import CellOutcome, run_cell
from gdw.experiments.cells import Cell
from gdw.train.processes import Interrupt

OnEnd = Callable[[Cell, CellOutcome], None]

# In seconds: how long workers may take for their checkpoints when the time is over.
_GRACE = 60.0


class TimeIsOver(KeyboardInterrupt):
    """The time for a grid is over; its running cells wrote a checkpoint, as after a Ctrl-C."""


def run_in_parallel(
    cells: Sequence[Cell],
    *,
    jobs: int,
    start: Callable[[Cell], Path],
    on_end: OnEnd,
    until: float | None = None,
) -> None:
    """Run `cells` in worker processes.

    After a first Ctrl-C the workers write a checkpoint and stop, then `KeyboardInterrupt` is raised. A second
    Ctrl-C ends them at once. The same happens at `until`, with `TimeIsOver`.

    Args:
        cells: the cells, in the order in which they are started.
        jobs: how many run at a time.
        start: makes the folder of a cell and returns it.
        on_end: called in this process with each cell that has ended and its outcome.
        until: when to stop, by `time.monotonic()`; None: when all cells are done.
    """
    workers = [_Worker() for _ in range(min(jobs, len(cells)))]
    try:
        with _signals_as_ctrl_c():
            _run_all(list(cells), workers, start, on_end, until)
    except KeyboardInterrupt as stop:
        for worker in workers:
            worker.ask_to_stop()
        last = time.monotonic() + _GRACE if isinstance(stop, TimeIsOver) else None
        for worker in workers:
            worker.join(last)
        raise
    finally:
        for worker in workers:
            worker.end()


def _run_all(
    waiting: list[Cell],
    workers: Sequence[_Worker],
    start: Callable[[Cell], Path],
    on_end: OnEnd,
    until: float | None,
) -> None:
    while waiting or any(worker.cell for worker in workers):
        _assign(waiting, workers, start)
        ended = _ended(workers, until)
        if not ended:
            raise TimeIsOver
        for worker in ended:
            cell, outcome = worker.take()
            if outcome.interrupted:
                raise KeyboardInterrupt
            on_end(cell, outcome)


def _assign(waiting: list[Cell], workers: Sequence[_Worker], start: Callable[[Cell], Path]) -> None:
    """Give each idle worker the next cell, as long as there are some."""
    for worker in workers:
        if waiting and worker.cell is None:
            cell = waiting.pop(0)
            worker.give(cell, start(cell))


def _ended(workers: Sequence[_Worker], until: float | None) -> list[_Worker]:
    """Wait until a cell has ended; the workers whose cells have. None if the time is over."""
    busy = [worker for worker in workers if worker.cell is not None]
    left = None if until is None else max(0.0, until - time.monotonic())
    ready = wait([worker.connection for worker in busy], left)
    return [worker for worker in busy if worker.connection in ready]


class _Worker:
    """A process that runs the cells it is given; it is started again when it has died."""

    def __init__(self) -> None:
        self.cell: Cell | None = None
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs,), daemon=False)
        self._process.start()
        theirs.close()

    def give(self, cell: Cell, folder: Path) -> None:
        self.cell = cell
        self.connection.send(folder)

    def take(self) -> tuple[Cell, CellOutcome]:
        """The cell that has ended, and its outcome."""
        assert self.cell is not None
        cell, self.cell = self.cell, None
        try:
            outcome: CellOutcome = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            outcome = CellOutcome(f"its process died ({self._reason()})")
            self._start()
        return cell, outcome

    def ask_to_stop(self) -> None:
        if self._process.is_alive():
            self._process.terminate()

    def join(self, last: float | None) -> None:
        """Wait for the end of the process, until `last` by `time.monotonic()`; `end` kills it then."""
        self._process.join(None if last is None else max(0.0, last - time.monotonic()))

    def end(self) -> None:
        self.connection.close()
        if self._process.is_alive() and self.cell is not None:
            self._process.kill()
        self._process.join()

    def _reason(self) -> str:
        """Why the process has ended."""
        code = self._process.exitcode
        if code is None or code >= 0:
            return f"exit status {code}"
        memory = "; the memory may have run out: try fewer --jobs" if code == -9 else ""
        return f"signal {-code}{memory}"


def _work(connection: Connection[Any, Any]) -> None:
    """The main function of a worker: run cells until the parent process closes the connection."""
    if hasattr(os, "setsid"):
        # The terminal sends Ctrl-C to every process of its group, and the parent asks its workers to stop
        # as well. The second signal would end them before they have written their checkpoint.
        os.setsid()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            folder = connection.recv()
            outcome = run_cell(folder)
            connection.send(outcome)
        except (EOFError, BrokenPipeError, KeyboardInterrupt):
            return
        if outcome.interrupted:
            return


def _end_with_parent() -> None:
    """End this process if its parent was killed: the next call of `gdw experiment` works on the same grid."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        # As after SIGKILL, what is on the disk is complete, and no checkpoint delays the next call.
        os._exit(1)


@contextmanager
def _signals_as_ctrl_c() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP raise `KeyboardInterrupt`; else the workers would outlive this process."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [number for number in Interrupt.SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in numbers:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
