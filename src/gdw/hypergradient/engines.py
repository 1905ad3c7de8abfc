"""The engines: from a training pass, its weights and a meta batch to `G = ∂L_meta/∂ω`.

`θ̂ = θ − η ⊙ (1/n) Σ_i (ω_i ⊙ D1_i) D2_i` is the virtual step (paper, section 3.3), η the learning rate of
each parameter; L is the mean loss of the meta batch at θ̂, and every entry of ω is a free variable.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from gdw.functional import weighted_class_gradient
from gdw.hypergradient import jacobian
from gdw.hypergradient.batch import Batch
from gdw.hypergradient.problem import Problem, dense
from gdw.hypergradient.stillness import Point, still_buffers
from gdw.hypergradient.training_pass import TrainingPass


class Hypergradient(NamedTuple):
    """`values`: G, `(N, C, ...)`, this process's examples; `meta_loss`: the global mean, a scalar."""

    values: Tensor
    meta_loss: Tensor


Engine = Callable[[Problem, TrainingPass, "Tensor | None", Batch], Hypergradient]
"""`(problem, run, weights, meta_batch) -> Hypergradient`; weights `(N, C, ...)`, None for all zero."""

_Jacobian = Callable[[Problem, TrainingPass, Point, Sequence[Tensor]], Tensor]


Trained = dict[str, tuple[nn.Parameter, float]]


def forward_mode(
    problem: Problem, run: TrainingPass, weights: Tensor | None, meta_batch: Batch
) -> Hypergradient:
    """By dual numbers: exact where every operation of the model has a forward-mode derivative."""
    return _directional(
        jacobian.forward_mode, problem, run, weights, meta_batch, problem.trainable()
    )


def finite_difference(
    problem: Problem, run: TrainingPass, weights: Tensor | None, meta_batch: Batch
) -> Hypergradient:
    """By one more forward pass with the parameters moved a little: any model.

    Unless `problem.keeps_graph` the training graph is freed before the meta batch needs memory, and
    the pass with moved parameters leaves the graph for the model's own gradient: half the memory, for
    activations that belong to `θ + εd`, a relative 1e-6 from θ in float32.
    """
    return through_finite_difference(problem, run, weights, meta_batch, problem.trainable())


def through_finite_difference(
    problem: Problem, run: TrainingPass, weights: Tensor | None, meta_batch: Batch, trained: Trained
) -> Hypergradient:
    """`finite_difference` over some of the parameters: name, parameter and learning rate of each."""
    return _directional(jacobian.finite_difference, problem, run, weights, meta_batch, trained)


def _directional(
    product: _Jacobian,
    problem: Problem,
    run: TrainingPass,
    weights: Tensor | None,
    meta_batch: Batch,
    trained: Trained,
) -> Hypergradient:
    point = Point(trained)
    parameters = list(point.parameters.values())
    # Backward passes too may run layers again (activation checkpointing), and so move statistics.
    with still_buffers(problem.model):
        if weights is None:
            _release(problem, run)
            meta_loss, g = _meta_gradient(problem, parameters, meta_batch)
        else:
            virtual = problem.weighted_gradient(run, weights, parameters)
            _release(problem, run)
            with point.moved(virtual, -1.0):
                meta_loss, g = _meta_gradient(problem, parameters, meta_batch)
    u = product(problem, run, point, g)
    # In place: with thousands of classes each tensor of this size costs as much as a layer.
    return Hypergradient(u.mul_(run.class_gradient).div_(-run.count), meta_loss)


def _release(problem: Problem, run: TrainingPass) -> None:
    """Let go of the training graph, unless it is kept for the model's gradient."""
    if not problem.keeps_graph(run):
        run.logits = run.logits.detach()


def _meta_gradient(
    problem: Problem, parameters: Sequence[nn.Parameter], meta_batch: Batch
) -> tuple[Tensor, list[Tensor]]:
    loss = problem.meta_loss(meta_batch, problem.logits)
    gradient = torch.autograd.grad(loss, parameters, materialize_grads=True)
    total, *summed = problem.collective.sum([loss.detach(), *(dense(t) for t in gradient)])
    return total, summed


def reference(
    problem: Problem, run: TrainingPass, weights: Tensor | None, meta_batch: Batch
) -> Hypergradient:
    """Double backward: differentiate the meta loss through the virtual step, by autograd alone.

    Slow and hungry for memory, but with nothing to get wrong: the other engines are held against it.
    The training pass is repeated, since fused attention kernels have no second derivative.
    """
    with still_buffers(problem.model):
        return _double_backward(problem, run, weights, meta_batch)


def _double_backward(
    problem: Problem, run: TrainingPass, weights: Tensor | None, meta_batch: Batch
) -> Hypergradient:
    trained = problem.trainable()
    with jacobian.replaying(problem, run), sdpa_kernel(SDPBackend.MATH):
        logits = problem.logits(run.inputs)
    start = torch.zeros_like(run.class_gradient) if weights is None else weights.detach().clone()
    free = start.requires_grad_()
    cotangent = weighted_class_gradient(free, run.class_gradient, run.count)
    gradient = torch.autograd.grad(
        logits,
        [p for p, _ in trained.values()],
        cotangent.to(logits.dtype),
        create_graph=True,
        materialize_grads=True,
    )
    # The sum over processes adds a constant: only this process's examples depend on its weights.
    total = problem.collective.sum([t.detach() for t in gradient])
    virtual = {
        name: p.detach() - rate * (mine + (all_ - mine.detach()))
        for (name, (p, rate)), mine, all_ in zip(trained.items(), gradient, total, strict=True)
    }
    with sdpa_kernel(SDPBackend.MATH):
        loss = problem.meta_loss(
            meta_batch, lambda inputs: jacobian.call_with(problem, virtual, inputs)
        )
    points = list(virtual.values())
    g = torch.autograd.grad(loss, points, materialize_grads=True)
    meta_loss, *g_total = problem.collective.sum([loss.detach(), *g])
    moving = [(t, v) for t, v in zip(points, g_total, strict=True) if t.requires_grad]
    (values,) = torch.autograd.grad(
        [t for t, _ in moving], free, [v for _, v in moving], materialize_grads=True
    )
    return Hypergradient(values, meta_loss)
