"""Keeping the model still: parameters, buffers and random state in the passes a user does not see.

One training step runs the model two or three times, yet it must leave behind what a single forward
pass would have left: BatchNorm statistics moved once, parameters untouched (bit for bit, also when the
model raises). Random numbers are drawn for the training pass and then for the meta pass, once each.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


class Point:
    """Where the parameters stand, and a way to stand elsewhere for a while.

    Attributes:
        parameters: by name, each once.
        rates: the learning rate of each.
    """

    def __init__(self, trained: Mapping[str, tuple[nn.Parameter, float]]) -> None:
        self.parameters = {name: p for name, (p, _) in trained.items()}
        self.rates = [rate for _, rate in trained.values()]
        self._data = [p.data for p in self.parameters.values()]
        self._original: list[Tensor] | None = None

    @contextmanager
    def moved(self, directions: Sequence[Tensor], factor: float) -> Iterator[None]:
        """Inside, the parameters hold `θ + factor · rate · direction`; afterwards θ again, bit for bit.

        Works in place on the storage, so it needs no support from the module (compiled, sharded, hooked,
        tied). It goes through `.data` because the training graph still holds these parameters: autograd
        must not take the change for a mistake, and it is undone before that graph is used again.

        Args:
            directions: one tensor a parameter, of its shape, dtype and device; left as they are.
            factor: common to all.
        """
        if self._original is None:
            # Kept, since a step moves twice from the same place: a pass over all parameters is not free.
            self._original = [d.clone() for d in self._data]
        try:
            for rate in set(self.rates):
                chosen = [k for k, own in enumerate(self.rates) if own == rate]
                torch._foreach_add_(
                    [self._data[k] for k in chosen],
                    [directions[k] for k in chosen],
                    alpha=factor * rate,
                )
            # autocast keeps low-precision copies of the parameters: they would hide the move.
            torch.clear_autocast_cache()
            yield
        finally:
            torch._foreach_copy_(self._data, self._original)
            torch.clear_autocast_cache()

    def lengths(self, directions: Sequence[Tensor]) -> tuple[float, float]:
        """`‖rate · direction‖` over all parameters, and `‖θ‖`; fetched from the device in one go."""
        rated = [n * r for n, r in zip(_norms(directions), self.rates, strict=True)]
        total = torch.stack([_root(rated), _root(_norms(self._data))])
        length, size = total.tolist()
        return length, size


def _norms(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The norm of each, on one device, in float32 or wider."""
    found = torch._foreach_norm(list(tensors))
    wide = torch.float32
    for norm in found:
        wide = torch.promote_types(wide, norm.dtype)
    return [norm.to(found[0].device, wide) for norm in found]


def _root(norms: Sequence[Tensor]) -> Tensor:
    total: Tensor = torch.linalg.vector_norm(torch.stack(list(norms)))
    return total


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


@contextmanager
def without_inference_path() -> Iterator[None]:
    """Inside, PyTorch's encoder layers compute as in training, though no gradient is asked for.

    In eval mode and without gradients they would take a fused path that gives padded positions other
    values and has no forward-mode derivative: no difference could be taken with it.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


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
