"""The head of a model run alone, on the recorded outputs of the modules before it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gdw.errors import ModelError
from gdw.hypergradient.engines import Hypergradient, finite_difference, replaying
from gdw.hypergradient.head import Captured
from gdw.hypergradient.head_only import head_of, meta_pass, trainable_in_head
from gdw.hypergradient.inputs import Batch, Forward
from gdw.hypergradient.problem import Problem
from gdw.hypergradient.random_state import RandomState
from gdw.hypergradient.training_pass import TrainingPass


def replayed(
    problem: Problem,
    training_pass: TrainingPass,
    captured: Captured,
    weights: Tensor | None,
    meta_batch: Batch,
) -> Hypergradient:
    """`G` of a head that is no linear layer, or is followed by other layers. Arguments: see `head_only`."""
    head = head_of(problem)
    inputs, targets = meta_batch
    seen = meta_pass(problem, training_pass, inputs)
    afterwards = RandomState.capture(problem.devices())
    part = replace(problem, forward=_replay(problem))
    alone = replace(training_pass, inputs=(captured, training_pass.inputs))
    try:
        _check_split(part, alone)
        if head.shared or problem.collective.is_spread:
            # The graph of the training pass leads to the weight's earlier places as well. If the model is
            # sharded, its gradient would be taken through all of that graph.
            with replaying(alone):
                alone = replace(alone, logits=part.logits(alone.inputs))
        part_batch = ((seen, inputs), targets)
        trainable = trainable_in_head(problem)
        values, loss, _ = finite_difference(part, alone, weights, part_batch, trainable=trainable)
        return Hypergradient(values, loss, training_pass.logits)
    finally:
        afterwards.restore()


def _replay(problem: Problem) -> Forward:
    head = head_of(problem)

    def forward(model: nn.Module, inputs: tuple[Captured, Any]) -> Tensor:
        captured, original = inputs
        with head.replaying(captured, widen=problem.autocast.off):
            return problem.forward(model, original)

    return forward


def _check_split(part: Problem, alone: TrainingPass) -> None:
    """Check once that the head alone, with unmoved parameters, returns the logits of the whole model."""
    head = head_of(part)
    if head.split_checked:
        return
    with replaying(alone), torch.no_grad():
        again = part.logits(alone.inputs)
    if not torch.allclose(again, alone.logits.detach(), rtol=1e-3, atol=1e-4):
        raise ModelError(
            f"the model cannot be split at {head.name!r}: on the recorded outputs of the modules before it, "
            "it returns other logits (they may be changed in place, or be random outside of a module). "
            "Name another module with head=, or use hypergradient='finite_difference'"
        )
    head.split_checked = True
