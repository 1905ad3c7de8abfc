"""What a run of a grid costs: time, memory, and on which hardware."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from gdw.files.machine import describe_machine
from gdw.train.monitoring import Callback, TrainingView


class Stopwatch(Callback):
    """Adds to each epoch's record the wall-clock time since the last one, with preparation and evaluation.

    On a GPU also `peak_memory`, the most bytes of tensors on it in this sitting.

    Attributes:
        sittings: how many processes have worked on the run.
    """

    def __init__(self) -> None:
        self.sittings = 1
        self._since = time.perf_counter()
        self._device = torch.device("cpu")

    def on_start(self, training: TrainingView) -> None:
        self._device = training.processes.device

    def on_epoch(self, record: dict[str, Any]) -> None:
        now = time.perf_counter()
        record["wall_seconds"] = now - self._since
        self._since = now
        if self._device.type == "cuda":
            record["peak_memory"] = torch.cuda.max_memory_allocated(self._device)

    def state_dict(self) -> dict[str, Any]:
        return {"sittings": self.sittings}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.sittings = int(state.get("sittings", 1)) + 1


def cost(history: Sequence[Mapping[str, Any]], sittings: int) -> dict[str, Any]:
    """The cost of a run with `history`, for its `result.json`.

    Returns:
        `training_seconds`, of the steps alone; `seconds`, by the clock, with preparation and evaluation;
        `step_milliseconds`; `peak_memory` in bytes, None where there was no GPU; `sittings`.
    """
    training = sum(record["seconds"] for record in history)
    peaks = [record["peak_memory"] for record in history if record.get("peak_memory")]
    return {
        "training_seconds": training,
        "seconds": sum(record.get("wall_seconds", 0.0) for record in history),
        "step_milliseconds": 1000 * training / max(1, history[-1]["step"]),
        "peak_memory": max(peaks, default=None),
        "sittings": sittings,
    }


def describe_hardware() -> dict[str, Any]:
    """`describe_machine`, and the name of the GPU as `card` where there is one."""
    machine: dict[str, Any] = describe_machine()
    return (
        {**machine, "card": torch.cuda.get_device_name()} if torch.cuda.is_available() else machine
    )
