"""The hypergradient restricted to the last part of the model: the rest is held fixed.

For a linear head `z = a Wᵀ + b` that returns the logits, the virtual step, the meta gradient and the
directional derivative are matrix products of the features `a` `(N, F)`; the meta batch takes one forward
pass without gradient. Any other head is run alone, from what the modules before it returned.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gdw.errors import ModelError
from gdw.functional import weighted_class_gradient
from gdw.functional.losses import count_examples
from gdw.hypergradient.batch import Batch, Forward
from gdw.hypergradient.engines import Hypergradient, through_finite_difference
from gdw.hypergradient.head import Captured
from gdw.hypergradient.jacobian import replaying
from gdw.hypergradient.problem import Problem, TrainingPass
from gdw.hypergradient.stillness import RandomState, still_buffers


def head_only(
    problem: Problem, run: TrainingPass, weights: Tensor | None, meta_batch: Batch
) -> Hypergradient:
    """`G` with every parameter outside `problem.head` held fixed; arguments as of any engine.

    Equal to `reference` with the other parameters frozen. A weight that the head shares with an
    earlier layer moves in the head alone.

    Raises:
        ModelError: the model cannot be split at the head.
        ConfigError: the optimizer trains nothing of the head.
    """
    head, captured = problem.head, run.captured
    assert head is not None, "the problem was built with a head"
    assert captured is not None
    if head.closed_form is None:
        head.closed_form = _returns_the_logits(captured, run.logits)
    if head.closed_form:
        return _closed_form(problem, run, captured, weights, meta_batch)
    return _replayed(problem, run, captured, weights, meta_batch)


def _returns_the_logits(captured: Captured, logits: Tensor) -> bool:
    output = captured.output
    return (
        isinstance(output, Tensor)
        and output.dim() == 2
        and output.shape == logits.shape
        and torch.equal(output.to(logits.dtype), logits.detach())
    )


def _closed_form(
    problem: Problem,
    run: TrainingPass,
    captured: Captured,
    weights: Tensor | None,
    meta_batch: Batch,
) -> Hypergradient:
    assert problem.head is not None
    assert isinstance(problem.head.module, nn.Linear)
    linear, dtype = problem.head.module, run.class_gradient.dtype
    rates = {id(p): rate for p, rate in problem.trainable_in_head().values()}
    rate_w, rate_b = rates.get(id(linear.weight), 0.0), rates.get(id(linear.bias), 0.0)
    a = captured.inputs[0].to(dtype)
    w, b = linear.weight.detach().to(dtype), None
    if linear.bias is not None:
        b = linear.bias.detach().to(dtype)
    if weights is not None:
        q = weighted_class_gradient(weights, run.class_gradient, run.count)
        step_w, step_b = problem.collective.sum([q.T @ a, q.sum(0)])
        w = w - rate_w * step_w
        b = None if b is None else b - rate_b * step_b

    inputs, targets = meta_batch
    seen = _meta_pass(problem, inputs)
    features = seen.inputs[0].to(dtype)
    logits = torch.nn.functional.linear(features, w, b)
    losses, d1 = problem.loss.with_gradient(logits, targets)
    total, count, g_w, g_b = problem.collective.sum(
        [losses.sum(), count_examples(losses, targets), d1.T @ features, d1.sum(0)]
    )
    u = rate_w * (a @ g_w.T)
    if b is not None:
        u = u + rate_b * g_b
    return Hypergradient(-run.class_gradient * u / (run.count * count), total / count)


def _meta_pass(problem: Problem, inputs: Any) -> Captured:
    """What the head is handed for the meta inputs, by one forward pass without gradient."""
    with torch.no_grad(), still_buffers(problem.model), problem.capturing() as seen:
        problem.logits(inputs)
    return seen


def _replayed(
    problem: Problem,
    run: TrainingPass,
    captured: Captured,
    weights: Tensor | None,
    meta_batch: Batch,
) -> Hypergradient:
    inputs, targets = meta_batch
    seen = _meta_pass(problem, inputs)
    afterwards = RandomState.capture(problem.devices())
    part = replace(problem, forward=_replay(problem))
    alone = replace(run, inputs=(captured, run.inputs))
    try:
        _check_split(part, alone)
        return through_finite_difference(
            part, alone, weights, ((seen, inputs), targets), problem.trainable_in_head()
        )
    finally:
        afterwards.restore()


def _replay(problem: Problem) -> Forward:
    head = problem.head
    assert head is not None

    def forward(model: nn.Module, inputs: tuple[Captured, Any]) -> Tensor:
        captured, original = inputs
        with head.replaying(captured):
            return problem.forward(model, original)

    return forward


def _check_split(part: Problem, alone: TrainingPass) -> None:
    """Once: unmoved, the head alone must give the logits that the whole model gave."""
    head = part.head
    assert head is not None
    if head.split_checked:
        return
    with replaying(part, alone), torch.no_grad():
        again = part.logits(alone.inputs)
    if not torch.allclose(again, alone.logits.detach(), rtol=1e-3, atol=1e-4):
        raise ModelError(
            f"the model cannot be split at {head.name!r}: run from what the modules before it returned, "
            "it gives other logits (they may be changed in place, or be random outside of a module). "
            "Name another module with head=, or use hypergradient='finite_difference'"
        )
    head.split_checked = True
