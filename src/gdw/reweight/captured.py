"""Steps as CUDA graphs: the operations of a step are recorded once and then started by one call.

A small network on a GPU is limited by how fast Python calls operations, more than a thousand in a step of
GDW. A graph has them all: training pass, virtual gradient, meta pass, finite difference, the step of the
weighting network and the weighted gradient. The model's optimizer steps outside of it.

A graph repeats the operations and not the Python code. So a step is captured only if it is known to depend
on tensors alone, and if a replay gave what the same step gave without a graph. Otherwise every operation is
called as before, and one line says why.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Hashable
from typing import Any, cast

import torch
from torch import Tensor, nn

from gdw.errors import warn_user
from gdw.hypergradient.inputs import Batch
from gdw.hypergradient.random_state import RandomState
from gdw.reweight.base import Reweighter
from gdw.reweight.graphs import CudaGraph, Graph, StepGraph
from gdw.reweight.step_result import StepResult

# So many steps with batches of the same form are taken before one is captured.
EAGER_STEPS = 20
# Of so many forms of batches graphs are kept, each with memory of its own.
_MOST_GRAPHS = 4
# With so many forms and no graph yet, shapes are taken to change at every step.
_MOST_FORMS = 50
# A model whose own attributes changed so often is not captured any more.
_MOST_CHANGES = 8

_PLAIN = (bool, int, float, str, type(None))

_told: set[str] = set()


class NotCapturedWarning(UserWarning):
    """Steps are not captured as CUDA graphs."""


def capture_steps(
    reweighter: Reweighter,
    *,
    make_graph: Callable[[], Graph] = CudaGraph,
    tell: Callable[[str], None] | None = None,
) -> None:
    """From now on capture the steps of `reweighter` as CUDA graphs where that is possible.

    `.grad` of the parameters is then memory that the next `backward` uses again: call `optimizer.zero_grad()`
    with `set_to_none=True`, the default, after each step of the optimizer. Code of the model, of `forward`
    and of the loss runs only while a step is captured. Where the model is not on a CUDA device, nothing
    changes.

    Args:
        reweighter: the method, before its first step or later.
        make_graph: makes a graph; another one than a CUDA graph for tests.
        tell: takes the line that says why steps are not captured; by default it is a `NotCapturedWarning`.
    """
    if make_graph is CudaGraph and reweighter._problem.devices()[0].type != "cuda":
        return
    steps = CapturedSteps(reweighter, make_graph, tell or _warn)
    reweighter._step = steps.step  # type: ignore[method-assign]


def _warn(text: str) -> None:
    warn_user(text, NotCapturedWarning)


class CapturedSteps:
    """Takes the steps of a reweighter, by graphs as soon and as far as that is possible."""

    def __init__(
        self, reweighter: Reweighter, make_graph: Callable[[], Graph], tell: Callable[[str], None]
    ) -> None:
        # The reweighter holds this object. Without a cycle, its memory is freed as soon as it is gone.
        self._method = method = weakref.ref(reweighter)
        self._make_graph, self._tell = make_graph, tell
        self._graphs: dict[Hashable, StepGraph] = {}
        self._seen: Counter[Hashable] = Counter()
        self._attributes: Any = None
        self._changes = -1
        self._stopped = False

        def eager(*inputs: Any) -> StepResult:
            owner = cast(Reweighter, method())
            return type(owner)._step(owner, *inputs)

        self._eager = eager

    def step(self, batch: Batch, meta_batch: Batch | None, indices: Tensor | None) -> StepResult:
        """One step, see `Reweighter.backward`."""
        inputs, reweighter = (batch, meta_batch, indices), cast(Reweighter, self._method())
        if self._stopped:
            return self._eager(*inputs)
        self._look_at_attributes(reweighter)
        if not self._graphs and (reason := obstacle(reweighter)):
            self._stop(reason)
        form = form_of(inputs)
        if form is None:
            self._stop("a batch holds more than tensors in tuples, lists and dictionaries")
        if self._stopped:
            return self._eager(*inputs)
        key = form, getattr(reweighter, "_is_meta_step", bool)()
        graph = self._graphs.get(key)
        if graph is not None:
            result = graph.replayed(inputs)
            reweighter._require_finite(result.loss, result.meta_loss)
            return result
        self._seen[key] += 1
        if len(self._seen) > _MOST_FORMS and not self._graphs:
            self._stop("batches have ever new shapes")
        if self._seen[key] > EAGER_STEPS and len(self._graphs) < _MOST_GRAPHS:
            return self._captured(key, inputs)
        return self._watched(inputs)

    def _watched(self, inputs: Any) -> StepResult:
        """A step without a graph. If it draws random numbers, no step is captured."""
        state = RandomState.capture(cast(Reweighter, self._method())._problem.devices())
        result = self._eager(*inputs)
        if not state.is_current():
            self._stop(
                "the model draws random numbers (dropout), and the passes of a step must repeat them"
            )
        return result

    def _captured(self, key: Hashable, inputs: Any) -> StepResult:
        """A step without a graph, which is captured."""
        graph = StepGraph(self._method, self._eager, self._make_graph())
        result, reason = graph.captured(inputs)
        if reason:
            self._stop(reason)
        else:
            self._graphs[key] = graph
        return result

    def _stop(self, reason: str) -> None:
        """Take all further steps without graphs, and say why."""
        self._stopped = True
        self._graphs.clear()
        if reason in _told:
            return
        _told.add(reason)
        self._tell(
            f"steps are not captured as CUDA graphs: {reason}. The results are right, but small networks "
            "train slower, as Python calls each operation; capture='none' (--capture none) hides this line"
        )

    def _look_at_attributes(self, reweighter: Reweighter) -> None:
        """Forget the graphs if the model is not as it was when they were captured."""
        attributes = attributes_of(reweighter)
        if attributes == self._attributes:
            return
        self._attributes = attributes
        self._changes += 1
        self._graphs.clear()
        self._seen.clear()
        if self._changes > _MOST_CHANGES:
            self._stop("the model changes attributes of its modules while it is trained")


def obstacle(reweighter: Reweighter) -> str | None:
    """Why no step of a reweighter can be captured, as far as it is known before; None if it may be."""
    problem, options = reweighter._problem, reweighter.options
    if "captures" not in vars(type(reweighter)):
        return f"{type(reweighter).__name__} may decide in Python what a step does"
    if getattr(options, "hypergradient", "head") not in ("auto", "finite_difference", "head"):
        return f"hypergradient={options.hypergradient!r} computes in a way that a graph cannot hold"
    for name in ("meta_features_every", "meta_gradient_every", "meta_gradient_momentum"):
        if name in type(options).model_fields and getattr(options, name) not in (0, 1):
            return f"{name} changes what a step does"
    devices, gradients = problem.devices(), sum(p.requires_grad for p in problem.model.parameters())
    if len(devices) > 1 or devices[0].index not in (None, _current_device()):
        return "the model is not on the current device alone (torch.cuda.set_device)"
    if gradients > len(problem.trainable()):
        return "parameters have gradients that the optimizer does not train"
    if problem.collective.world_size > 1:
        return "several processes train together"
    if problem.scale.on:
        return "a GradScaler changes the scale of the gradients"
    return None


def _current_device() -> int:
    return torch.cuda.current_device() if torch.cuda.is_initialized() else 0


def form_of(inputs: Any) -> Hashable:
    """Shape, dtype and order in memory of every tensor, and all plain values; None without a graph for it."""
    if isinstance(inputs, Tensor):
        return (inputs.shape, inputs.dtype, inputs.stride(), inputs.device)
    if isinstance(inputs, _PLAIN):
        return ("plain", inputs)
    if type(inputs) is dict:
        inputs = tuple(x for item in inputs.items() for x in item)
    if type(inputs) in (tuple, list):
        forms = tuple(form_of(item) for item in inputs)
        return None if None in forms else forms
    return None


def attributes_of(reweighter: Reweighter) -> Any:
    """What a captured step takes for granted: where tensors are, and the plain attributes of all modules."""
    modules, learned = [*reweighter.model.modules()], getattr(reweighter, "_learned", None)
    tensors = [t for m in modules for part in (m._parameters, m._buffers) for t in part.values()]
    return (
        [None if t is None else (id(t), t.data_ptr(), t.requires_grad) for t in tensors],
        [] if learned is None else [t.data_ptr() for t in learned.tensors()],
        [_attributes(module) for module in modules],
        [len(group["params"]) for group in reweighter._problem.optimizer.param_groups],
        [id(v) for k, v in vars(reweighter).items() if k != "_batches" and type(v) not in _PLAIN],
    )


def _attributes(module: nn.Module) -> Any:
    plain = [(k, v) for k, v in vars(module).items() if isinstance(v, _PLAIN)]
    lists = [
        (k, tuple(v))
        for k, v in vars(module).items()
        if isinstance(v, (list, tuple)) and all(isinstance(item, _PLAIN) for item in v)
    ]
    hooks = len(module._forward_hooks), len(module._forward_pre_hooks)
    return id(module), plain, lists, hooks
