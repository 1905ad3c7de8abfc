"""The engine that restricts the hypergradient to the head of the model and holds the rest fixed.

If the head is linear, `z = a Wᵀ + b`, and returns the logits, then the virtual step, the meta gradient and
the directional derivative are matrix products of the features `a` `(N, F)`. The meta batch needs one forward
pass without gradient. Any other head is run alone, on the recorded outputs of the modules before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdw.errors import ConfigError, ModelError
from gdw.functional import weighted_class_gradient
from gdw.functional.losses import count_examples
from gdw.functional.weights import are_many, is_large
from gdw.hypergradient.engines import Hypergradient, Trainable
from gdw.hypergradient.head import Captured, Head, idle
from gdw.hypergradient.inputs import Batch, as_pair, in_meta_batch
from gdw.hypergradient.preserve import Buffers, Rate, rates_of, without_inference_path
from gdw.hypergradient.problem import Problem
from gdw.hypergradient.training_pass import TrainingPass

# The meta logits of a large head are made for so many rows at a time.
_PART = 128


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
    head, captured = head_of(problem), training_pass.captured
    assert captured is not None
    if head.closed_form is None:
        head.closed_form = _returns_the_logits(captured, training_pass.logits)
    if head.features_every > 1 and not head.closed_form:
        raise ConfigError(
            f"meta_features_every={head.features_every} needs a linear head that returns the logits, but "
            f"{head.name!r} is not one: leave it out"
        )
    if head.is_compiled and not head.closed_form:
        raise ModelError(
            f"the head {head.name!r} is compiled, and not a linear layer whose output is the logits, so it "
            "cannot run alone: compile only the parts before it, or use hypergradient='finite_difference'"
        )
    if head.closed_form:
        return _closed_form(problem, training_pass, captured, weights, meta_batch)
    from gdw.hypergradient.replayed_head import replayed

    return replayed(problem, training_pass, captured, weights, meta_batch)


def head_of(problem: Problem) -> Head:
    assert problem.head is not None, "the problem was built with a head"
    return problem.head


def _returns_the_logits(captured: Captured, logits: Tensor) -> bool:
    """Whether the head's output `(..., C)` is the logits `(N, C)`, one row for each position."""
    output = captured.output
    if not isinstance(output, Tensor) or logits.dim() != 2 or output.shape[-1:] != logits.shape[1:]:
        return False
    output = output.flatten(0, -2)
    if output.shape != logits.shape:
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
    a, q = _rows(captured, part), _virtual_gradient(training_pass, weights)
    features, targets = _meta_features(problem, training_pass, meta_batch, part)
    few = problem.collective.world_size == 1 and _few_examples(part, a, features, q)
    product = _through_examples if few else _through_weights
    u, total, count = product(problem, part, a, q, features, targets)
    values = u.mul_(training_pass.class_gradient).div_(-training_pass.count * count)
    return Hypergradient(values, total / count, training_pass.logits)


class _Gradient(NamedTuple):
    """A gradient at the logits `(N, C)`: `factors ⊙ values` with `factors` `(N, 1)`, or `values` alone."""

    values: Tensor
    factors: Tensor | None = None

    def times(self, rows: Tensor) -> Tensor:
        """The factors times `rows` `(N, ...)`."""
        return rows if self.factors is None else self.factors * rows


def _virtual_gradient(training_pass: TrainingPass, weights: Tensor | None) -> _Gradient | None:
    """`ω ⊙ D1 / n`; without memory of its own if it is large and each row of ω is one number."""
    if weights is None:
        return None
    d1, count = training_pass.class_gradient, training_pass.count
    if is_large(d1) and weights.stride(1) == 0:
        return _Gradient(d1, weights[:, :1] / count)
    return _Gradient(weighted_class_gradient(weights, d1, count))


def _rows(captured: Captured, part: _Linear) -> Tensor:
    """The features `(N, F)` that the head received, one row for each position."""
    features: Tensor = captured.inputs[0]
    return features.flatten(0, -2).to(part.weight.dtype)


class _Linear(NamedTuple):
    """A linear layer's weight `(C, F)` and bias `(C,)`, with their learning rates."""

    weight: Tensor
    bias: Tensor | None
    rate_w: Rate
    rate_b: Rate

    @classmethod
    def of(cls, problem: Problem, dtype: torch.dtype) -> _Linear:
        linear = head_of(problem).module
        assert isinstance(linear, nn.Linear)
        problem.collective.reshard()
        rates = rates_of(problem.optimizer, problem.fixed)
        trained = {id(p) for p in linear.parameters() if p.requires_grad and id(p) in rates}
        if not trained:
            raise _untrained(problem)
        whole = problem.collective.whole
        bias = None if linear.bias is None else whole(linear.bias).to(dtype)
        rate_w, rate_b = (
            rates[id(p)] if id(p) in trained else 0.0 for p in (linear.weight, linear.bias)
        )
        return cls(whole(linear.weight).to(dtype), bias, rate_w, rate_b)


def trainable_in_head(problem: Problem) -> Trainable:
    """The part of `problem.trainable()` that belongs to the head.

    Raises:
        ConfigError: the optimizer trains no parameter of the head.
    """
    head = head_of(problem)
    problem.collective.reshard()
    in_head = {k: v for k, v in problem.trainable().items() if head.owns(v[0])}
    if not in_head:
        raise _untrained(problem)
    return in_head


def _untrained(problem: Problem) -> ConfigError:
    return ConfigError(
        f"the optimizer trains no parameter of the head {head_of(problem).name!r}: name a module "
        "that is trained, or use hypergradient='finite_difference'"
    )


def _few_examples(part: _Linear, a: Tensor, features: Tensor, q: _Gradient | None) -> bool:
    """Whether products of examples with examples cost less than products of examples with weights.

    With several processes they do not: each process would need the features of all.
    """
    (c, f), n, m = part.weight.shape, len(a), len(features)
    steps = 1 if q is None else 2
    return n * m * (f + steps * c) < f * c * (steps * n + m)


def _through_examples(
    problem: Problem,
    part: _Linear,
    a: Tensor,
    q: _Gradient | None,
    features: Tensor,
    targets: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return `u` `(N, C)`, the summed meta loss and the number of meta examples.

    Computed from the inner products of the features: the virtual step moves the meta logits by `-K q`, and
    `u = Kᵀ d1`, with `K = η_W f aᵀ + η_b` `(M, N)`. No tensor of the size of the layer `(C, F)` is made.
    """
    kernel = (part.rate_w * (features @ a.T)).add_(part.rate_b)
    u, losses = None, []
    for f, k, y in _parts(features, part, kernel, targets):
        logits = F.linear(f, part.weight, part.bias)
        if q is not None:
            logits.addmm_(q.times(k.T).T, q.values, alpha=-1)
        with in_meta_batch():
            some, d1 = problem.loss.with_gradient(logits, y)
        losses.append(some)
        u = k.T @ d1 if u is None else u.addmm_(k.T, d1)
    assert u is not None
    every = torch.cat(losses)
    return u, every.sum(), count_examples(every, targets)


def _parts(features: Tensor, part: _Linear, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Features and others `(M, ...)`, in parts of rows whose logits take little memory."""
    rows = len(features)
    if are_many(rows * len(part.weight)):
        rows = min(rows, _PART)
    return zip(*(tensor.split(rows) for tensor in (features, *others)), strict=True)


def _through_weights(
    problem: Problem,
    part: _Linear,
    a: Tensor,
    q: _Gradient | None,
    features: Tensor,
    targets: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """The same from the virtual weights `(C, F)` and their gradient, summed over the processes."""
    w, b = part.weight, part.bias
    if q is not None:
        of_bias = q.values.sum(0) if q.factors is None else (q.values.T @ q.factors).squeeze(1)
        step_w, step_b = problem.collective.sum([q.values.T @ q.times(a), of_bias])
        # In the memory of the step: a layer of many classes is large.
        w = step_w.mul_(part.rate_w).neg_().add_(w)
        del step_w
        b = None if b is None else b - part.rate_b * step_b
    g_w, g_b, losses = None, None, []
    for f, y in _parts(features, part, targets):
        with in_meta_batch():
            some, d1 = problem.loss.with_gradient(F.linear(f, w, b), y)
        losses.append(some)
        g_w = d1.T @ f if g_w is None else g_w.addmm_(d1.T, f)
        g_b = d1.sum(0) if g_b is None else g_b.add_(d1.sum(0))
    assert g_w is not None
    assert g_b is not None
    del w, d1
    every = torch.cat(losses)
    total, count, g_w, g_b = problem.collective.sum(
        [every.sum(), count_examples(every, targets), g_w, g_b]
    )
    return (a @ g_w.T).mul_(part.rate_w).add_(part.rate_b * g_b), total, count


def _meta_features(
    problem: Problem, training_pass: TrainingPass, meta_batch: Batch, part: _Linear
) -> tuple[Tensor, Tensor]:
    """Features `(M, F)` and targets of the meta batch, or of an earlier one that was kept."""
    head = head_of(problem)
    kept = head.kept_features()
    if kept is None:
        inputs, targets = as_pair(meta_batch, "the meta batch")
        kept = _rows(meta_pass(problem, training_pass, inputs), part), targets
        head.keep_features(kept)
    return kept


def meta_pass(problem: Problem, training_pass: TrainingPass, inputs: Any) -> Captured:
    """Record what the head receives for the meta inputs, in one forward pass without gradient."""
    before, head = training_pass.before, head_of(problem)
    # The product of a large layer would not be used: the virtual step moves its weights.
    unused = head.closed_form and not head.is_compiled
    buffers = before.buffers_after if before else Buffers(problem.model, problem.copies[2])
    with (
        torch.no_grad(),
        buffers.preserved(),
        without_inference_path(),
        idle(cast(nn.Linear, head.module)) if unused else nullcontext(),
        head.capturing(problem.devices()) as seen,
    ):
        problem.logits(inputs)
    return seen
