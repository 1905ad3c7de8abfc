"""`u = J d`: the directional derivative of the training logits along a direction in parameter space.

Both ways repeat the training pass with the same random numbers and leave no trace in the model.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import get_total_norm

from gdw.errors import ModelError
from gdw.hypergradient.batch import Forward
from gdw.hypergradient.precision import relative_step
from gdw.hypergradient.problem import Problem, TrainingPass
from gdw.hypergradient.stillness import moved, still_buffers


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
    logits: Tensor = functional_call(module, replaced, (inputs,))
    return logits


@contextmanager
def replaying(problem: Problem, run: TrainingPass) -> Iterator[None]:
    """Inside, a forward pass starts from where the training pass did: random numbers and buffers."""
    with run.random_state.replayed(), still_buffers(problem.model):
        run.buffers.restore()
        yield


def forward_mode(
    problem: Problem, run: TrainingPass, named: Mapping[str, nn.Parameter], d: Sequence[Tensor]
) -> Tensor:
    """`J d` by dual numbers: exact, about two forward passes, little memory.

    Args:
        problem: the model.
        run: its training pass.
        named: the parameters that move, by name.
        d: the direction, one tensor a parameter.

    Returns:
        `(N, C, ...)`, float32 or wider.

    Raises:
        ModelError: an operation of the model has no forward-mode derivative.
    """
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
            for (name, p), v in zip(named.items(), d, strict=True)
        }
        try:
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
    problem: Problem, run: TrainingPass, named: Mapping[str, nn.Parameter], d: Sequence[Tensor]
) -> Tensor:
    """`J d ≈ (z(θ + εd) − z(θ)) / ε`: one more forward pass, on any module.

    Arguments and result as in `forward_mode`. The error falls with the step like its square root (ReLU
    kinks) until rounding takes over; ε is chosen from the norms and the coarsest precision at work.
    `d` is used up: it is scaled in place. Unless `problem.keeps_graph` the pass leaves its logits, with
    graph, in `run`.
    """
    parameters, retain = list(named.values()), problem.keeps_graph(run)
    values = [p.detach() for p in parameters]
    direction, size = (get_total_norm(ts).to(run.class_gradient.dtype) for ts in (d, values))
    relative = relative_step(parameters, run.logits, problem.autocast)
    length = relative * size.clamp(min=1e-3)
    epsilon = torch.where(direction > 0, length / direction, torch.zeros_like(direction))
    torch._foreach_mul_(list(d), epsilon)
    steps = [t.to(p.dtype) for t, p in zip(d, parameters, strict=True)]
    with (
        replaying(problem, run),
        torch.set_grad_enabled(not retain),
        moved(parameters, steps),
    ):
        shifted = problem.logits(run.inputs)
    logits = run.logits.detach()
    if not retain:
        run.logits = shifted
    difference = shifted.detach().to(length.dtype, copy=True).sub_(logits)
    inverse = torch.where(direction > 0, direction / length, torch.zeros_like(direction))
    return difference.mul_(inverse)
