"""Why a loss is NaN or infinite: which rows of a batch are to blame."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from gdw.errors import DataError, ModelError
from gdw.hypergradient.inputs import Batch, tensors_in
from gdw.hypergradient.preserve import preserved_buffers
from gdw.hypergradient.problem import Problem
from gdw.hypergradient.random_state import RandomState

_SHOWN = 5


def blame_rows(problem: Problem, batch: Batch, meta_batch: Batch | None) -> None:
    """Say which rows of a batch make the loss NaN. Return if it has other causes.

    With parameters that are not finite, it is the training that diverged; that is the business of the loop.

    Raises:
        DataError: inputs or targets contain NaN or infinity.
        ModelError: the model returns NaN for some rows whose inputs are finite.
    """
    if _has_diverged(problem):
        return
    batches = {"training batch": batch}
    if meta_batch is not None:
        batches["meta batch"] = meta_batch
    for name, (inputs, targets) in batches.items():
        _require_finite(inputs, len(targets), f"the inputs of the {name}")
        _require_finite(targets, len(targets), f"the targets of the {name}")
    # With a scaler it is an overflow in 16 bits, which that handles. A pass of a model that is spread over
    # processes would wait for those that found nothing.
    if not (problem.scale.on or problem.collective.is_spread):
        for name, pair in batches.items():
            _require_finite_losses(problem, pair, name)


def _has_diverged(problem: Problem) -> bool:
    """Whether a parameter is not finite. Where steps are not checked one by one, a warning says so."""
    if problem.collective.are_finite(problem.model):
        return False
    if problem.devices()[0].type != "cpu":
        warnings.warn(
            "the parameters of the model are NaN or infinite: the learning rate is too high, or a batch "
            "contained NaN (on the CPU, backward names the batch and the rows)",
            stacklevel=2,
        )
    return True


def _require_finite_losses(problem: Problem, pair: Batch, name: str) -> None:
    bad_losses = _losses(problem, pair).isnan()
    if hasattr(problem.forward, "token_targets"):
        bad_losses = bad_losses.view(len(next(tensors_in(pair[0]))), -1)
    bad = _rows(bad_losses)
    if 0 < len(bad) < len(bad_losses):
        raise ModelError(
            f"the model returns NaN for {_listed(bad)} of the {name}, though the inputs are finite: look "
            "for a division by zero, a logarithm or a fully masked row in the model"
        )


def _require_finite(values: Any, rows: int, what: str) -> None:
    for tensor in tensors_in(values):
        bad = ~tensor.isfinite()
        if tensor.is_floating_point() and bad.any():
            place = f"{_listed(_rows(bad))} of " if tensor.dim() and len(tensor) == rows else ""
            raise DataError(
                f"NaN or infinity in {place}{what}: fill such values, or leave the rows out"
            )


def _rows(bad: Tensor) -> list[int]:
    rows: list[int] = bad.reshape(len(bad), -1).any(1).nonzero().flatten().tolist()
    return rows


def _listed(rows: list[int]) -> str:
    shown = ", ".join(map(str, rows[:_SHOWN])) + (", ..." if len(rows) > _SHOWN else "")
    return f"row{'s' if len(rows) > 1 else ''} {shown} (counted from 0)"


def _losses(problem: Problem, pair: Batch) -> Tensor:
    """The loss of each example, `(N, ...)`; the model is left as it was."""
    inputs, targets = pair
    state = RandomState.capture(problem.devices())
    with torch.no_grad(), state.replayed(), preserved_buffers(problem.model):
        return problem.loss.per_example(problem.logits(inputs), targets)
