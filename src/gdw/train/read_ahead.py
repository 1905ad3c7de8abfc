"""Batches that take long to read, read by a thread before they are needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from gdw.hypergradient.inputs import Batch

# How many batches are decoded before they are needed: one is in work while the other waits.
AHEAD = 2


def read_ahead(loader: Iterator[Batch]) -> Iterator[Batch]:
    """The batches of `loader`, read by a thread that is up to `AHEAD` batches in advance."""
    pending: deque[Future[Batch | None]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="gdw-loader") as pool:
        try:
            pending.extend(pool.submit(next, loader, None) for _ in range(AHEAD))
            while (batch := pending.popleft().result()) is not None:
                pending.append(pool.submit(next, loader, None))
                yield batch
        finally:
            # If the caller stops early, batches that are not begun are not needed.
            pool.shutdown(wait=False, cancel_futures=True)
