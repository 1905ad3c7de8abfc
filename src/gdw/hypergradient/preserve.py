"""Preserve parameters, buffers and random state in the passes that a user does not see.

One training step runs the model two or three times. Afterwards the model must be as one forward pass leaves
it: BatchNorm statistics moved once, and parameters unchanged bit for bit, also if the model raises. Random
numbers are drawn once for the training pass and once for the meta pass.
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

INNER = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
"""The attributes in which `torch.compile`, sharding, activation checkpoints and Fabric keep a module."""


class MovableParameters:
    """Parameters that can be moved for a while and come back bit for bit.

    Attributes:
        parameters: name to parameter; a tied parameter occurs once.
        rates: the learning rate of each parameter.
    """

    def __init__(self, trained: Mapping[str, tuple[nn.Parameter, float]]) -> None:
        self.parameters = {name: p for name, (p, _) in trained.items()}
        self.rates = [rate for _, rate in trained.values()]
        self._data = [p.data for p in self.parameters.values()]
        self._original: list[Tensor] | None = None

    @contextmanager
    def moved(self, directions: Sequence[Tensor], factor: float) -> Iterator[None]:
        """Inside, the parameters hold `θ + factor · rate · direction`; afterwards θ again, bit for bit.

        The change is made in place in the storage, so it needs no support from the module (compiled,
        sharded, hooked, tied). It goes through `.data`: the training graph still holds these parameters,
        autograd must not report the change as an error, and it is undone before the graph is used again.

        Args:
            directions: one tensor per parameter, of its shape, dtype and device; not changed.
            factor: common to all parameters.
        """
        if self._original is None:
            # Kept, since a step moves twice from the same point and a copy of all parameters takes time.
            self._original = [d.clone() for d in self._data]
        try:
            for rate in set(self.rates):
                chosen = [k for k, r in enumerate(self.rates) if r == rate]
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

    def norms(self, directions: Sequence[Tensor]) -> tuple[float, float]:
        """Return `‖rate · direction‖` and `‖θ‖` over all parameters, with one transfer from the device."""
        rated = [n * r for n, r in zip(_norms(directions), self.rates, strict=True)]
        total = torch.stack([_total_norm(rated), _total_norm(_norms(self._data))])
        direction, parameters = total.tolist()
        return direction, parameters


def _norms(tensors: Sequence[Tensor]) -> list[Tensor]:
    """The norm of each tensor, on one device, in float32 or wider."""
    norms = torch._foreach_norm(list(tensors))
    wide = torch.float32
    for norm in norms:
        wide = torch.promote_types(wide, norm.dtype)
    return [norm.to(norms[0].device, wide) for norm in norms]


def _total_norm(norms: Sequence[Tensor]) -> Tensor:
    total: Tensor = torch.linalg.vector_norm(torch.stack(list(norms)))
    return total


class Buffers:
    """A copy of every buffer of a model: its content, and which tensor it is.

    Not only BatchNorm's: other layers (spectral norm, moving averages, codebooks) also write to buffers in
    their forward pass.
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
        """Set the buffers back to the copy."""
        for module, name, buffer in self._places:
            module._buffers[name] = buffer
        if self._places:
            # Through .data, since the training graph may hold these buffers for its backward pass.
            torch._foreach_copy_([buffer.data for _, _, buffer in self._places], self._contents)


@contextmanager
def preserved_buffers(model: nn.Module) -> Iterator[None]:
    """Undo on exit every change of the model's buffers."""
    copy = Buffers(model)
    try:
        yield
    finally:
        copy.restore()


@contextmanager
def without_inference_path() -> Iterator[None]:
    """Inside, PyTorch's encoder layers compute as in training, also without gradients.

    In eval mode and without gradients they would use a fused path. It gives padded positions other values
    and has no forward-mode derivative, so a difference with the training pass would be wrong.
    """
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def generator_states(devices: Sequence[torch.device]) -> list[Tensor]:
    """The states of PyTorch's random generators: of the CPU and of those of `devices` that have their own."""
    own = [device for device in devices if device.type not in ("cpu", "meta")]
    return [
        torch.get_rng_state(),
        *(torch.get_device_module(device).get_rng_state(device) for device in own),
    ]


def equal(states: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """Whether two lists of states are the same."""
    return all(torch.equal(a, b) for a, b in zip(states, others, strict=True))


@dataclass(frozen=True)
class RandomState:
    """The state of every random generator that a layer may draw from."""

    python: Any
    numpy: Any
    cpu: Tensor
    devices: tuple[tuple[torch.device, Tensor], ...]

    @classmethod
    def capture(cls, devices: Sequence[torch.device] = ()) -> RandomState:
        """Return the current state of Python, of NumPy (if imported), of PyTorch's CPU and of `devices`."""
        numpy = sys.modules.get("numpy")
        own = [device for device in devices if device.type not in ("cpu", "meta")]
        cpu, *states = generator_states(own)
        return cls(
            python=random.getstate(),
            numpy=numpy.random.get_state() if numpy else None,
            cpu=cpu,
            devices=tuple(zip(own, states, strict=True)),
        )

    def changed(self) -> list[Tensor] | None:
        """The states of PyTorch's generators now, as of `generator_states`; None if they are these."""
        now = generator_states([device for device, _ in self.devices])
        return None if equal(now, self.generators()) else now

    def generators(self) -> list[Tensor]:
        """This state of PyTorch's generators, as of `generator_states`."""
        return [self.cpu, *(state for _, state in self.devices)]

    def restore(self) -> None:
        """Set every generator to this state."""
        random.setstate(self.python)
        if self.numpy is not None:
            sys.modules["numpy"].random.set_state(self.numpy)
        torch.set_rng_state(self.cpu)
        for device, state in self.devices:
            torch.get_device_module(device).set_rng_state(state, device)

    @contextmanager
    def replayed(self) -> Iterator[None]:
        """Inside, random numbers repeat from this state; afterwards they continue as before."""
        now = RandomState.capture([device for device, _ in self.devices])
        self.restore()
        try:
            yield
        finally:
            now.restore()


def with_own_names(model: nn.Module) -> Any:
    """`model`, or what names its tensors as the model does if it is compiled or in another module."""
    names = (*INNER, "module")
    if not any(part in names for name in model.state_dict() for part in name.split(".")):
        return model
    from gdw.hypergradient.own_names import OwnNames

    return OwnNames(model)
