"""The precision in which a model computes, and the step of a finite difference that suits it.

The dtype of the logits is not enough: a forward pass under autocast may return them in float32.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler
from torch.autograd.graph import saved_tensors_hooks
from torch.optim import Optimizer
from torch.overrides import TorchFunctionMode

from gdw.errors import ConfigError

SIXTEEN_BITS = (torch.float16, torch.bfloat16)

# ‖ε d‖ / ‖θ‖ by the spacing of numbers near one. Chosen on ResNets with BatchNorm against float64: a smaller
# step drowns in rounding errors, a larger one crosses more ReLU kinks.
STEPS = (
    (2.0**-40, 1e-10),  # float64
    (2.0**-15, 1e-6),  # float32
    (2.0**-9, 1e-3),  # float16
    (1.0, 3e-3),  # bfloat16
)


class Autocast:
    """Records in one pass whether a model computes in 16 bits, and switches autocast off.

    Attributes:
        dtypes: the autocast dtypes under which the model calls functions of PyTorch, and the 16-bit dtypes to
            which it converts by itself.
        in_float32: whether it computes in float32, whatever its parameters are.
        least_step: the least step of a finite difference that suits it, if that was measured.
        fixed: whether the model computes in 16 bits also without autocast and its own conversions.
        off: whether autocast is switched off now.
    """

    def __init__(self) -> None:
        self.dtypes: set[torch.dtype] = set()
        self.fixed = self.off = self.in_float32 = self._tried = False
        self.least_step: float | None = None
        # Whether autocast was on around the passes that were watched.
        self._watched: set[bool] = set()
        self._functions: _Functions | None = None

    @property
    def avoidable(self) -> bool:
        """Whether the model runs under an autocast that `switched_off` can switch off."""
        return bool(self.dtypes) and not self.fixed

    def is_new(self, device: torch.device) -> bool:
        """Whether no pass has been watched yet with autocast on or off as it is now."""
        known = device.type == "meta"  # tensors without data have no autocast
        return not known and torch.is_autocast_enabled(device.type) not in self._watched

    @contextmanager
    def watching(self, device: torch.device) -> Iterator[None]:
        """Inside, record in which precision the functions of PyTorch are called, if that `is_new`."""
        if not self.is_new(device):
            yield
            return
        with _Functions(device.type) as functions:
            yield
        self._watched.add(torch.is_autocast_enabled(device.type))
        self.dtypes |= functions.autocast | functions.converted
        self.in_float32 |= functions.in_float32

    def probe(self, device: torch.device, call: Callable[[], Any]) -> None:
        """Watch a pass of a compiled model: as plain Python, since compiled functions are not seen."""
        nothing = torch.empty(0)
        # Nobody takes a gradient through this pass, so its graph need not hold tensors.
        dropped = saved_tensors_hooks(lambda _: nothing, lambda _: nothing)
        with uncompiled(), dropped, self.watching(device):
            call()

    def try_without(self, model: nn.Module, call: Callable[[], Any]) -> None:
        """Call `call`, a pass inside `switched_off`, the first time, to see whether that works.

        If the model needs autocast or its conversions to 16 bits, or is compiled and enters autocast in its
        own `forward`, then `fixed` is true afterwards.
        """
        if self._tried:
            return
        from gdw.hypergradient import conversions

        kind = next(model.parameters()).device.type
        self._functions = functions = _Functions(kind, conversions.unconverted)
        self.fixed = not conversions.succeeds(call) or functions.in_16_bits
        if functions.autocast and is_compiled(model):
            conversions.warn_of_coarse_step(conversions.COMPILED)
            self.fixed = True
        elif self.fixed and torch.bfloat16 in self.dtypes - {p.dtype for p in model.parameters()}:
            conversions.warn_of_coarse_step(conversions.CONVERTING)
        if self.fixed or not (functions.autocast or functions.undone):
            self._functions = None
        self._tried = True

    @contextmanager
    def switched_off(self, model: nn.Module, device: torch.device) -> Iterator[None]:
        """Inside, a call of `model` computes in the precision of its parameters, also under autocast."""

        def enter(_: nn.Module, __: Any) -> None:
            # Read here, because the user's forward function may enter autocast before it calls the model.
            entered.append(torch.is_autocast_enabled(device.type))
            torch.set_autocast_enabled(device.type, False)

        def leave(_: nn.Module, __: Any, ___: Any) -> None:
            if entered:  # not if another hook failed before `enter`
                torch.set_autocast_enabled(device.type, entered.pop())

        entered: list[bool] = []
        with ExitStack() as undo:
            if self._functions is not None:
                undo.enter_context(uncompiled())
                undo.enter_context(self._functions)
            undo.callback(model.register_forward_pre_hook(enter).remove)
            undo.callback(model.register_forward_hook(leave, always_call=True).remove)
            self.off = True
            try:
                yield
            finally:
                self.off = False


class _Functions(TorchFunctionMode):
    """Watches the functions of PyTorch that are called from Python.

    Args:
        kind: the type of the device, such as `"cuda"`.
        unconverted: compute them without autocast, and in place of results in 16 bits return what this
            function does.

    Attributes:
        autocast: the autocast dtypes under which they were called.
        converted: the 16-bit dtypes of results that were called without autocast and have a gradient.
        in_16_bits: whether a result was in 16 bits.
        in_float32: whether a result with a gradient was in float32 (only without autocast).
        undone: whether conversions to 16 bits were left out (only without autocast).
    """

    def __init__(self, kind: str, unconverted: Callable[..., Tensor] | None = None) -> None:
        super().__init__()
        self._kind, self._unconverted = kind, unconverted
        self.autocast: set[torch.dtype] = set()
        self.converted: set[torch.dtype] = set()
        self.in_16_bits = self.in_float32 = self.undone = False

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        on = torch.is_autocast_enabled(self._kind)
        with _without_autocast(self._kind) if self._unconverted and on else nullcontext():
            result = function(*args, **(kwargs or {}))
        if self._unconverted and isinstance(result, Tensor) and result.dtype in SIXTEEN_BITS:
            narrow, result = result.dtype, self._unconverted(function, args, result)
            self.undone |= narrow != result.dtype
        for value in result if isinstance(result, tuple) else (result,):
            self._note(value, on)
        return result

    def _note(self, value: Any, on: bool) -> None:
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return
        if on:
            self.autocast.add(torch.get_autocast_dtype(self._kind))
        if value.dtype in SIXTEEN_BITS:
            self.in_16_bits = True
            if not on and value.requires_grad:
                self.converted.add(value.dtype)
        elif value.dtype == torch.float32 and value.requires_grad and not on:
            self.in_float32 = True


@contextmanager
def _without_autocast(kind: str) -> Iterator[None]:
    # `torch.autocast` would also clear its cache of converted parameters.
    torch.set_autocast_enabled(kind, False)
    try:
        yield
    finally:
        torch.set_autocast_enabled(kind, True)


@contextmanager
def uncompiled() -> Iterator[None]:
    """Inside, compiled functions run as plain Python."""
    # Its import takes seconds. Where nothing was compiled it is not loaded.
    compiles = "torch._dynamo" in sys.modules
    with torch.compiler.set_stance("force_eager") if compiles else nullcontext():
        yield


def is_compiled(model: nn.Module) -> bool:
    """Whether the model or a part of it is compiled."""
    return any(
        m._compiled_call_impl is not None or hasattr(m, "_orig_mod") for m in model.modules()
    )


class LossScale:
    """The factor of a `torch.amp.GradScaler`: gradients are multiplied by it so that they fit into 16 bits.

    `watch` makes sure that the steps of an optimizer undo the factor by which `backward` multiplied.
    """

    def __init__(self) -> None:
        self._scaler: GradScaler | None = None
        # The scale of the gradients since the last step of the optimizer.
        self._since: list[GradScaler | None] = []

    def use(self, scaler: GradScaler | None) -> None:
        """From now on multiply gradients by the scale of `scaler`; None: by one."""
        self._scaler = scaler if scaler is not None and scaler.is_enabled() else None

    @property
    def on(self) -> bool:
        """Whether gradients are scaled."""
        return self._scaler is not None

    def scaled(self, tensor: Tensor) -> Tensor:
        """The tensor times the scale."""
        return tensor if self._scaler is None else self._scaler.scale(tensor)

    def divided(self, tensor: Tensor) -> Tensor:
        """The tensor divided by the scale."""
        return tensor / self._scaler.scale(tensor.new_ones(())) if self._scaler else tensor

    def note_backward(self) -> None:
        """Gradients were accumulated for the optimizer."""
        if self._scaler not in self._since:
            self._since.append(self._scaler)

    def watch(self, optimizer: Optimizer) -> None:
        """At each step of `optimizer`, check that it undoes the scale, for as long as this object exists."""
        while isinstance(inner := getattr(optimizer, "optimizer", None), Optimizer):
            optimizer = inner  # such as that of Accelerate
        reference = weakref.ref(self)

        def check(stepping: Optimizer, *_: Any) -> None:
            scale = None if torch.compiler.is_compiling() else reference()
            if scale is not None:
                scale._check_step(stepping)

        weakref.finalize(self, optimizer.register_step_pre_hook(check).remove)

    def _check_step(self, optimizer: Optimizer) -> None:
        since, self._since = self._since, []
        undone = _stepping_scaler()
        for scaler in since:
            if scaler is undone:
                continue
            if undone is not None:
                undone.update()  # or else it would not divide at the next step, after the loop is mended
                raise ConfigError(
                    "this step divides the gradients by the scale of a GradScaler, but backward did not "
                    "multiply by it: call backward(batch, meta_batch, scaler=scaler)"
                )
            # `unscale_` may have undone the scale before a step without the scaler.
            if scaler is not None and not scaler._found_inf_per_device(optimizer):
                raise ConfigError(
                    "backward got scaler=... and multiplied the gradients by its scale, but this step does "
                    "not divide by it: call scaler.step(optimizer) and scaler.update()"
                )


def _stepping_scaler() -> GradScaler | None:
    """The enabled `GradScaler` whose `step` this is called from."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__") == GradScaler.__module__:
            scaler = frame.f_locals.get("self")
            if isinstance(scaler, GradScaler):
                return scaler if scaler.is_enabled() else None
        frame = frame.f_back  # type: ignore[assignment]
    return None


def relative_step(parameters: Sequence[Tensor], logits: Tensor, autocast: Autocast) -> float:
    """The step of a finite difference relative to the norm of the parameters, for the coarsest dtype used.

    The difference is computed without autocast where that can be avoided.
    """
    if autocast.least_step is not None:
        return autocast.least_step
    dtypes = {t.dtype for t in (*parameters, logits)}
    dtypes |= set() if autocast.avoidable else autocast.dtypes
    dtypes |= {torch.float32} if autocast.in_float32 else set()
    spacing = max(torch.finfo(dtype).eps for dtype in dtypes)
    return next(step for bound, step in STEPS if spacing <= bound)
