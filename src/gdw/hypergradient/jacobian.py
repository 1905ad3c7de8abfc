"""`u = J d`: the directional derivative of the training logits along a direction in parameter space.

Both ways repeat the training pass with the same random numbers and leave no trace in the model.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from gdw.errors import ModelError
from gdw.hypergradient.batch import Forward
from gdw.hypergradient.precision import Autocast, relative_step
from gdw.hypergradient.problem import Problem
from gdw.hypergradient.stillness import Point, still_buffers, without_inference_path
from gdw.hypergradient.training_pass import TrainingPass


class _Call(nn.Module):
    """`forward(model, inputs)` as a module, so that `functional_call` can replace parameters in it."""

    def __init__(self, model: nn.Module, forward: Forward) -> None:
        super().__init__()
        self.model = model
        self._call = forward

    def forward(self, inputs: Any) -> Tensor:
        return self._call(self.model, inputs)


def call_with(problem: Problem, parameters: Mapping[str, Tensor], inputs: Any) -> Tensor:
    """Logits `(N, C, ...)` of the model with some parameters (by name) replaced by other tensors."""
    module = _Call(problem.model, problem.forward)
    replaced = {f"model.{name}": tensor for name, tensor in parameters.items()}
    placed = problem.layout.place(problem.model, inputs)
    logits: Tensor = functional_call(module, replaced, (placed,))
    return logits


class _OneDtype(TorchFunctionMode):
    """Keeps the tangent of every result in the dtype of its value.

    Under autocast a normalisation in bfloat16 whose own float32 parameters do not move (frozen, or in
    eval mode) returns a float32 tangent, which the next convolution refuses.
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


@contextmanager
def replaying(problem: Problem, run: TrainingPass) -> Iterator[None]:
    """Inside, a forward pass computes as the training pass did: random numbers, buffers and kernels."""
    with run.random_state.replayed(), still_buffers(problem.model), without_inference_path():
        run.buffers.restore()
        yield


def forward_mode(
    problem: Problem, run: TrainingPass, point: Point, directions: Sequence[Tensor]
) -> Tensor:
    """`J d` by dual numbers: exact, about two forward passes, little memory.

    Args:
        problem: the model.
        run: its training pass.
        point: the parameters that move, with their learning rates.
        directions: one tensor a parameter; `d` is each times its parameter's rate.

    Returns:
        `(N, C, ...)`, float32 or wider.

    Raises:
        ModelError: an operation of the model has no forward-mode derivative.
    """
    d = torch._foreach_mul(list(directions), point.rates)
    with (
        replaying(problem, run),
        torch.no_grad(),
        # The fused attention kernels have no forward-mode derivative; the plain one has.
        sdpa_kernel(SDPBackend.MATH),
        forward_ad.dual_level(),
        warnings.catch_warnings(),
    ):
        # PyTorch itself compiles some of its forward-mode formulas with what it has deprecated.
        warnings.filterwarnings("ignore", "`torch.jit.script`", FutureWarning)
        duals = {
            name: forward_ad.make_dual(p.detach(), v)
            for (name, p), v in zip(point.parameters.items(), d, strict=True)
        }
        try:
            with _OneDtype():
                logits = call_with(problem, duals, run.inputs)
        except NotImplementedError as error:
            raise ModelError(
                f"an operation of the model has no forward-mode derivative ({error}): "
                "use hypergradient='finite_difference'"
            ) from error
        tangent: Tensor | None = forward_ad.unpack_dual(logits).tangent
        if tangent is None:
            return torch.zeros_like(run.class_gradient)
        return tangent.clone().to(run.class_gradient.dtype)


def finite_difference(
    problem: Problem, run: TrainingPass, point: Point, directions: Sequence[Tensor]
) -> Tensor:
    """`J d ≈ (z(θ + εd) − z(θ)) / ε`: one more forward pass, on any module.

    Arguments and result as in `forward_mode`. The error falls with the step like its square root (ReLU
    kinks) until rounding takes over; ε is chosen from the norms and the coarsest precision at work.
    Under autocast no step serves every model, so both logits are computed without it, the unmoved ones
    once more; a model that enters autocast by itself is left at a coarse step.
    Unless `problem.keeps_graph` the pass leaves its logits, with graph, in `run`.
    """
    parameters, retain = list(point.parameters.values()), problem.keeps_graph(run)
    base = _without_autocast(problem, run)
    autocast = Autocast() if problem.autocast.avoidable else problem.autocast
    # Two numbers fetched from the device spare the step a tensor as large as the parameters.
    direction, size = point.lengths(directions)
    length = relative_step(parameters, base, autocast) * max(size, 1e-3)
    with (
        torch.set_grad_enabled(not retain),
        point.moved(directions, length / direction if direction > 0 else 0.0),
    ):
        shifted = _again(problem, run)
    if not retain:
        run.logits = shifted
    difference = shifted.detach().to(run.class_gradient.dtype, copy=True).sub_(base)
    return difference.mul_(direction / length)


def _without_autocast(problem: Problem, run: TrainingPass) -> Tensor:
    """The training logits, detached, in the parameters' precision where autocast can be kept away."""
    if problem.autocast.avoidable:
        with torch.no_grad():
            logits = _again(problem, run)
        if problem.autocast.avoidable:  # this pass may have shown that it is not
            return logits
    return run.logits.detach()


def _again(problem: Problem, run: TrainingPass) -> Tensor:
    """The training pass once more, without autocast where it can be kept away."""
    autocast, device = problem.autocast, problem.devices()[0]
    plain = autocast.switched_off(problem.model, device) if autocast.avoidable else nullcontext()
    with replaying(problem, run), plain:
        return problem.logits(run.inputs)
