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
        wanted: True or False decides; None (the default) leaves it to the first pass.
    """

    def __init__(self) -> None:
        self.wanted: bool | None = None
        self._fits: bool | None = None
        self._proven = False

    def place(self, model: nn.Module, inputs: Any) -> Any:
        """`inputs` with the images among them, `(N, C, H, W)`, in the format that serves `model`."""
        if self.wanted is False:
            return inputs
        if self._fits is None:
            self._fits = self.wanted or _has_convolutions(model)
        return each_tensor(inputs, _channels_last) if self._fits else inputs

    def prove(self) -> None:
        """A pass went through: errors of later ones have other causes."""
        self._proven = True

    def give_up(self) -> bool:
        """A pass raised: whether it should be tried with inputs as they come, from now on."""
        if self._proven or self.wanted is not None or not self._fits:
            return False
        self._fits = False
        return True


def _has_convolutions(model: nn.Module) -> bool:
    # A compiled model has chosen its formats.
    compiled = any(m._compiled_call_impl is not None for m in model.modules())
    return not compiled and any(isinstance(m, nn.Conv2d) for m in model.modules())


def _channels_last(tensor: Tensor) -> Tensor:
    fast = tensor.dtype in (torch.float32, torch.bfloat16, torch.float16)
    if tensor.dim() != 4 or not fast or tensor.device.type != "cpu":
        return tensor
    return tensor.contiguous(memory_format=torch.channels_last)
