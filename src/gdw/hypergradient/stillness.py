"""Keeping the model still: parameters, buffers and random state in the passes a user does not see.

One training step runs the model two or three times, yet it must leave behind what a single forward
pass would have left: BatchNorm statistics moved once, parameters untouched (bit for bit, also when the
model raises). Random numbers are drawn for the training pass and then for the meta pass, once each.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def moved(parameters: Sequence[nn.Parameter], steps: Sequence[Tensor]) -> Iterator[None]:
    """Inside, the parameters hold `θ + steps`; afterwards θ again, bit for bit.

    Works in place on the storage, so it needs no support from the module (compiled, sharded, hooked,
    tied). It goes through `.data` because the training graph still holds these parameters: autograd
    must not take the change for a mistake, and it is undone before that graph is used again.

    Args:
        parameters: each once.
        steps: one tensor a parameter, of its shape, dtype and device.
    """
    data = [p.data for p in parameters]
    original = [d.clone() for d in data]
    try:
        torch._foreach_add_(data, list(steps))
        # autocast keeps low-precision copies of the parameters: they would hide the move.
        torch.clear_autocast_cache()
        yield
    finally:
        torch._foreach_copy_(data, original)
        torch.clear_autocast_cache()


class Buffers:
    """Every buffer of a model at one moment: its content, and which tensor it is.

    All buffers, not only BatchNorm's, since other layers (spectral norm, moving averages, codebooks)
    also write in their forward pass.
    """

    def __init__(self, model: nn.Module) -> None:
        self._places = [
            (module, name, buffer)
            for module in model.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]
        self._contents = [buffer.data.clone() for _, _, buffer in self._places]

    def restore(self) -> None:
        """Put the buffers back as they were at that moment."""
        for module, name, buffer in self._places:
            module._buffers[name] = buffer
        if self._places:
            # Through .data, since the training graph may hold these buffers for its backward pass.
            torch._foreach_copy_([buffer.data for _, _, buffer in self._places], self._contents)


@contextmanager
def still_buffers(model: nn.Module) -> Iterator[None]:
    """Whatever happens inside to the model's buffers is undone."""
    kept = Buffers(model)
    try:
        yield
    finally:
        kept.restore()


@dataclass(frozen=True)
class RandomState:
    """The state of every random generator that a layer may draw from, at one moment."""

    python: Any
    numpy: Any
    cpu: Tensor
    devices: tuple[tuple[torch.device, Tensor], ...]

    @classmethod
    def capture(cls, devices: Sequence[torch.device] = ()) -> RandomState:
        """The state now: Python's, NumPy's (if it is imported), PyTorch's CPU and the given devices'."""
        numpy = sys.modules.get("numpy")
        return cls(
            python=random.getstate(),
            numpy=numpy.random.get_state() if numpy else None,
            cpu=torch.get_rng_state(),
            devices=tuple(
                (device, torch.get_device_module(device).get_rng_state(device))
                for device in devices
                if device.type not in ("cpu", "meta")
            ),
        )

    def restore(self) -> None:
        """Set every generator back to this state."""
        random.setstate(self.python)
        if self.numpy is not None:
            sys.modules["numpy"].random.set_state(self.numpy)
        torch.set_rng_state(self.cpu)
        for device, state in self.devices:
            torch.get_device_module(device).set_rng_state(state, device)

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """Inside, random numbers repeat from this state; afterwards they go on as if nothing happened."""
        now = RandomState.capture([device for device, _ in self.devices])
        self.restore()
        try:
            yield
        finally:
            now.restore()
