"""The part of a model that comes last, run again alone from what the rest handed to it.

Nothing in the model changes for good: outputs of the modules before the head are kept by hooks, and in a
replay those modules answer with what they said before. What the model computes between its modules is
computed again. That fits any model whose random layers before the head are modules; the first step checks it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gdw.errors import ConfigError, ModelError, nearest
from gdw.hypergradient.batch import each_tensor
from gdw.hypergradient.stillness import RandomState


@dataclass
class Captured:
    """What one forward pass handed to the head.

    Attributes:
        inputs: the head's positional inputs, detached.
        output: what the head returned, detached; None before it was called.
        before: the outputs of each module beside the head, in call order, up to the head's call.
        random_state, at_start: the random state at the head's call, and at the start of the pass.
    """

    inputs: tuple[Any, ...] = ()
    output: Any = None
    before: dict[nn.Module, list[Any]] = field(default_factory=dict)
    random_state: RandomState | None = None
    at_start: RandomState | None = None


class Head:
    """The module whose parameters the hypergradient is restricted to.

    Args:
        model: the whole model.
        name: the module's name in it, as in `named_modules()`; None for the last `nn.Linear`.
        features_every: for how many steps the features of a meta batch serve a linear head.

    Raises:
        ConfigError: no such module, or one without parameters.
    """

    def __init__(self, model: nn.Module, name: str | None, *, features_every: int = 1) -> None:
        self.name = _last_linear(model) if name is None else name
        modules = dict(model.named_modules())
        if self.name not in modules:
            raise ConfigError(
                f"the model has no module {name!r} to be the head.{nearest(self.name, modules)} "
                f"Its children: {', '.join(n for n, _ in model.named_children())}"
            )
        self.module = modules[self.name]
        if not any(True for _ in self.module.parameters()):
            raise ConfigError(f"the head {self.name!r} has no parameters: name another module")
        self._beside = _beside(model, self.name)
        self.closed_form: bool | None = None if type(self.module) is nn.Linear else False
        """Whether a linear head's output is the logits; None until the first pass has shown it."""
        self.split_checked = False
        self.shared = _shared(model, self.name)
        """Whether another module holds one of the head's parameters too (tied weights)."""
        self.features_every = features_every
        self._kept: tuple[Tensor, Tensor] | None = None
        self._uses = 0

    def kept_features(self) -> tuple[Tensor, Tensor] | None:
        """Features and targets of an earlier meta batch, if they are to serve this step too."""
        if self._kept is None or self._uses >= self.features_every:
            return None
        self._uses += 1
        return self._kept

    def keep_features(self, kept: tuple[Tensor, Tensor]) -> None:
        """Remember the features and targets of a meta batch, used once already."""
        if self.features_every > 1:
            self._kept, self._uses = kept, 1

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs to go on with the same features."""
        return {"kept": self._kept, "uses": self._uses}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self._kept, self._uses = state["kept"], int(state["uses"])

    def owns(self, parameter: nn.Parameter) -> bool:
        """Whether `parameter` is one of the head's."""
        return any(p is parameter for p in self.module.parameters())

    @contextmanager
    def capturing(self, devices: list[torch.device]) -> Iterator[Captured]:
        """Inside, one forward pass of the model leaves in the result what `replaying` needs.

        Raises:
            ModelError: afterwards, if the pass did not call the head exactly once.
        """
        captured, calls = Captured(at_start=RandomState.capture(devices)), 0

        def note(module: nn.Module, _: Any, output: Any) -> None:
            if not calls:
                captured.before.setdefault(module, []).append(_detached(output))

        def enter(_: nn.Module, inputs: tuple[Any, ...]) -> None:
            nonlocal calls
            calls += 1
            captured.inputs = _detached(inputs)
            captured.random_state = RandomState.capture(devices)

        def leave(_: nn.Module, __: Any, output: Any) -> None:
            captured.output = _detached(output)

        with ExitStack() as hooks:
            for module in () if self.closed_form else self._beside:
                hooks.enter_context(_removed(module.register_forward_hook(note)))
            hooks.enter_context(_removed(self.module.register_forward_pre_hook(enter)))
            hooks.enter_context(_removed(self.module.register_forward_hook(leave)))
            yield captured
        if calls != 1:
            compiled = "" if calls else " (a compiled model hides its modules)"
            raise ModelError(
                f"the head {self.name!r} was called {calls} times in one forward pass, expected once"
                f"{compiled}: name another module with head=, or use hypergradient='finite_difference'"
            )

    @contextmanager
    def replaying(self, captured: Captured, *, widen: bool = False) -> Iterator[None]:
        """Inside, a forward pass computes the head and what follows; modules before it answer as kept.

        With `widen`, what they computed under autocast is handed over in float32.
        """
        with ExitStack() as undo:
            for module, outputs in captured.before.items():
                answers = each_tensor(outputs, _widened) if widen else outputs
                undo.enter_context(_answering(module, deque(answers)))

            def enter(_: nn.Module, __: Any) -> None:
                # What the silent modules would have drawn was not drawn.
                if captured.random_state is not None:
                    captured.random_state.restore()

            undo.enter_context(_removed(self.module.register_forward_pre_hook(enter)))
            if captured.at_start is not None:
                captured.at_start.restore()
            yield


def _last_linear(model: nn.Module) -> str:
    names: list[str] = [n for n, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not names:
        raise ConfigError(
            "the model has no linear layer to be the head: name a module with head=, "
            "or use hypergradient='finite_difference'"
        )
    return names[-1]


def _shared(model: nn.Module, name: str) -> bool:
    everywhere = list(model.named_parameters(remove_duplicate=False))
    own = {id(p) for p in model.get_submodule(name).parameters()}
    inside = f"{name}." if name else ""
    return any(id(p) in own and not key.startswith(inside) for key, p in everywhere)


def _beside(model: nn.Module, name: str) -> list[nn.Module]:
    """The children of every ancestor of the head that are not on the way to it."""
    beside, module = [], model
    for part in name.split(".") if name else ():
        for key, child in module.named_children():
            beside += [] if key == part else _callable(child)
        module = getattr(module, part)
    return beside


def _callable(module: nn.Module) -> list[nn.Module]:
    """The module, or what it holds if it is a mere list or dictionary that is never called itself."""
    if isinstance(module, (nn.ModuleList, nn.ModuleDict)):
        return [found for child in module.children() for found in _callable(child)]
    return [module]


@contextmanager
def _removed(handle: Any) -> Iterator[None]:
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _answering(module: nn.Module, outputs: deque[Any]) -> Iterator[None]:
    """Inside, `module` returns `outputs` one by one, without computing; then it computes again."""
    compute: Callable[..., Any] = module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        return outputs.popleft() if outputs else compute(*args, **kwargs)

    own = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if own is None:
            del module.__dict__["forward"]
        else:
            module.__dict__["forward"] = own


def _detached(value: Any) -> Any:
    return each_tensor(value, Tensor.detach)


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
