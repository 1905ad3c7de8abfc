"""The head of a model, and a way to run it alone on what the rest of the model passed to it.

The model itself does not change: hooks record the outputs of the modules before the head, and in a replay
those modules return the recorded outputs. Computations between modules are repeated. This suits any model
whose random layers before the head are modules; the first step checks it.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from gdw.errors import ConfigError, ModelError, nearest
from gdw.hypergradient.inputs import map_tensors
from gdw.hypergradient.random_state import RandomState

if TYPE_CHECKING:
    from gdw.hypergradient.compiled_head import Recorder


@dataclass
class Captured:
    """What the head received in one forward pass.

    Attributes:
        inputs: the positional inputs of the head, detached.
        output: the output of the head, detached; None before it was called.
        before: the outputs of each module outside the head, in call order, before the head was called.
        random_state: the random state when the head was called.
        at_start: the random state at the start of the pass.
    """

    inputs: tuple[Any, ...] = ()
    output: Any = None
    before: dict[nn.Module, list[Any]] = field(default_factory=dict)
    random_state: RandomState | None = None
    at_start: RandomState | None = None


class Head:
    """The module that the hypergradient is restricted to.

    Args:
        model: the whole model.
        name: the name of the module, as in `named_modules()`; None for the last `nn.Linear`.
        features_every: for how many steps the features of one meta batch are used (linear heads only).

    Raises:
        ConfigError: there is no such module, or it has no parameters.
    """

    def __init__(self, model: nn.Module, name: str | None, *, features_every: int = 1) -> None:
        self.name = _last_linear(model) if name is None else name
        modules = dict(model.named_modules())
        if (inner := f"_orig_mod.{self.name}") in modules:
            self.name = inner  # of a model that is compiled
        if self.name not in modules:
            raise ConfigError(
                f"the model has no module {name!r} to be the head.{nearest(self.name, modules)} "
                f"Its children: {', '.join(n for n, _ in model.named_children())}"
            )
        self.module = modules[self.name]
        if not any(True for _ in self.module.parameters()):
            raise ConfigError(f"the head {self.name!r} has no parameters: name another module")
        self._outside = _outside(model, self.name)
        self.closed_form: bool | None = None if _is_linear(self.module) else False
        """Whether a linear head's output is the logits; None until the first pass has shown it."""
        self.split_checked = False
        self.shared = _shared(model, self.name)
        """Whether another module holds one of the head's parameters too (tied weights)."""
        self.features_every = features_every
        self._recorder: Recorder | None = None
        self._kept: tuple[Tensor, Tensor] | None = None
        self._uses = 0

    def kept_features(self) -> tuple[Tensor, Tensor] | None:
        """Return features and targets of an earlier meta batch, if this step is to use them too."""
        if self._kept is None or self._uses >= self.features_every:
            return None
        self._uses += 1
        return self._kept

    def keep_features(self, kept: tuple[Tensor, Tensor]) -> None:
        """Keep the features and targets of a meta batch that was used once."""
        if self.features_every > 1:
            self._kept, self._uses = kept, 1

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run needs to continue with the same features."""
        return {"kept": self._kept, "uses": self._uses}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self._kept, self._uses = state["kept"], int(state["uses"])

    def owns(self, parameter: nn.Parameter) -> bool:
        """Whether `parameter` belongs to the head."""
        return any(p is parameter for p in self.module.parameters())

    @property
    def is_compiled(self) -> bool:
        """Whether the head is compiled with its model, as far as `compile` was told."""
        return self._recorder is not None

    def compile(self, model: nn.Module, run: Callable[[], Any]) -> None:
        """Make a compiled model record what its head receives; nothing if the head is not compiled with it.

        Args:
            model: the whole model.
            run: a pass of it.
        """
        from gdw.hypergradient.compiled_head import Recorder, is_compiled_with

        if self._recorder is None and is_compiled_with(model, self.module):
            self._recorder = Recorder(self.module)
            weakref.finalize(self, self._recorder.remove)
            self._recorder.compile(run)

    def capturing(self, devices: list[torch.device]) -> AbstractContextManager[Captured]:
        """Inside, one forward pass of the model fills the yielded record for `replaying`.

        Raises:
            ModelError: on exit, if the pass did not call the head exactly once.
        """
        if self._recorder is None:
            return self.capturing_by_hooks(devices)
        return self._recorder.recording(self.name)

    @contextmanager
    def capturing_by_hooks(self, devices: list[torch.device]) -> Iterator[Captured]:
        """The same for a pass that runs as Python, also if the model is compiled."""
        # In closed form the head is not run again.
        replayed = not self.closed_form
        captured, calls = Captured(at_start=RandomState.capture(devices) if replayed else None), 0

        def note(module: nn.Module, _: Any, output: Any) -> None:
            if not calls:
                captured.before.setdefault(module, []).append(_detached(output))

        def enter(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            nonlocal calls
            calls += 1
            captured.inputs = _detached(inputs)
            captured.random_state = RandomState.capture(devices) if replayed else None

        def leave(_: nn.Module, __: Any, output: Any) -> None:
            captured.output = _detached(output)

        with ExitStack() as hooks:
            for module in self._outside if replayed else ():
                hooks.enter_context(_removed(module.register_forward_hook(note)))
            hooks.enter_context(_removed(self.module.register_forward_pre_hook(enter)))
            hooks.enter_context(_removed(self.module.register_forward_hook(leave)))
            yield captured
        if calls != 1:
            compiled = (
                "" if calls else " (a compiled function hides modules: compile the model instead)"
            )
            raise ModelError(
                f"the head {self.name!r} was called {calls} times in one forward pass, expected once"
                f"{compiled}, name another module with head=, or use hypergradient='finite_difference'"
            )

    @contextmanager
    def replaying(self, captured: Captured, *, widen: bool = False) -> Iterator[None]:
        """Inside, a forward pass computes only the head and what follows it.

        The modules before the head return their recorded outputs; with `widen`, in float32 if they were
        computed under autocast.
        """
        with ExitStack() as undo:
            for module, outputs in captured.before.items():
                answers = map_tensors(outputs, _widened) if widen else outputs
                undo.enter_context(_answering(module, deque(answers)))

            def enter(_: nn.Module, __: Any) -> None:
                # The modules that did not run drew no random numbers.
                if captured.random_state is not None:
                    captured.random_state.restore()

            undo.enter_context(_removed(self.module.register_forward_pre_hook(enter)))
            if captured.at_start is not None:
                captured.at_start.restore()
            yield


def idle(linear: nn.Linear) -> AbstractContextManager[None]:
    """A context in which a linear layer returns zeros of the right shape, without memory of that size."""

    def forward(x: Tensor) -> Tensor:
        return x.new_zeros(()).expand(*x.shape[:-1], linear.out_features)

    return _computing(linear, forward)


def _last_linear(model: nn.Module) -> str:
    names: list[str] = [n for n, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not names:
        raise ConfigError(
            "the model has no linear layer to be the head: name a module with head=, "
            "or use hypergradient='finite_difference'"
        )
    return names[-1]


def _is_linear(module: nn.Module) -> bool:
    """Whether it is a linear layer, sharded or not, and no subclass with a `forward` of its own."""
    kind = type(module)
    return nn.Linear in (kind, *kind.__bases__) and kind.forward is nn.Linear.forward


def _shared(model: nn.Module, name: str) -> bool:
    everywhere = list(model.named_parameters(remove_duplicate=False))
    in_head = {id(p) for p in model.get_submodule(name).parameters()}
    inside = f"{name}." if name else ""
    return any(id(p) in in_head and not key.startswith(inside) for key, p in everywhere)


def _outside(model: nn.Module, name: str) -> list[nn.Module]:
    """Return the modules outside the head: the children of its ancestors that do not contain it."""
    outside, module = [], model
    for part in name.split(".") if name else ():
        for key, child in module.named_children():
            outside += [] if key == part else _callable(child)
        module = getattr(module, part)
    return outside


def _callable(module: nn.Module) -> list[nn.Module]:
    """Return the module, or its children if it is a list or dictionary of modules, which is never called."""
    if isinstance(module, (nn.ModuleList, nn.ModuleDict)):
        return [inner for child in module.children() for inner in _callable(child)]
    return [module]


@contextmanager
def _removed(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _answering(module: nn.Module, outputs: deque[Any]) -> Iterator[None]:
    """Inside, `module` returns `outputs` one by one without computing, and computes when none is left."""
    compute: Callable[..., Any] = module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        return outputs.popleft() if outputs else compute(*args, **kwargs)

    with _computing(module, forward):
        yield


@contextmanager
def _computing(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """Inside, `module` computes `forward` in place of its own."""
    replaced = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if replaced is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = replaced


def _detached(value: Any) -> Any:
    return map_tensors(value, Tensor.detach)


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
