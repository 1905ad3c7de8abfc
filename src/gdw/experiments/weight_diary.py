"""The weights of a method over a training: those of right and wrong labels, and as a function of the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdw.reweight.step_result import StepResult
from gdw.train.monitoring import Callback, TrainingView

MEANS = ("right_given", "right_other", "wrong_given", "wrong_true", "wrong_other")
"""Mean class-level weights: of the given class and of all other ones where the given label is right; of the
given class, of the true class and of all other ones where it is wrong."""

LOSSES = tuple(np.linspace(0.0, 10.0, 41).tolist())
"""The losses at which the weighting function is recorded."""

PREFIX, FUNCTION = "weight_", "weighting_function"
_MOST_FUNCTIONS = 9


class WeightDiary(Callback):
    """Adds to the record of each epoch the means `MEANS`, as `weight_NAME`, over its batches.

    For methods with a weighting network also `weighting_function`: its values at `LOSSES`.

    Args:
        known: `(K,)`, positions of the training examples whose true label is known.
        true: `(K,)`, their true classes.
    """

    def __init__(self, known: NDArray[np.int64], true: NDArray[np.int64]) -> None:
        self._known, self._true = torch.tensor(known), torch.tensor(true)
        self._run: TrainingView | None = None
        # The given and the true class of each example; -1 where the true one is not known.
        self._given = self._truth = torch.empty(0, dtype=torch.int64)
        self._sums: Tensor | None = None

    def on_start(self, training: TrainingView) -> None:
        self._run = training
        targets = training.targets()
        self._given = targets.argmax(1) if targets.dim() == 2 else targets.long()
        self._truth = torch.full_like(self._given, -1)
        self._truth[self._known] = self._true

    def on_batch(self, epoch: int, indices: Sequence[int], result: StepResult) -> None:  # noqa: ARG002
        rows = torch.as_tensor(indices, dtype=torch.int64)
        # Clean examples that were appended do not count.
        rows = rows.where(rows < len(self._given), 0)
        is_known = (torch.as_tensor(indices) < len(self._given)) & (self._truth[rows] >= 0)
        classes = [self._given[rows], self._truth[rows].clamp(min=0), is_known.long()]
        sums = _sums(
            result.weights, *torch.stack(classes).to(result.weights.device, non_blocking=True)
        )
        self._sums = sums if self._sums is None else self._sums + sums.to(self._sums.device)

    def on_epoch(self, record: dict[str, Any]) -> None:
        if self._sums is not None:
            totals, counts = self._sums.tolist()
            for name, total, count in zip(MEANS, totals, counts, strict=True):
                record[f"{PREFIX}{name}"] = total / count if count else None
            self._sums = None
        network = None if self._run is None else self._run.weighting_network()
        if network is not None:
            like = next(network.parameters())
            with torch.no_grad():
                record[FUNCTION] = network(torch.tensor(LOSSES)[:, None].to(like))[:, 0].tolist()

    def state_dict(self) -> dict[str, Any]:
        return {} if self._sums is None else {"sums": self._sums.cpu()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._sums = state.get("sums")


def _sums(weights: Tensor, given: Tensor, true: Tensor, is_known: Tensor) -> Tensor:
    """The sums behind `MEANS` and how many examples each has: `(2, 5)` float64."""
    values, classes = weights.double(), weights.shape[1]
    of_given, of_true = (values.gather(1, column[:, None])[:, 0] for column in (given, true))
    wrong, known = given != true, is_known.bool()
    number = classes - 1 - wrong.long()
    others = (values.sum(1) - of_given - of_true * wrong) / number.clamp(min=1)
    right, false, has_others = known & ~wrong, known & wrong, number > 0
    columns = (
        (of_given, right),
        (others, right),
        (of_given, false),
        (of_true, false),
        (others, false & has_others),
    )
    sums = [torch.stack([(value * chosen).sum(), chosen.sum()]) for value, chosen in columns]
    return torch.stack(sums, dim=1)


def diary_of(history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What was recorded over all epochs, for `result.json`; empty without a diary.

    Returns:
        `weights_over_training`: a list with a value for each epoch, by name of `MEANS`. With a weighting
        network `weighting_functions`: `losses`, and of some epochs `epochs` and `weights`.
    """
    if not history or f"{PREFIX}{MEANS[0]}" not in history[-1]:
        return {}
    means = {name: [record.get(f"{PREFIX}{name}") for record in history] for name in MEANS}
    found: dict[str, Any] = {"weights_over_training": means}
    with_function = [record for record in history if record.get(FUNCTION)]
    if with_function:
        places = np.unique(np.linspace(0, len(with_function) - 1, _MOST_FUNCTIONS).astype(int))
        found["weighting_functions"] = {
            "losses": list(LOSSES),
            "epochs": [with_function[i]["epoch"] for i in places],
            "weights": [with_function[i][FUNCTION] for i in places],
        }
    return found
