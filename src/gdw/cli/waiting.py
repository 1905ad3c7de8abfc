"""A sign of life on a terminal, for work that says nothing for more than a second."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_PATIENCE = 1.5


@contextmanager
def waiting(text: str, *, patience: float = _PATIENCE) -> Iterator[None]:
    """A context that shows `text` and the time on standard error if it takes more than `patience` seconds."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )

    bar.add_task(text, total=None)

    def show() -> None:
        bar.start()
        # A signal that ends the process would leave the terminal without one.
        console.show_cursor(True)

    timer = threading.Timer(patience, show)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        bar.stop()
