"""The engine that works with any model: the hypergradient through one finite difference.

`θ̂ = θ − η ⊙ (1/n) Σ_i (ω_i ⊙ D1_i) D2_i` is the virtual step (paper, section 3.3) with η the learning rate of
each parameter. L is the mean loss of the meta batch at θ̂. Every entry of ω is a free variable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from gdw.errors import ModelError
from gdw.functional.weights import is_large
from gdw.hypergradient.inputs import Batch
from gdw.hypergradient.precision import relative_step
from gdw.hypergradient.preserve import MovableParameters, Rate, without_inference_path
from gdw.hypergradient.problem import Problem
from gdw.hypergradient.random_state import equal, generator_states
from gdw.hypergradient.tf32 import exact_float32, may_use_tf32
from gdw.hypergradient.training_pass import TrainingPass


class Hypergradient(NamedTuple):
    """What an engine returns.

    Attributes:
        values: `G = ∂L/∂ω` for the examples of this process, `(N, C, ...)`.
        meta_loss: `L`, the mean over the global meta batch, a scalar; None in a step without a meta pass.
        logits: `(N, C, ...)`, with the graph to take the model's gradient through.
    """

    values: Tensor
    meta_loss: Tensor | None
    logits: Tensor


Engine = Callable[[Problem, TrainingPass, "Tensor | None", Batch], Hypergradient]
"""`(problem, training_pass, weights, meta_batch) -> Hypergradient`; weights `(N, C, ...)`, None: all zero."""

Trainable = dict[str, tuple[nn.Parameter, Rate]]
"""Name to parameter and learning rate, as `Problem.trainable` returns it."""

JacobianProduct = Callable[
    [Problem, TrainingPass, MovableParameters, Sequence[Tensor]], tuple[Tensor, Tensor]
]
"""Returns `u = J (η ⊙ direction)`, `(N, C, ...)`, and the logits to take the model's gradient through."""

Repeated = TypeVar("Repeated")

_ATTEMPTS = 3

# Finer steps of a finite difference are those of float64.
_SINGLE = 1e-6


def finite_difference(
    problem: Problem,
    training_pass: TrainingPass,
    weights: Tensor | None,
    meta_batch: Batch,
    *,
    trainable: Trainable | None = None,
) -> Hypergradient:
    """Compute G with one more forward pass with slightly moved parameters. Works with any model.

    Unless `problem.keeps_graph`, the training graph is freed before the meta batch needs memory, and the
    model's gradient is taken through the pass with moved parameters. That halves the memory. The
    activations then belong to `θ + εd`, a relative 1e-6 away from θ in float32.

    Args:
        problem: the model with its optimizer and loss.
        training_pass: the forward pass of the training batch.
        weights: first-stage weights ω, `(N, C, ...)`; None for zero.
        meta_batch: `(inputs, targets)` of clean examples.
        trainable: restrict the virtual step to these parameters; by default all that are trained.
    """
    if trainable is None:
        trainable = problem.trainable()
    return directional(difference_quotient, problem, training_pass, weights, meta_batch, trainable)


def directional(
    product: JacobianProduct,
    problem: Problem,
    training_pass: TrainingPass,
    weights: Tensor | None,
    meta_batch: Batch,
    trainable: Trainable,
) -> Hypergradient:
    """`G_ij = −(1/n) D1_ij u_ij` with `u = J_z(θ) (η ⊙ ∇L(θ̂))`, the Jacobian product by `product`.

    Frees the training graph before the meta pass, unless `problem.keeps_graph`. (With weights of zero
    there is no virtual gradient that frees it: there the caller passes `training_pass.without_graph()`.)
    """
    theta = problem.collective.movable(trainable, problem.copies[0])
    parameters = list(theta.parameters.values())
    # A backward pass too may run layers again (activation checkpointing) and so move statistics.
    with training_pass.repeatable.buffers_after.preserved():
        if weights is None:
            meta_loss, gradient = meta_gradient(problem, parameters, meta_batch)
        else:
            virtual = problem.weighted_gradient(training_pass, weights, parameters)
            with theta.moved(virtual, -1.0):
                virtual.clear()  # it takes as much memory as the parameters
                meta_loss, gradient = meta_gradient(problem, parameters, meta_batch)
    u, logits = product(problem, training_pass, theta, gradient)
    # In place: with thousands of classes each tensor of this size costs as much as a layer.
    values = u.mul_(training_pass.class_gradient).div_(-training_pass.count)
    return Hypergradient(values, meta_loss, logits)


def meta_gradient(
    problem: Problem, parameters: Sequence[nn.Parameter], meta_batch: Batch
) -> tuple[Tensor, list[Tensor]]:
    """The meta loss and its gradient at the current parameters, summed over the processes."""
    scale, (inputs, targets) = problem.scale, meta_batch
    with torch.enable_grad():
        logits = problem.logits(inputs)
    if is_large(logits):
        loss, cotangent = problem.meta_cotangent(logits, targets)
        root = logits
    else:
        loss = problem.meta_loss(meta_batch, lambda _: logits)
        root, cotangent = scale.scaled(loss), None
    gradient = problem.collective.differentiate(root, parameters, cotangent)
    local = [scale.divided(t) for t in gradient]
    total, *summed = problem.collective.sum([loss.detach(), *local])
    return total, summed


@contextmanager
def replaying(training_pass: TrainingPass) -> Iterator[None]:
    """Inside, a forward pass repeats the training pass: random numbers, buffers and kernels."""
    before = training_pass.repeatable
    with (
        before.random_state.replayed() if before.is_random else nullcontext(),
        before.buffers_after.preserved(),
        without_inference_path(),
    ):
        before.buffers.restore()
        yield


def repeated(
    problem: Problem,
    training_pass: TrainingPass,
    call: Callable[[], Repeated],
    *,
    same_kernels: bool = True,
) -> Repeated:
    """Return the result of `call`, a forward pass that repeats the training pass.

    If it drew other random numbers than the training pass, it is repeated again.

    Args:
        problem, training_pass: what is repeated.
        call: the pass.
        same_kernels: whether it uses the kernels of the training pass. Others may draw other numbers, but
            not on a CPU.

    Raises:
        ModelError: it draws other numbers each time.
    """
    devices, before = problem.devices(), training_pass.repeatable
    start, drawn = before.random_state.generators(), before.drawn
    checked = drawn is not None and (same_kernels or devices[0].type == "cpu")
    for _ in range(_ATTEMPTS):
        with replaying(training_pass):
            result = call()
            after = generator_states(devices) if checked else start
        # A pass that draws nothing was not disturbed, though some layers draw when they are first called.
        if drawn is None or equal(after, start) or equal(after, drawn):
            return result
        if not _is_random(problem, training_pass):
            return result
    raise ModelError(
        "the model drew other random numbers when its forward pass was repeated, so that its random layers "
        "(dropout) gave something else: if another thread draws from PyTorch's global generator, let it draw "
        "from a torch.Generator of its own"
    )


def _is_random(problem: Problem, training_pass: TrainingPass) -> bool:
    """Whether other random numbers give other logits."""
    with torch.no_grad(), replaying(training_pass):
        for device in problem.devices():
            torch.rand(997, device=device)
        logits = problem.logits(training_pass.inputs)
    return not torch.allclose(logits, training_pass.logits.detach(), rtol=1e-4, atol=1e-6)


def difference_quotient(
    problem: Problem,
    training_pass: TrainingPass,
    theta: MovableParameters,
    directions: Sequence[Tensor],
) -> tuple[Tensor, Tensor]:
    """`J d ≈ (z(θ + εd) − z(θ)) / ε`: one more forward pass.

    The error falls like the square root of the step (because of ReLU kinks) until rounding dominates, so
    ε is chosen from the norms and the coarsest precision in use; in float64 the first call measures it.
    Under autocast and with TF32 no step suits every model, so both logits are computed without them, the
    unmoved ones in one more pass; a model that enters autocast by itself gets a coarse step.
    """
    parameters, keeps_graph = list(theta.parameters.values()), problem.keeps_graph(training_pass)
    base = _precise(problem, training_pass)
    # Scalars on the device: a number for Python would be waited for.
    direction, size = theta.norms(directions)

    def shifted_by(length: Tensor) -> Tensor:
        with theta.moved(directions, torch.where(direction > 0, length / direction, 0.0)):
            return _logits(problem, training_pass)

    def quotient(step: float) -> Tensor:
        with torch.no_grad():
            return (shifted_by(size.clamp(min=1e-3) * step) - base).div_(step)

    step = relative_step(parameters, base, problem.autocast)
    if step < _SINGLE and problem.autocast.least_step is None:
        from gdw.hypergradient.consistency import consistent_step

        problem.autocast.least_step = step = consistent_step(quotient, problem.collective)
    length = size.clamp(min=1e-3) * step
    with torch.set_grad_enabled(not keeps_graph):
        shifted = shifted_by(length)
    dtype = training_pass.class_gradient.dtype
    if is_large(shifted) and shifted.dtype == dtype and _is_read_by_none(shifted):
        difference = shifted.data  # autograd must not see the change: only the graph is used later
    else:
        difference = shifted.detach().to(dtype, copy=True)
    difference.sub_(base)
    logits = training_pass.logits if keeps_graph else shifted
    return difference.mul_(direction / length), logits


_VIEWS = ("ViewBackward0", "UnsafeViewBackward0", "ReshapeAliasBackward0")


def _is_read_by_none(logits: Tensor) -> bool:
    """Whether logits with a graph are the output of a linear layer, which no backward pass reads."""
    node: Any = logits.grad_fn
    while node is not None and node.name() in _VIEWS:
        node = node.next_functions[0][0]
    return node is not None and node.name() in ("MmBackward0", "AddmmBackward0")


def _precise(problem: Problem, training_pass: TrainingPass) -> Tensor:
    """The training logits, detached; in the precision of the parameters where autocast can be avoided."""
    autocast, detached = problem.autocast, training_pass.logits.detach()
    with torch.no_grad():
        if autocast.avoidable:
            autocast.try_without(problem.model, lambda: _logits(problem, training_pass))
        if autocast.avoidable or may_use_tf32(detached):
            return _logits(problem, training_pass)
    return detached


def _logits(problem: Problem, training_pass: TrainingPass) -> Tensor:
    """Repeat the training pass, without autocast where that is possible, and without TF32."""
    autocast, device = problem.autocast, problem.devices()[0]
    plain = autocast.switched_off(problem.model, device) if autocast.avoidable else nullcontext()
    with plain, exact_float32() if device.type == "cuda" else nullcontext():
        return repeated(problem, training_pass, lambda: problem.logits(training_pass.inputs))
