"""Cells side by side, each in a process of its own making: one that dies takes only its cell along."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from gdw.experiments.attempt import Attempt, try_cell
from gdw.experiments.cells import Cell

Done = Callable[[Cell, Attempt], None]


def run_side_by_side(
    cells: Sequence[Cell], *, jobs: int, begin: Callable[[Cell], Path], done: Done
) -> None:
    """Run `cells`, `jobs` at a time, each in the folder that `begin` makes; `done` hears how each ended.

    On Ctrl-C the workers are asked once to stop, which lets them write a checkpoint, and
    `KeyboardInterrupt` is raised when they have; a second Ctrl-C ends them at once.
    """
    waiting = list(cells)
    workers = [_Worker() for _ in range(min(jobs, len(waiting)))]
    try:
        with _sigterm_as_ctrl_c():
            while waiting or any(worker.cell for worker in workers):
                for worker in workers:
                    if waiting and worker.cell is None:
                        cell = waiting.pop(0)
                        worker.give(cell, begin(cell))
                busy = [worker for worker in workers if worker.cell is not None]
                ready = wait([worker.connection for worker in busy])
                for worker in busy:
                    if worker.connection in ready:
                        cell, ended = worker.take()
                        if ended.interrupted:
                            raise KeyboardInterrupt
                        done(cell, ended)
    except KeyboardInterrupt:
        for worker in workers:
            worker.ask_to_stop()
        for worker in workers:
            worker.join()
        raise
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """A process that runs the cells it is sent, started anew when it has died."""

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

    def take(self) -> tuple[Cell, Attempt]:
        """The cell that has ended, and how."""
        assert self.cell is not None
        cell, self.cell = self.cell, None
        try:
            ended: Attempt = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            code = self._process.exitcode
            why = f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
            memory = "; the memory may have run out: try fewer --jobs" if code == -9 else ""
            ended = Attempt(f"its process died ({why}{memory})")
            self._start()
        return cell, ended

    def ask_to_stop(self) -> None:
        if self._process.is_alive():
            self._process.terminate()

    def join(self) -> None:
        self._process.join()

    def end(self) -> None:
        self.connection.close()
        if self._process.is_alive() and self.cell is not None:
            self._process.kill()
        self._process.join()


def _work(connection: Connection[Any, Any]) -> None:
    """The worker: cells as they come, until there is nobody to send them."""
    if hasattr(os, "setsid"):
        # The terminal's Ctrl-C is for the grid, which asks its workers once: a second signal would cost
        # them their checkpoint.
        os.setsid()
    while True:
        try:
            folder = connection.recv()
            ended = try_cell(folder)
            connection.send(ended)
        except (EOFError, BrokenPipeError, KeyboardInterrupt):
            return
        if ended.interrupted:
            return


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Inside, SIGTERM raises `KeyboardInterrupt`: else the workers would be left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
