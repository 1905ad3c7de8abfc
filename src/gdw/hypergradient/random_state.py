"""Repeat random numbers: they are drawn once for the training pass and once for the meta pass of a step."""

from __future__ import annotations

import pickle
import random
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


def generator_states(devices: Sequence[torch.device]) -> list[Tensor]:
    """The states of PyTorch's random generators: of the CPU and of those of `devices` that have their own.

    No device is waited for: also the state of a GPU's generator is kept on the host.
    """
    return [
        torch.get_rng_state(),
        *(torch.get_device_module(d).get_rng_state(d) for d in with_generator(devices)),
    ]


def with_generator(devices: Sequence[torch.device]) -> list[torch.device]:
    """Those of `devices` that have a random generator of their own, in use by now."""
    return [d for d in devices if d.type not in ("cpu", "meta") and _in_use(d)]


def _in_use(device: torch.device) -> bool:
    # PyTorch makes the generators of CUDA when it is first used; a captured step must not touch them.
    if device.type != "cuda":
        return True
    return torch.cuda.is_initialized() and not torch.cuda.is_current_stream_capturing()


def equal(states: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """Whether two lists of states are the same."""
    return [s.numpy().tobytes() for s in states] == [s.numpy().tobytes() for s in others]


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
        own = with_generator(devices)
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

    def is_current(self) -> bool:
        """Whether no generator has drawn a number since."""
        return self.changed() is None and not self.others_changed()

    def others_changed(self) -> bool:
        """Whether Python's generator or that of NumPy has drawn a number since."""
        if random.getstate() != self.python:
            return True
        numpy = sys.modules.get("numpy")
        state = numpy.random.get_state() if numpy else None
        return pickle.dumps(state) != pickle.dumps(self.numpy)

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
