"""A training of a few steps that only measures what a step takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from gdw.train.progress import Display, Progress


class Trial(Progress):
    """Stands in for the progress in a training of a few steps that only measures what a step takes."""

    def __init__(self) -> None:
        super().__init__(Display())
        self._ends: list[float] = []

    def batch(self, done: int, loss: Callable[[], float] | None = None) -> None:  # noqa: ARG002
        self._ends.append(time.perf_counter())

    def epoch(self, record: Mapping[str, Any]) -> None:
        """The end of an epoch counts as a part of its last step."""

    @property
    def seconds(self) -> float:
        """What a step takes; the first one is slower than the others and does not count."""
        steps = sorted(b - a for a, b in zip(self._ends, self._ends[1:], strict=False))
        return steps[len(steps) // 2]
