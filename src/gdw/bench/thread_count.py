"""Whether a training step is faster with one thread or with all cores, on a free and on a busy machine."""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from gdw.bench.contestants import Step
from gdw.files.machine import describe_machine
from gdw.files.memory import usable_cores
from gdw.models.build import build_model
from gdw.train.threads import layer_work

CASES: tuple[tuple[str, str, tuple[int, ...], int], ...] = (
    ("the demo: scans of 64 values", "mlp:128,128", (64,), 50),
    ("a table of 50 columns", "mlp", (50,), 100),
    ("a table of 784 columns", "mlp:512,512", (784,), 100),
    ("texts, 20,000 words", "mlp:256,dropout=0.5", (20_000,), 100),
    ("images of 8 pixels", "resnet8", (1, 8, 8), 50),
    ("images of 32 pixels", "resnet8", (3, 32, 32), 32),
    ("images of 32 pixels", "resnet8", (3, 32, 32), 100),
    ("images of 32 pixels", "resnet32", (3, 32, 32), 16),
    ("images of 32 pixels", "resnet32", (3, 32, 32), 100),
)
"""Data in words, model, shape of an example, batch size."""

_SECONDS = 0.2


def run(*, repeats: int = 5, log: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Time plain training steps with one thread and with one for each core, in turn.

    Each is measured alone, and while another process uses one core fully.

    Returns:
        The results for JSON: for each case `layer_work`, see `gdw.train.threads`, and wall-clock and CPU
        milliseconds of a step by the number of threads.
    """
    before, threads = torch.get_num_threads(), usable_cores()
    cases = []
    try:
        for data, name, shape, batch in CASES:
            step, work = _step(name, shape, batch)
            times = {"free": _times(step, threads, repeats)}
            with _busy_core():
                times["busy"] = _times(step, threads, repeats)
            cases.append({"data": data, "model": name, "batch": batch, "layer_work": work, **times})
            log(f"threads: {name}, batch {batch}, {data}")
    finally:
        torch.set_num_threads(before)
    return {"machine": describe_machine(), "repeats": repeats, "threads": threads, "cases": cases}


def table(results: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]], str]:
    """The header, the rows and a note for a table of the results of `run`."""
    threads = results["threads"]
    rows: list[tuple[str, ...]] = []
    for case in results["cases"]:
        cells = [
            " / ".join(_figure(case[state][str(number)]["wall"]) for number in (1, threads))
            for state in ("free", "busy")
        ]
        cpu = [case["busy"][str(number)]["cpu"] for number in (1, threads)]
        rows.append(
            (
                f"{case['data']}: {case['model']}, batch {case['batch']}",
                f"{case['layer_work'] / 1e6:,.1f}",
                *cells,
                " / ".join(map(_figure, cpu)),
            )
        )
    machine = ", ".join(f"{key} {value}" for key, value in results["machine"].items())
    note = (
        f"Milliseconds of a plain training step with 1 / {threads} threads: median of {results['repeats']} "
        "repeats, in turn. Busy: another process uses one core fully; cpu: the processor time then. Where a "
        "layer has fewer than 50 million multiplications for a batch, gdw trains with one thread. Measured "
        f"with gdw bench --suite threads --json FILE.json. Machine: {machine}."
    )
    header = (
        "data and model",
        "million multiplications a layer",
        "ms, free",
        "ms, busy",
        "cpu ms, busy",
    )
    return header, rows, note


def _figure(milliseconds: float) -> str:
    return f"{milliseconds:,.0f}" if milliseconds >= 100 else f"{milliseconds:.1f}"


def _step(name: str, shape: tuple[int, ...], batch: int) -> tuple[Step, float]:
    """A plain training step, and the multiplications of a layer."""
    model = build_model(name, input_shape=shape, num_classes=10, seed=0)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(batch, *shape, generator=generator)
    targets = torch.randint(10, (batch,), generator=generator)
    if len(shape) == 3:
        model = model.to(memory_format=torch.channels_last)
        inputs = inputs.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()

    return step, layer_work(model, batch, lambda: _forward(model, inputs))


def _forward(model: nn.Module, inputs: torch.Tensor) -> None:
    with torch.no_grad():
        model(inputs)


def _times(step: Step, threads: int, repeats: int) -> dict[str, dict[str, float]]:
    """Median milliseconds of a step by the number of threads: wall-clock and CPU."""
    torch.set_num_threads(1)
    step()
    begin = time.perf_counter()
    step()
    steps = max(1, round(_SECONDS / (time.perf_counter() - begin)))
    taken: dict[int, list[tuple[float, float]]] = {1: [], threads: []}
    gc.collect()
    for _ in range(repeats):
        for number, list_of_times in taken.items():
            torch.set_num_threads(number)
            step()
            wall, cpu = time.perf_counter(), time.process_time()
            for _ in range(steps):
                step()
            list_of_times.append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        str(number): {
            name: 1000 * statistics.median(values) / steps
            for name, values in zip(("wall", "cpu"), zip(*times, strict=True), strict=True)
        }
        for number, times in taken.items()
    }


@contextmanager
def _busy_core() -> Iterator[None]:
    """Inside, another process uses one core fully."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()
