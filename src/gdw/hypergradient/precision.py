"""How coarsely the model computes, and so how far a finite difference must move.

The logits alone do not say it: a forward pass under autocast may hand them over in float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

# ‖ε d‖ / ‖θ‖ by the spacing of numbers near one. Chosen on ResNets with BatchNorm against float64: smaller
# drowns in rounding, larger crosses more ReLU kinks.
_STEPS = (
    (2.0**-40, 1e-10),  # float64
    (2.0**-15, 1e-6),  # float32
    (2.0**-9, 1e-3),  # float16, and float32 through TF32 units
    (1.0, 3e-3),  # bfloat16
)
_TF32 = 2.0**-10


class Autocast:
    """Remembers whether a model's modules ran under autocast; looks once, since that seldom changes."""

    def __init__(self) -> None:
        self.dtypes: set[torch.dtype] = set()
        self._seen = False

    @contextmanager
    def watching(self, model: nn.Module, device: torch.device) -> Iterator[None]:
        """Inside, the first time, notes the autocast dtype that each module of `model` is called under."""
        if self._seen:
            yield
            return

        def note(_: nn.Module, __: Any) -> None:
            if torch.is_autocast_enabled(device.type):
                self.dtypes.add(torch.get_autocast_dtype(device.type))

        with ExitStack() as hooks:
            for module in model.modules():
                hooks.callback(module.register_forward_pre_hook(note).remove)
            yield
        self._seen = True


def relative_step(parameters: Sequence[Tensor], logits: Tensor, autocast: Autocast) -> float:
    """The step of a finite difference relative to the parameters' norm, for the coarsest number used."""
    dtypes = {t.dtype for t in (*parameters, logits)} | autocast.dtypes
    spacing = max(torch.finfo(dtype).eps for dtype in dtypes)
    if logits.device.type == "cuda" and _uses_tf32():
        spacing = max(spacing, _TF32)
    return next(step for bound, step in _STEPS if spacing <= bound)


def _uses_tf32() -> bool:
    """Convolutions on recent NVIDIA devices do, unless told otherwise."""
    return torch.backends.cudnn.allow_tf32 or torch.get_float32_matmul_precision() != "highest"
