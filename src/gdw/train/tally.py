"""The running sums of an epoch, from which its line of the history is made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gdw.reweight import StepResult
from gdw.train.processes import Processes

_SUMS = (
    "examples",
    "correct",
    "loss",
    "weight",
    "label_weight",
    "other_weight",
    "meta_batches",
    "meta_loss",
)


class Tally:
    """Sums over the training batches that this process has seen in the current epoch."""

    def __init__(self) -> None:
        self._sums = dict.fromkeys(_SUMS, 0.0)
        self.seconds = 0.0

    def add(self, result: StepResult, targets: Tensor) -> bool:
        """Count a batch in; whether its losses are finite."""
        examples = len(result.logits)
        figures = _figures(result, targets)
        for name, value in figures.items():
            self._sums[name] += value if name == "correct" else value * examples
        self._sums["examples"] += examples
        finite = math.isfinite(figures["loss"])
        if result.meta_loss is not None:
            meta_loss = float(result.meta_loss)
            self._sums["meta_batches"] += 1
            self._sums["meta_loss"] += meta_loss
            finite = finite and math.isfinite(meta_loss)
        return finite

    @property
    def mean_loss(self) -> float:
        """This process's mean training loss so far."""
        return self._sums["loss"] / max(1.0, self._sums["examples"])

    @property
    def rate(self) -> float:
        """This process's examples a second so far."""
        return self._sums["examples"] / max(1e-9, self.seconds)

    def record(self, processes: Processes) -> dict[str, Any]:
        """The epoch's figures over all processes, for the history; `weight` as the model's step used."""
        values = processes.sum(
            torch.tensor(list(self._sums.values()), dtype=_widest(processes.device))
        )
        total = dict(zip(_SUMS, values.tolist(), strict=True))
        n = total["examples"]
        return {
            "train_loss": total["loss"] / n,
            "train_accuracy": total["correct"] / n,
            "meta_loss": total["meta_loss"] / total["meta_batches"]
            if total["meta_batches"]
            else None,
            "weight": total["weight"] / n,
            "weight_label": total["label_weight"] / n,
            "weight_other": total["other_weight"] / n,
            "seconds": self.seconds,
            "examples_per_second": n / max(1e-9, self.seconds),
        }

    def state_dict(self) -> dict[str, float]:
        return {**self._sums, "seconds": self.seconds}

    @classmethod
    def of(cls, states: Sequence[Mapping[str, float]]) -> Tally:
        """The tally of one or more `state_dict`s: their sums, over the longest of their times."""
        tally = cls()
        tally._sums = {name: sum(state[name] for state in states) for name in _SUMS}
        tally.seconds = max(state["seconds"] for state in states)
        return tally


def _figures(result: StepResult, targets: Tensor) -> dict[str, float]:
    """Means over the batch (and the number of hits), fetched from the device in one go."""
    labels = targets.argmax(1) if targets.dim() == 2 else targets
    label_weight = result.weights.gather(1, labels[:, None]).mean()
    classes = result.weights.shape[1]
    weight = result.weights.mean()
    other_weight = (weight * classes - label_weight) / max(1, classes - 1)
    correct = (result.logits.argmax(1) == labels).sum()
    names = ("loss", "weight", "label_weight", "other_weight", "correct")
    values = (result.loss, weight, label_weight, other_weight, correct)
    # The number of hits would be rounded in bfloat16.
    dtype = torch.promote_types(result.loss.dtype, torch.float32)
    stacked = torch.stack([value.to(dtype) for value in values])
    return dict(zip(names, stacked.tolist(), strict=True))


def _widest(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64
