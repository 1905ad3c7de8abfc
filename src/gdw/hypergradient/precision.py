"""The precision in which a model computes, and the step of a finite difference that suits it.

The dtype of the logits is not enough: a forward pass under autocast may return them in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

# ‖ε d‖ / ‖θ‖ by the spacing of numbers near one. Chosen on ResNets with BatchNorm against float64: a smaller
# step drowns in rounding errors, a larger one crosses more ReLU kinks.
_STEPS = (
    (2.0**-40, 1e-10),  # float64
    (2.0**-15, 1e-6),  # float32
    (2.0**-9, 1e-3),  # float16, and float32 through TF32 units
    (1.0, 3e-3),  # bfloat16
)
_TF32 = 2.0**-10


class Autocast:
    """Records in one pass whether a model runs under autocast, and switches autocast off.

    Attributes:
        dtypes: the autocast dtypes under which the modules of the model were called.
        inner: whether the model enters autocast by itself, where it cannot be switched off from outside.
        off: whether autocast is switched off now.
    """

    def __init__(self) -> None:
        self.dtypes: set[torch.dtype] = set()
        self.inner = False
        self.off = False
        self._seen = self._tried = False

    @property
    def avoidable(self) -> bool:
        """Whether the model runs under an autocast that `switched_off` can switch off."""
        return bool(self.dtypes) and not self.inner

    @contextmanager
    def watching(self, model: nn.Module, device: torch.device) -> Iterator[None]:
        """Inside, the first time, record the autocast dtype under which each module of `model` is called."""
        if self._seen:
            yield
            return

        def note(_: nn.Module, __: Any) -> None:
            if torch.is_autocast_enabled(device.type):
                self.dtypes.add(torch.get_autocast_dtype(device.type))

        with _called_first(model.modules(), note):
            yield
        self._seen = True

    @contextmanager
    def switched_off(self, model: nn.Module, device: torch.device) -> Iterator[None]:
        """Inside, a call of `model` computes in the precision of its parameters, also under autocast.

        A model that enters autocast in its own `forward` still does so; `inner` is then true on exit.
        """

        def enter(_: nn.Module, __: Any) -> None:
            # Read here, because the user's forward function may enter autocast before it calls the model.
            entered.append(torch.is_autocast_enabled(device.type))
            torch.set_autocast_enabled(device.type, False)

        def leave(_: nn.Module, __: Any, ___: Any) -> None:
            if entered:  # not if another hook failed before `enter`
                torch.set_autocast_enabled(device.type, entered.pop())

        def note(_: nn.Module, __: Any) -> None:
            self.inner |= torch.is_autocast_enabled(device.type)

        entered: list[bool] = []
        # Only once, because hooks on every module make a compiled model compile again.
        children = [m for m in model.modules() if m is not model and not self._tried]
        with ExitStack() as undo:
            undo.enter_context(_called_first(children, note))
            undo.enter_context(_called_first([model], enter))
            undo.callback(model.register_forward_hook(leave, always_call=True).remove)
            self.off = True
            try:
                yield
            finally:
                self.off = False
        self._tried = True


@contextmanager
def _called_first(
    modules: Iterable[nn.Module], hook: Callable[[nn.Module, Any], None]
) -> Iterator[None]:
    """Inside, `hook` is called before each of the modules."""
    with ExitStack() as undo:
        for module in modules:
            undo.callback(module.register_forward_pre_hook(hook).remove)
        yield


def relative_step(parameters: Sequence[Tensor], logits: Tensor, autocast: Autocast) -> float:
    """The step of a finite difference relative to the norm of the parameters, for the coarsest dtype used."""
    dtypes = {t.dtype for t in (*parameters, logits)} | autocast.dtypes
    spacing = max(torch.finfo(dtype).eps for dtype in dtypes)
    if logits.device.type == "cuda" and _uses_tf32():
        spacing = max(spacing, _TF32)
    return next(step for bound, step in _STEPS if spacing <= bound)


def _uses_tf32() -> bool:
    """Whether float32 convolutions or matrix products may use TF32 (the default on recent NVIDIA devices)."""
    return torch.backends.cudnn.allow_tf32 or torch.get_float32_matmul_precision() != "highest"
