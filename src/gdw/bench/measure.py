"""Timing in one run: repeats interleaved, so that a slow moment of the machine touches everyone alike."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gdw.bench.contestants import CONTESTANTS, STEPS_PER_CALL, Step
from gdw.bench.memory import peak_bytes
from gdw.bench.peers import UnavailableError
from gdw.bench.workloads import Workload

BASE = "plain"


@dataclass
class Cost:
    """What one contestant's step costs on one workload.

    Attributes:
        seconds: of each repeat.
        ratio: median over the repeats of the ratio to plain's step of the same repeat.
        spread: the ratios' interquartile range.
        peak_bytes: the most memory that a step allocates above what it starts with.
        reason: why there are no figures, if there are none.
    """

    seconds: list[float]
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    peak_bytes: int | None = None
    reason: str | None = None


def measure(
    workload: Workload,
    names: Sequence[str],
    *,
    repeats: int,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Cost]:
    """Time one step of each contestant, `repeats` times in turn, after a warm-up; with peak memory.

    What cannot run is listed with its reason. Plain is always among them, as the base of the ratios.
    """
    steps: dict[str, Step] = {}
    costs: dict[str, Cost] = {}
    for name in dict.fromkeys((BASE, *names)):
        costs[name] = Cost([])
        try:
            step = CONTESTANTS[name](workload)
            for _ in range(2):
                step()
            costs[name].peak_bytes = peak_bytes(step)
        except UnavailableError as error:
            costs[name].reason = str(error)
        except (RuntimeError, NotImplementedError, AttributeError, TypeError) as error:
            # A peer that does not work with this PyTorch or this model: that is a result too.
            costs[name].reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
        else:
            steps[name] = step
    for repeat in range(repeats):
        for name, step in steps.items():
            gc.collect()
            start = time.perf_counter()
            step()
            elapsed = time.perf_counter() - start
            costs[name].seconds.append(elapsed / STEPS_PER_CALL.get(name, 1))
        say(f"{workload.describe()}: repeat {repeat + 1} of {repeats}")
    base = costs[BASE].seconds
    for name in steps:
        ratios = [own / plain for own, plain in zip(costs[name].seconds, base, strict=True)]
        costs[name].ratio = statistics.median(ratios)
        costs[name].spread = quartiles(ratios)
    return costs


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """The lower and upper quartile; of one value, that value twice."""
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def as_plain(costs: Mapping[str, Cost]) -> dict[str, Any]:
    """For JSON."""
    return {name: asdict(cost) for name, cost in costs.items()}
