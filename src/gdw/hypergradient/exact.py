"""The two exact engines: double backward, and forward mode (dual numbers)."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from gdw.errors import ModelError
from gdw.functional import weighted_class_gradient
from gdw.hypergradient.engines import Hypergradient, directional, repeated
from gdw.hypergradient.inputs import Batch, Forward
from gdw.hypergradient.preserve import MovableParameters
from gdw.hypergradient.problem import Problem
from gdw.hypergradient.training_pass import TrainingPass


def reference(
    problem: Problem, training_pass: TrainingPass, weights: Tensor | None, meta_batch: Batch
) -> Hypergradient:
    """Differentiate the meta loss through the virtual step, by autograd alone (double backward).

    Slow, and needs much memory; but it is plain autograd, so the other engines are tested against it. The
    training pass is repeated, because fused attention kernels have no second derivative.
    """
    with training_pass.repeatable.buffers_after.preserved():
        return _double_backward(problem, training_pass, weights, meta_batch)


def _double_backward(
    problem: Problem, training_pass: TrainingPass, weights: Tensor | None, meta_batch: Batch
) -> Hypergradient:
    trainable, class_gradient = problem.trainable(), training_pass.class_gradient
    with sdpa_kernel(SDPBackend.MATH):
        logits = repeated(
            problem, training_pass, lambda: problem.logits(training_pass.inputs), same_kernels=False
        )
    omega = torch.zeros_like(class_gradient) if weights is None else weights.detach().clone()
    omega.requires_grad_()
    cotangent = weighted_class_gradient(omega, class_gradient, training_pass.count)
    gradient = torch.autograd.grad(
        logits,
        [p for p, _ in trainable.values()],
        cotangent.to(logits.dtype),
        create_graph=True,
        materialize_grads=True,
    )
    # The sum over processes adds a constant: only the examples of this process depend on its weights.
    total = problem.collective.sum([t.detach() for t in gradient])
    virtual = {
        name: p.detach() - rate * (local + (summed - local.detach()))
        for (name, (p, rate)), local, summed in zip(trainable.items(), gradient, total, strict=True)
    }
    with sdpa_kernel(SDPBackend.MATH):
        loss = problem.meta_loss(meta_batch, lambda x: _call_with(problem, virtual, x))
    points = list(virtual.values())
    g = torch.autograd.grad(loss, points, materialize_grads=True)
    meta_loss, *g_total = problem.collective.sum([loss.detach(), *g])
    moving = [(t, v) for t, v in zip(points, g_total, strict=True) if t.requires_grad]
    (values,) = torch.autograd.grad(
        [t for t, _ in moving], omega, [v for _, v in moving], materialize_grads=True
    )
    return Hypergradient(values, meta_loss, training_pass.logits)


def forward_mode(
    problem: Problem, training_pass: TrainingPass, weights: Tensor | None, meta_batch: Batch
) -> Hypergradient:
    """Compute G with dual numbers: exact, about two forward passes, little memory.

    Raises:
        ModelError: an operation of the model has no forward-mode derivative.
    """
    return directional(
        _dual_product, problem, training_pass, weights, meta_batch, problem.trainable()
    )


def _dual_product(
    problem: Problem,
    training_pass: TrainingPass,
    theta: MovableParameters,
    directions: Sequence[Tensor],
) -> tuple[Tensor, Tensor]:
    d = torch._foreach_mul(list(directions), cast(Any, theta.rates))
    with (
        torch.no_grad(),
        # The fused attention kernels have no forward-mode derivative; the plain one has.
        sdpa_kernel(SDPBackend.MATH),
        forward_ad.dual_level(),
        warnings.catch_warnings(),
    ):
        # PyTorch itself compiles some of its forward-mode formulas with functions that it has deprecated.
        warnings.filterwarnings("ignore", "`torch.jit.script`")
        duals = {
            name: forward_ad.make_dual(p.detach(), v)
            for (name, p), v in zip(theta.parameters.items(), d, strict=True)
        }
        try:
            with _TangentDtype():
                logits = repeated(
                    problem,
                    training_pass,
                    lambda: _call_with(problem, duals, training_pass.inputs),
                    same_kernels=False,
                )
        except NotImplementedError as error:
            raise ModelError(
                f"an operation of the model has no forward-mode derivative ({error}): "
                "use hypergradient='finite_difference'"
            ) from error
        like = training_pass.class_gradient
        tangent: Tensor | None = forward_ad.unpack_dual(logits).tangent
        u = torch.zeros_like(like) if tangent is None else tangent.clone().to(like.dtype)
    return u, training_pass.logits


class _Call(nn.Module):
    """`forward(model, inputs)` as a module, so that `functional_call` can replace parameters in it."""

    def __init__(self, model: nn.Module, forward: Forward) -> None:
        super().__init__()
        self.model = model
        self._call = forward

    def forward(self, inputs: Any) -> Tensor:
        return self._call(self.model, inputs)


def _call_with(problem: Problem, parameters: Mapping[str, Tensor], inputs: Any) -> Tensor:
    """Logits `(N, C, ...)` of the model with some parameters, by name, replaced by other tensors."""
    module = _Call(problem.model, problem.forward)
    replaced = {f"model.{name}": tensor for name, tensor in parameters.items()}
    placed = problem.memory_format.apply(problem.model, inputs)
    logits: Tensor = functional_call(module, replaced, (placed,))
    return logits


class _TangentDtype(TorchFunctionMode):
    """Keeps the tangent of every result in the dtype of its value.

    Under autocast a normalisation in bfloat16 whose float32 parameters do not move (frozen, or in eval
    mode) returns a float32 tangent, which the next convolution refuses.
    """

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        if not isinstance(result, Tensor) or not result.is_floating_point():
            return result
        value, tangent = forward_ad.unpack_dual(result)
        if tangent is None or tangent.dtype == value.dtype:
            return result
        return forward_ad.make_dual(value, tangent.to(value.dtype))
