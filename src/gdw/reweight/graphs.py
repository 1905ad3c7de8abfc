"""One step of a method in one graph: its fixed memory, its capture, and its replays."""

from __future__ import annotations

import gc
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, ClassVar, Protocol, cast

import torch
from torch import Tensor, nn

from gdw.hypergradient.inputs import map_tensors, moved, tensors_in
from gdw.hypergradient.preserve import copy_all
from gdw.reweight.base import Reweighter
from gdw.reweight.step_result import StepResult

Gradients = list[tuple[nn.Parameter, Tensor]]

# How far a replay may differ from the same step without a graph, relative to the norm. Weights, and so the
# gradient, follow from a finite difference, which enlarges rounding errors.
_TOLERANCE, _TOLERANCE_OF_GRADIENT = 1e-2, 0.2


class Graph(Protocol):
    """Operations that are recorded once and repeated by one call."""

    def aside(self, run: Callable[[], Any]) -> Any:
        """Return the result of `run`, where `capture` would record it."""

    def capture(self, run: Callable[[], Any]) -> Any:
        """Record the operations of `run`. Its result is memory that each replay fills."""

    def replay(self) -> None:
        """Repeat the operations."""


class CudaGraph:
    """A graph of CUDA, captured on a stream that all graphs of the process share."""

    _stream: ClassVar[torch.cuda.Stream | None] = None

    def __init__(self) -> None:
        self._graph = torch.cuda.CUDAGraph()
        if CudaGraph._stream is None:
            CudaGraph._stream = torch.cuda.Stream()

    def aside(self, run: Callable[[], Any]) -> Any:
        torch.cuda.synchronize()
        # The stream has memory of its own; what the steps before have left is not needed twice.
        torch.cuda.empty_cache()
        with _waiting_is_an_error(), torch.cuda.stream(self._stream):
            result = run()
        torch.cuda.synchronize()
        return result

    def capture(self, run: Callable[[], Any]) -> Any:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        with _no_garbage_collection(), torch.cuda.stream(self._stream):
            # Other threads, which load data, may use the GPU meanwhile.
            self._graph.capture_begin(capture_error_mode="thread_local")
            try:
                result = run()
            except BaseException:
                with suppress(RuntimeError):
                    self._graph.capture_end()
                raise
            self._graph.capture_end()
        return result

    def replay(self) -> None:
        self._graph.replay()


@contextmanager
def _waiting_is_an_error() -> Iterator[None]:
    """Inside, operations that wait for the GPU raise. In a capture they would spoil more than the graph."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch calls this check a prototype
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Inside, no garbage is collected: to free an old graph or event would end the capture."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class StepGraph:
    """The step of a reweighter as a graph, with the memory for its inputs, learning rates and gradients.

    Args:
        method: the reweighter, which is not kept alive.
        step: takes a step without a graph, `(batch, meta_batch, indices) -> StepResult`.
        graph: records it.
    """

    def __init__(
        self, method: weakref.ref[Reweighter], step: Callable[..., StepResult], graph: Graph
    ) -> None:
        self._method, self._step, self._graph = method, step, graph
        self._problem = cast(Reweighter, method())._problem
        self._device = self._problem.devices()[0]
        groups = self._problem.optimizer.param_groups
        self._rates = [torch.zeros((), dtype=torch.float64, device=self._device) for _ in groups]
        self._filled: list[float] = []
        self._memory: dict[nn.Parameter, Tensor] = {}
        self._inputs: Any = None
        self._result: StepResult | None = None
        self._gradients: Gradients = []

    def captured(self, inputs: Any) -> tuple[StepResult, str]:
        """Take one step without the graph, and capture it.

        Returns:
            The result of the step, and why the graph is not to be used; "" if it is.
        """
        self._inputs = map_tensors(inputs, lambda t: torch.empty_like(t, device=self._device))
        self._fill(inputs)
        state = self._state()
        before = [t.clone() for t in state]
        try:
            result, gradients = self._graph.aside(self._recorded)
        except RuntimeError as error:
            if (reason := _reason(error)) is None:
                raise
            copy_all(state, before)
            return self._step(*inputs), reason
        result, gradients = _copy_of(result), [(p, g.clone()) for p, g in gradients]
        after = [t.clone() for t in state]
        try:
            copy_all(state, before)
            self._result, self._gradients = self._graph.capture(self._recorded)
            copy_all(state, before)
            self._graph.replay()
            agrees = self._agrees(result, gradients, zip(state, after, strict=True))
            reason = "" if agrees else "a step by a graph gave other figures than without one"
        except RuntimeError as error:
            line = str(error).strip().splitlines()[0]
            reason = _reason(error) or f"the model does what a graph cannot hold ({line})"
        finally:
            copy_all(state, after)
        _hand_over(gradients)
        return result, reason

    def replayed(self, inputs: Any) -> StepResult:
        """Take one step by the graph."""
        self._fill(inputs)
        for parameter, gradient in self._gradients:
            if parameter.grad is gradient:  # several batches are added up
                parameter.grad = gradient.clone()
        self._graph.replay()
        _hand_over(self._gradients)
        assert self._result is not None
        return _copy_of(self._result)

    def _fill(self, inputs: Any) -> None:
        """Write the inputs and the present learning rates into their memory."""
        for memory, tensor in zip(tensors_in(self._inputs), tensors_in(inputs), strict=True):
            memory.copy_(moved(tensor, self._device))
        rates = [float(group["lr"]) for group in self._problem.optimizer.param_groups]
        if rates != self._filled:
            for memory, rate in zip(self._rates, rates, strict=True):
                memory.fill_(rate)
            self._filled = rates

    def _recorded(self) -> tuple[StepResult, Gradients]:
        """The step, its gradients in memory that stays where it is."""
        fixed = self._problem.fixed
        fixed.rates, fixed.gradients = self._rates, []
        try:
            result = self._step(*self._inputs)
            taken = fixed.gradients
        finally:
            fixed.rates = fixed.gradients = None
        used = [(p, g) for p, g in taken if g is not None]
        for parameter, gradient in used:
            if gradient.is_sparse:
                raise RuntimeError("sparse gradients")
            if parameter not in self._memory:
                self._memory[parameter] = torch.empty_like(parameter, requires_grad=False)
        memory = [self._memory[p] for p, _ in used]
        copy_all(memory, [g for _, g in used])
        return result, [(p, m) for (p, _), m in zip(used, memory, strict=True)]

    def _state(self) -> list[Tensor]:
        """What a step changes besides gradients: buffers, and the weighting network with its optimizer."""
        learned = getattr(self._method(), "_learned", None)
        network = [] if learned is None else learned.tensors()
        return [*self._problem.model.buffers(), *(t.detach() for t in network)]

    def _agrees(
        self, result: StepResult, gradients: Gradients, state: Iterator[tuple[Tensor, Tensor]]
    ) -> bool:
        """Whether the replay gave what the step gave before."""
        assert self._result is not None
        there = dict(self._gradients)
        if set(there) != {p for p, _ in gradients}:
            return False
        mine, other = ([r.logits, r.loss, r.meta_loss] for r in (self._result, result))
        pairs = [*zip(mine, other, strict=True), *state]
        close = [_close(a, b) for a, b in pairs if a is not None and b is not None]
        whole = [torch.cat([d[p].flatten() for p in there]) for d in (there, dict(gradients))]
        return all(close) and _close(*whole, tolerance=_TOLERANCE_OF_GRADIENT)


def _hand_over(gradients: Gradients) -> None:
    """Add the gradients to `.grad`, as `loss.backward()` would."""
    for parameter, gradient in gradients:
        if parameter.grad is None:
            parameter.grad = gradient
        else:
            parameter.grad += gradient


def _copy_of(result: StepResult) -> StepResult:
    values = {k: v.clone() if isinstance(v, Tensor) else v for k, v in vars(result).items()}
    return StepResult(**values)


def _close(value: Tensor, expected: Tensor, *, tolerance: float = _TOLERANCE) -> bool:
    difference = (value.double() - expected.double()).norm()
    return bool(difference <= tolerance * expected.double().norm() + 1e-6)


def _reason(error: RuntimeError) -> str | None:
    """Why a step that raised `error` aside cannot be captured; None if the step itself is wrong."""
    if isinstance(error, torch.OutOfMemoryError):
        return "the memory of the GPU is too small for a graph"
    if "synchronizing CUDA operation" in str(error):
        return "the model waits for the GPU, as .item() and boolean masks do"
    return None
