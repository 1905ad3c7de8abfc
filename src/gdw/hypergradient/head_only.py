"""The hypergradient restricted to the last part of the model: the rest is held fixed.

For a linear head `z = a Wᵀ + b` that returns the logits, the virtual step, the meta gradient and the
directional derivative are matrix products of the features `a` `(N, F)`; the meta batch takes one forward
pass without gradient. Any other head is run alone, from what the modules before it returned.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdw.errors import ConfigError, ModelError
from gdw.functional import weighted_class_gradient
from gdw.functional.losses import count_examples
from gdw.hypergradient.batch import Batch, Forward, as_pair
from gdw.hypergradient.engines import Hypergradient, through_finite_difference
from gdw.hypergradient.head import Captured
from gdw.hypergradient.jacobian import replaying
from gdw.hypergradient.problem import Problem
from gdw.hypergradient.stillness import RandomState, still_buffers, without_inference_path
from gdw.hypergradient.training_pass import TrainingPass


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
    if head.features_every > 1 and not head.closed_form:
        raise ConfigError(
            f"meta_features_every={head.features_every} keeps the features of a linear head that returns the "
            f"logits, which {head.name!r} is not: leave it out"
        )
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
    part = _Linear.of(problem, run.class_gradient.dtype)
    a = captured.inputs[0].to(part.weight.dtype)
    q = None
    if weights is not None:
        q = weighted_class_gradient(weights, run.class_gradient, run.count)
    features, targets = _meta_features(problem, meta_batch, part.weight.dtype)
    few = problem.collective.world_size == 1 and _few_examples(part, a, features, q)
    way = _through_examples if few else _through_weights
    u, total, count = way(problem, part, a, q, features, targets)
    g = u.mul_(run.class_gradient).div_(-run.count * count)
    return Hypergradient(g, total / count)


class _Linear(NamedTuple):
    """A linear layer's weight `(C, F)` and bias `(C,)`, with their learning rates."""

    weight: Tensor
    bias: Tensor | None
    rate_w: float
    rate_b: float

    @classmethod
    def of(cls, problem: Problem, dtype: torch.dtype) -> _Linear:
        assert problem.head is not None
        linear = problem.head.module
        assert isinstance(linear, nn.Linear)
        rates = {id(p): rate for p, rate in problem.trainable_in_head().values()}
        bias = None if linear.bias is None else linear.bias.detach().to(dtype)
        rate_b = 0.0 if bias is None else rates.get(id(linear.bias), 0.0)
        weight = linear.weight.detach().to(dtype)
        return cls(weight, bias, rates.get(id(linear.weight), 0.0), rate_b)


def _few_examples(part: _Linear, a: Tensor, features: Tensor, q: Tensor | None) -> bool:
    """Whether products of examples with examples cost less than those of examples with weights.

    Over several processes they would not: each would need the features of all.
    """
    (c, f), n, m = part.weight.shape, len(a), len(features)
    steps = 1 if q is None else 2
    return n * m * (f + steps * c) < f * c * (steps * n + m)


def _through_examples(
    problem: Problem, part: _Linear, a: Tensor, q: Tensor | None, features: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """`u` `(N, C)`, and loss and number of the meta examples, from the inner products of the features.

    The virtual step moves the meta logits by `-K q` and `u = Kᵀ d1`, with `K = η_W f aᵀ + η_b` `(M, N)`:
    no tensor of the layer's own size `(C, F)` is made.
    """
    kernel = (part.rate_w * (features @ a.T)).add_(part.rate_b)
    logits = F.linear(features, part.weight, part.bias)
    if q is not None:
        logits.addmm_(kernel, q, alpha=-1)
    losses, d1 = problem.loss.with_gradient(logits, targets)
    return kernel.T @ d1, losses.sum(), count_examples(losses, targets)


def _through_weights(
    problem: Problem, part: _Linear, a: Tensor, q: Tensor | None, features: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The same by the virtual weights `(C, F)` and their gradient, summed over the processes."""
    w, b = part.weight, part.bias
    if q is not None:
        step_w, step_b = problem.collective.sum([q.T @ a, q.sum(0)])
        w = w - part.rate_w * step_w
        b = None if b is None else b - part.rate_b * step_b
    losses, d1 = problem.loss.with_gradient(F.linear(features, w, b), targets)
    total, count, g_w, g_b = problem.collective.sum(
        [losses.sum(), count_examples(losses, targets), d1.T @ features, d1.sum(0)]
    )
    return (part.rate_w * (a @ g_w.T)).add_(part.rate_b * g_b), total, count


def _meta_features(
    problem: Problem, meta_batch: Batch, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Features `(M, F)` and targets of the meta batch, or those kept from an earlier one."""
    head = problem.head
    assert head is not None
    kept = head.kept_features()
    if kept is None:
        inputs, targets = as_pair(meta_batch, "the meta batch")
        kept = _meta_pass(problem, inputs).inputs[0].to(dtype), targets
        head.keep_features(kept)
    return kept


def _meta_pass(problem: Problem, inputs: Any) -> Captured:
    """What the head is handed for the meta inputs, by one forward pass without gradient."""
    with (
        torch.no_grad(),
        still_buffers(problem.model),
        without_inference_path(),
        problem.capturing() as seen,
    ):
        problem.logits(inputs)
    return seen


def _replayed(
    problem: Problem,
    run: TrainingPass,
    captured: Captured,
    weights: Tensor | None,
    meta_batch: Batch,
) -> Hypergradient:
    head = problem.head
    assert head is not None
    inputs, targets = meta_batch
    seen = _meta_pass(problem, inputs)
    afterwards = RandomState.capture(problem.devices())
    part = replace(problem, forward=_replay(problem))
    alone = replace(run, inputs=(captured, run.inputs))
    try:
        _check_split(part, alone)
        if head.shared:
            # The graph of the training pass leads to the weight's earlier places as well.
            with replaying(part, alone):
                alone = replace(alone, logits=part.logits(alone.inputs))
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
        with head.replaying(captured, widen=problem.autocast.off):
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
