"""A whole benchmark: run its workloads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from gdw.bench import loading_speed, operations, reading_speed, thread_count
from gdw.bench.contestants import contestants_of
from gdw.bench.step_cost import measure
from gdw.bench.workloads import Workload
from gdw.files.machine import describe_machine


def run(
    workloads: Sequence[Workload],
    *,
    repeats: int,
    log: Callable[[str], None],
    with_loading: bool = False,
    with_threads: bool = False,
    with_operations: bool = False,
    table: tuple[int, int] = (100_000, 20),
) -> dict[str, Any]:
    """Measure every workload.

    Args:
        workloads: models and batches, see `gdw.bench.workloads.suite`.
        repeats: how often each step is timed.
        log: takes a line after each repeat.
        with_loading: whether to measure how fast files are read and data are loaded as well.
        with_threads: whether to measure which models are faster with one thread as well.
        with_operations: whether to count the operations of a step as well.
        table: the rows and columns of the files that are read.

    Returns:
        The results as `--json` writes them.
    """
    results = []
    for workload in workloads:
        costs = measure(workload, contestants_of(workload), repeats=repeats, log=log)
        results.append(
            {
                "workload": asdict(workload),
                "name": workload.describe(),
                "costs": {name: asdict(cost) for name, cost in costs.items()},
            }
        )
    rows, columns = table
    reading = (
        reading_speed.run(rows=rows, columns=columns, repeats=repeats, log=log)
        if with_loading
        else None
    )
    return {
        "loading": loading_speed.run(repeats=repeats, log=log) if with_loading else None,
        "reading": reading,
        "threads": thread_count.run(repeats=repeats, log=log) if with_threads else None,
        "operations": operations.run(log=log) if with_operations else None,
        "machine": describe_machine(),
        "repeats": repeats,
        "results": results,
    }
