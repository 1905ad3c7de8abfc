"""The process-wide random state: saved with a checkpoint, and handed back untouched after training."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from gdw.hypergradient.preserve import RandomState


def capture(device: torch.device) -> dict[str, Any]:
    """Python's, NumPy's, PyTorch's CPU and `device`'s generator states, for a checkpoint.

    Tensors and plain values only, which `torch.load(weights_only=True)` accepts.
    """
    state = RandomState.capture([device])
    name, keys, *rest = state.numpy
    return {
        "python": state.python,
        "numpy": (name, torch.from_numpy(keys.astype(np.int64)), *rest),
        "torch": state.cpu,
        "device": [own for _, own in state.devices],
    }


def restore(packed: dict[str, Any], device: torch.device) -> None:
    """Set the generators to what `capture` returned, on the same kind of device or another."""
    name, keys, *rest = packed["numpy"]
    RandomState(
        python=packed["python"],
        numpy=(name, keys.numpy().astype(np.uint32), *rest),
        cpu=packed["torch"],
        devices=tuple((device, own) for own in packed["device"] if device.type != "cpu"),
    ).restore()


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Inside, every process-wide generator starts from `seed`; afterwards all are as before."""
    before = RandomState.capture([device])
    try:
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - a user's transforms may draw from it
        torch.manual_seed(seed)
        yield
    finally:
        before.restore()
