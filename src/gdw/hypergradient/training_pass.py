"""What the forward pass of a training batch leaves for the passes that follow it."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from gdw.errors import ModelError
from gdw.hypergradient.head import Captured
from gdw.hypergradient.inputs import tensor_versions
from gdw.hypergradient.precision import is_compiled
from gdw.hypergradient.preserve import Buffers, preserved_buffers
from gdw.hypergradient.random_state import RandomState

if TYPE_CHECKING:
    from gdw.hypergradient.layers import Layer
    from gdw.hypergradient.problem import Problem


@dataclass(frozen=True)
class Before:
    """What must be as it was, so that a later pass repeats a training pass.

    Attributes:
        random_state: the state of the random generators at the start of the pass.
        is_random: whether the pass drew random numbers.
        drawn: the states of PyTorch's generators at its end; None if it drew none of their numbers.
        buffers: the buffers of the model at the start of the pass.
        buffers_after: the buffers at its end: the passes that follow must leave them so.
    """

    random_state: RandomState
    is_random: bool
    drawn: list[Tensor] | None
    buffers: Buffers
    buffers_after: Buffers


@dataclass(frozen=True)
class TrainingPass:
    """The result of the forward pass of a training batch.

    Attributes:
        inputs: the inputs of the batch, for a second pass.
        logits: `(N, C, ...)`, with the graph that the model's gradient is taken through.
        losses: `(N, ...)`, detached.
        class_gradient: `D1`, `(N, C, ...)`, detached, float32 or wider.
        mean_loss: mean over the labelled examples of this process, a scalar.
        count: the number of labelled examples in the global batch, a scalar tensor.
        before: what a repetition of the pass needs; None if no pass is to follow.
        captured: what the head received; None without a head.
        chain: its layers, if it is to be read as a chain and is one.
    """

    inputs: Any
    logits: Tensor
    losses: Tensor
    class_gradient: Tensor
    mean_loss: Tensor
    count: Tensor
    before: Before | None = None
    captured: Captured | None = None
    chain: list[Layer] | None = None

    @property
    def repeatable(self) -> Before:
        """What a repetition of the pass needs."""
        assert self.before is not None, "the problem was built with `repeats`"
        return self.before

    def without_graph(self) -> TrainingPass:
        """The same pass with detached logits. The graph is freed when the last reference is gone."""
        return replace(self, logits=self.logits.detach())


def checked_pass(problem: Problem, inputs: Any) -> tuple[Tensor, dict[str, Any]]:
    """`first_pass` of a model that leaves its inputs as they are, and whose logits have a gradient.

    Raises:
        ModelError: it is not such a model.
    """
    versions = tensor_versions(inputs)
    logits, left = first_pass(problem, inputs)
    if tensor_versions(inputs) != versions:
        raise ModelError(
            "the model changes its inputs in place, but they are needed again in the same step: "
            "make it work on a copy (x = x.clone())"
        )
    if not logits.requires_grad:
        raise ModelError(
            "the logits have no gradient: call backward outside of torch.no_grad(), and detach nothing "
            "in the model or in forward"
        )
    return logits, left


def first_pass(problem: Problem, inputs: Any) -> tuple[Tensor, dict[str, Any]]:
    """The logits of the training inputs, and `before`, `captured` and `chain` of `TrainingPass`."""
    in_closed_form = problem.head is not None and problem.head.closed_form
    if (in_closed_form or not problem.fixed.repeats) and problem.memory_format.proven:
        logits, captured = watched_pass(problem, inputs)
        return logits, {"captured": captured}
    known = problem.chains and problem.chains.expected_pass(problem, inputs)
    if known:
        return known[0], {"chain": known[1]}
    _, copies, copies_after = problem.copies
    state, buffers = RandomState.capture(problem.devices()), Buffers(problem.model, copies)
    try:
        logits, captured = watched_pass(problem, inputs)
    except RuntimeError:
        if not problem.memory_format.give_up():
            raise
        state.restore()
        buffers.restore()
        logits, captured = watched_pass(problem, inputs)
    problem.memory_format.proven = True
    drawn, after = state.changed(), Buffers(problem.model, copies_after)
    is_random = drawn is not None or state.others_changed()
    before = Before(state, is_random, drawn, buffers, after)
    chain = problem.chains and problem.chains.read(problem, logits, inputs)
    return logits, {"before": before, "captured": captured, "chain": chain}


def watched_pass(problem: Problem, inputs: Any) -> tuple[Tensor, Captured | None]:
    """The logits, and what the head received if there is one."""
    devices, autocast, head = problem.devices(), problem.autocast, problem.head
    if autocast.is_new(devices[0]) and is_compiled(problem.model):
        _probe(problem, inputs)
    with (
        autocast.watching(devices[0]),
        head.capturing(devices) if head else nullcontext() as captured,
    ):
        return problem.logits(inputs), captured


def _probe(problem: Problem, inputs: Any) -> None:
    """Run a compiled model before its first pass, to see its precision and its head; it stays as it was."""
    devices, head, autocast = problem.devices(), problem.head, problem.autocast

    def run() -> None:
        with head.capturing_by_hooks(devices) if head else nullcontext():
            problem.logits(inputs)

    with preserved_buffers(problem.model), RandomState.capture(devices).replayed():
        autocast.probe(devices[0], run)
    if head is not None:
        with preserved_buffers(problem.model), RandomState.capture(devices).replayed():
            head.compile(problem.model, lambda: problem.logits(inputs))
