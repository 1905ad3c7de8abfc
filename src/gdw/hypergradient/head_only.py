"""The engine that restricts the hypergradient to the head of the model and holds the rest fixed.

If the head is linear, `z = a Wᵀ + b`, and returns the logits, then the virtual step, the meta gradient and
the directional derivative are matrix products of the features `a` `(N, F)`. The meta batch needs one forward
pass without gradient. Any other head is run alone, on the recorded outputs of the modules before it.
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
from gdw.hypergradient.engines import Hypergradient, Trainable, finite_difference, replaying
from gdw.hypergradient.head import Captured, Head
from gdw.hypergradient.inputs import Batch, Forward, as_pair, in_meta_batch
from gdw.hypergradient.preserve import Buffers, Rate, rates_of, without_inference_path
from gdw.hypergradient.problem import Problem
from gdw.hypergradient.random_state import RandomState
from gdw.hypergradient.training_pass import TrainingPass


def head_only(
    problem: Problem, training_pass: TrainingPass, weights: Tensor | None, meta_batch: Batch
) -> Hypergradient:
    """Compute `G` with every parameter outside `problem.head` held fixed. Arguments: see `Engine`.

    The result equals that of `reference` with the other parameters frozen. A weight that the head shares
    with an earlier layer moves only in the head.

    Raises:
        ModelError: the model cannot be split at the head.
        ConfigError: the optimizer trains no parameter of the head.
    """
    head, captured = _head(problem), training_pass.captured
    assert captured is not None
    if head.closed_form is None:
        head.closed_form = _returns_the_logits(captured, training_pass.logits)
    if head.features_every > 1 and not head.closed_form:
        raise ConfigError(
            f"meta_features_every={head.features_every} needs a linear head that returns the logits, but "
            f"{head.name!r} is not one: leave it out"
        )
    if head.closed_form:
        return _closed_form(problem, training_pass, captured, weights, meta_batch)
    return _replayed(problem, training_pass, captured, weights, meta_batch)


def _head(problem: Problem) -> Head:
    assert problem.head is not None, "the problem was built with a head"
    return problem.head


def _returns_the_logits(captured: Captured, logits: Tensor) -> bool:
    output = captured.output
    if not isinstance(output, Tensor) or output.dim() != 2 or output.shape != logits.shape:
        return False
    if output.untyped_storage()._cdata == logits.untyped_storage()._cdata:
        return output.stride() == logits.stride()  # they are the same memory
    return torch.equal(output.to(logits.dtype), logits.detach())


def _closed_form(
    problem: Problem,
    training_pass: TrainingPass,
    captured: Captured,
    weights: Tensor | None,
    meta_batch: Batch,
) -> Hypergradient:
    part = _Linear.of(problem, training_pass.class_gradient.dtype)
    a = captured.inputs[0].to(part.weight.dtype)
    q = None
    if weights is not None:
        q = weighted_class_gradient(weights, training_pass.class_gradient, training_pass.count)
    features, targets = _meta_features(problem, training_pass, meta_batch, part.weight.dtype)
    few = problem.collective.world_size == 1 and _few_examples(part, a, features, q)
    product = _through_examples if few else _through_weights
    u, total, count = product(problem, part, a, q, features, targets)
    values = u.mul_(training_pass.class_gradient).div_(-training_pass.count * count)
    return Hypergradient(values, total / count, training_pass.logits)


class _Linear(NamedTuple):
    """A linear layer's weight `(C, F)` and bias `(C,)`, with their learning rates."""

    weight: Tensor
    bias: Tensor | None
    rate_w: Rate
    rate_b: Rate

    @classmethod
    def of(cls, problem: Problem, dtype: torch.dtype) -> _Linear:
        linear = _head(problem).module
        assert isinstance(linear, nn.Linear)
        rates = rates_of(problem.optimizer, problem.fixed)
        trained = {id(p) for p in linear.parameters() if p.requires_grad and id(p) in rates}
        if not trained:
            raise _untrained(problem)
        bias = None if linear.bias is None else linear.bias.detach().to(dtype)
        rate_w, rate_b = (
            rates[id(p)] if id(p) in trained else 0.0 for p in (linear.weight, linear.bias)
        )
        return cls(linear.weight.detach().to(dtype), bias, rate_w, rate_b)


def _trainable_in_head(problem: Problem) -> Trainable:
    """The part of `problem.trainable()` that belongs to the head.

    Raises:
        ConfigError: the optimizer trains no parameter of the head.
    """
    head = _head(problem)
    in_head = {k: v for k, v in problem.trainable().items() if head.owns(v[0])}
    if not in_head:
        raise _untrained(problem)
    return in_head


def _untrained(problem: Problem) -> ConfigError:
    return ConfigError(
        f"the optimizer trains no parameter of the head {_head(problem).name!r}: name a module "
        "that is trained, or use hypergradient='finite_difference'"
    )


def _few_examples(part: _Linear, a: Tensor, features: Tensor, q: Tensor | None) -> bool:
    """Whether products of examples with examples cost less than products of examples with weights.

    With several processes they do not: each process would need the features of all.
    """
    (c, f), n, m = part.weight.shape, len(a), len(features)
    steps = 1 if q is None else 2
    return n * m * (f + steps * c) < f * c * (steps * n + m)


def _through_examples(
    problem: Problem, part: _Linear, a: Tensor, q: Tensor | None, features: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return `u` `(N, C)`, the summed meta loss and the number of meta examples.

    Computed from the inner products of the features: the virtual step moves the meta logits by `-K q`, and
    `u = Kᵀ d1`, with `K = η_W f aᵀ + η_b` `(M, N)`. No tensor of the size of the layer `(C, F)` is made.
    """
    kernel = (part.rate_w * (features @ a.T)).add_(part.rate_b)
    logits = F.linear(features, part.weight, part.bias)
    if q is not None:
        logits.addmm_(kernel, q, alpha=-1)
    with in_meta_batch():
        losses, d1 = problem.loss.with_gradient(logits, targets)
    return kernel.T @ d1, losses.sum(), count_examples(losses, targets)


def _through_weights(
    problem: Problem, part: _Linear, a: Tensor, q: Tensor | None, features: Tensor, targets: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The same from the virtual weights `(C, F)` and their gradient, summed over the processes."""
    w, b = part.weight, part.bias
    if q is not None:
        step_w, step_b = problem.collective.sum([q.T @ a, q.sum(0)])
        w = w - part.rate_w * step_w
        b = None if b is None else b - part.rate_b * step_b
    with in_meta_batch():
        losses, d1 = problem.loss.with_gradient(F.linear(features, w, b), targets)
    total, count, g_w, g_b = problem.collective.sum(
        [losses.sum(), count_examples(losses, targets), d1.T @ features, d1.sum(0)]
    )
    return (part.rate_w * (a @ g_w.T)).add_(part.rate_b * g_b), total, count


def _meta_features(
    problem: Problem, training_pass: TrainingPass, meta_batch: Batch, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Features `(M, F)` and targets of the meta batch, or of an earlier one that was kept."""
    head = _head(problem)
    kept = head.kept_features()
    if kept is None:
        inputs, targets = as_pair(meta_batch, "the meta batch")
        kept = _meta_pass(problem, training_pass, inputs).inputs[0].to(dtype), targets
        head.keep_features(kept)
    return kept


def _meta_pass(problem: Problem, training_pass: TrainingPass, inputs: Any) -> Captured:
    """Record what the head receives for the meta inputs, in one forward pass without gradient."""
    before = training_pass.before
    buffers = before.buffers_after if before else Buffers(problem.model, problem.copies[2])
    with (
        torch.no_grad(),
        buffers.preserved(),
        without_inference_path(),
        _head(problem).capturing(problem.devices()) as seen,
    ):
        problem.logits(inputs)
    return seen


def _replayed(
    problem: Problem,
    training_pass: TrainingPass,
    captured: Captured,
    weights: Tensor | None,
    meta_batch: Batch,
) -> Hypergradient:
    head = _head(problem)
    inputs, targets = meta_batch
    seen = _meta_pass(problem, training_pass, inputs)
    afterwards = RandomState.capture(problem.devices())
    part = replace(problem, forward=_replay(problem))
    alone = replace(training_pass, inputs=(captured, training_pass.inputs))
    try:
        _check_split(part, alone)
        if head.shared:
            # The graph of the training pass leads to the weight's earlier places as well.
            with replaying(alone):
                alone = replace(alone, logits=part.logits(alone.inputs))
        part_batch = ((seen, inputs), targets)
        trainable = _trainable_in_head(problem)
        values, loss, _ = finite_difference(part, alone, weights, part_batch, trainable=trainable)
        return Hypergradient(values, loss, training_pass.logits)
    finally:
        afterwards.restore()


def _replay(problem: Problem) -> Forward:
    head = _head(problem)

    def forward(model: nn.Module, inputs: tuple[Captured, Any]) -> Tensor:
        captured, original = inputs
        with head.replaying(captured, widen=problem.autocast.off):
            return problem.forward(model, original)

    return forward


def _check_split(part: Problem, alone: TrainingPass) -> None:
    """Check once that the head alone, with unmoved parameters, returns the logits of the whole model."""
    head = _head(part)
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
