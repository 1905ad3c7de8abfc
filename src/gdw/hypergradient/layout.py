"""The memory format of images: convolutions on a CPU are faster when the channels of a pixel lie together."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gdw.hypergradient.batch import each_tensor


class Layout:
    """Hands images to convolutions channels-last where that is faster: in 32 or 16 bits, on a CPU.

    Only the order of numbers in memory changes, not shapes or values, and layers that follow keep to it.
    (Dropout of images draws in that order, so the same seed drops other pixels.)
    A model that asks for the other order (`view` where `reshape` would do) raises in its first pass;
    it then gets its inputs as they come.

    Attributes:
        wanted: None (the default) leaves it to the first pass; False: never; True: always, on any device and
            in any precision, whatever the model.
    """

    def __init__(self) -> None:
        self.wanted: bool | None = None
        self._fits: bool | None = None
        self._changed = self._proven = False

    def place(self, model: nn.Module, inputs: Any) -> Any:
        """`inputs` with the images among them, `(N, C, H, W)`, in the format that serves `model`."""
        if self.wanted is None and self._fits is None:
            self._fits = _has_convolutions(model)
        on = self._fits if self.wanted is None else self.wanted
        return each_tensor(inputs, self._placed) if on else inputs

    def prove(self) -> None:
        """A pass went through: errors of later ones have other causes."""
        self._proven = True

    def give_up(self) -> bool:
        """A pass raised: whether it should be tried with inputs as they come, from now on."""
        if self._proven or self.wanted is not None or not self._changed:
            return False
        self._fits = False
        return True

    def _placed(self, tensor: Tensor) -> Tensor:
        if tensor.dim() != 4 or not tensor.is_floating_point():
            return tensor
        if not self.wanted and (tensor.device.type != "cpu" or tensor.dtype == torch.float64):
            return tensor
        placed = tensor.contiguous(memory_format=torch.channels_last)
        self._changed |= placed is not tensor
        return placed


def _has_convolutions(model: nn.Module) -> bool:
    # A compiled model has chosen its formats.
    compiled = any(
        m._compiled_call_impl is not None or hasattr(m, "_orig_mod") for m in model.modules()
    )
    return not compiled and any(isinstance(m, nn.Conv2d) for m in model.modules())
