"""The cost of a step: time as a ratio to plain SGD in the same run, and peak memory."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gdw.bench.contestants import CONTESTANTS, Step
from gdw.bench.memory import peak_bytes
from gdw.bench.other_packages import UnavailableError
from gdw.bench.workloads import Workload

BASE = "plain"


@dataclass
class Cost:
    """The cost of one contestant's step on one workload.

    Attributes:
        seconds: the time of a step in each repeat.
        ratio: median over the repeats of the time divided by that of plain SGD in the same repeat.
        spread: the quartiles of these ratios.
        peak_bytes: the most bytes of tensors alive at once in a step, above those at its start.
        reason: why the contestant could not run; None if it could.
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
    log: Callable[[str], None] = lambda _: None,
) -> dict[str, Cost]:
    """Time a step of each contestant after a warm-up, and measure its peak memory.

    Every repeat runs all contestants in turn, so that a slow moment of the machine affects all of them alike.

    Args:
        workload: model and batches.
        names: of the contestants; plain SGD, the base of the ratios, is added.
        repeats: how often each step is timed.
        log: takes a line after each repeat.

    Returns:
        The cost by name; of a contestant that cannot run, the reason.
    """
    costs = {name: Cost([]) for name in dict.fromkeys((BASE, *names))}
    steps: dict[str, Step] = {}
    for name, cost in costs.items():
        step = _warm_step(name, workload, cost)
        if step is not None:
            steps[name] = step
    for repeat in range(repeats):
        for name, step in steps.items():
            gc.collect()
            start = time.perf_counter()
            step()
            elapsed = time.perf_counter() - start
            costs[name].seconds.append(elapsed / CONTESTANTS[name].steps_per_call)
        log(f"{workload.describe()}: repeat {repeat + 1} of {repeats}")
    for name in steps:
        pairs = zip(costs[name].seconds, costs[BASE].seconds, strict=True)
        ratios = [seconds / base for seconds, base in pairs]
        costs[name].ratio = statistics.median(ratios)
        costs[name].spread = quartiles(ratios)
    return costs


def _warm_step(name: str, workload: Workload, cost: Cost) -> Step | None:
    """The step of a contestant after a warm-up, with its memory in `cost`; None if it cannot run."""
    try:
        step = CONTESTANTS[name].make_step(workload)
        for _ in range(2):
            step()
        cost.peak_bytes = peak_bytes(step)
    except UnavailableError as error:
        cost.reason = str(error)
    except (RuntimeError, NotImplementedError, AttributeError, TypeError) as error:
        # That another package does not work with this PyTorch or this model is a result too.
        cost.reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
    else:
        return step
    return None


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """The lower and upper quartile; for a single value, that value twice."""
    if len(values) < 2:
        return values[0], values[0]
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high
