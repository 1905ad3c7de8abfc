"""Peak memory of a piece of code: the most bytes of tensors that are alive at once."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class _MemoryCounter(TorchDispatchMode):
    """Counts the bytes of each storage that an operation makes, until the storage is freed."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.current = self.peak = 0
        self._alive: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        inputs = {0} | {_storage(t) for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)}
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor) and _storage(tensor) not in inputs | self._alive:
                self._count(tensor.untyped_storage())
        return out

    def _count(self, storage: torch.UntypedStorage) -> None:
        address, size = storage.data_ptr(), storage.nbytes()
        if not size:
            return
        self._alive.add(address)
        self.current += size
        self.peak = max(self.peak, self.current)
        weakref.finalize(storage, self._freed, address, size)

    def _freed(self, address: int, size: int) -> None:
        self._alive.discard(address)
        self.current -= size


def _storage(tensor: Tensor) -> int:
    """The address of a tensor's memory; 0 if it has none of its own (dual numbers)."""
    try:
        return tensor.untyped_storage().data_ptr()
    except RuntimeError:
        return 0


def peak_bytes(act: Callable[[], object]) -> int:
    """The most bytes of new tensors that are alive at once while `act` runs.

    The results of operations count, also those that are kept for a backward pass. Memory that an operation
    uses only inside itself does not count.
    """
    with _MemoryCounter() as counter:
        act()
    peak: int = counter.peak
    return peak
