"""How many threads of PyTorch a training uses on the CPU: one where a step is small."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdw.files.memory import usable_cores

if TYPE_CHECKING:
    from torch import nn

SMALL_LAYER = 50_000_000
"""One thread is used where the layers have fewer multiplications than this for a batch, on average.

With `gdw bench --suite threads`: on two free cores a second thread makes steps below this size at most
1.5 times as fast, and the smallest ones 4 times slower. Where another program uses a core it makes all of
them slower, because at each layer one thread waits for the other, which waits for a core.
"""

# The number of threads that `use_threads` has set: not a choice of the user.
_shares: list[int] = []


class Threads:
    """A context in which PyTorch uses as many threads as suit a model: one if its layers are small.

    The choice depends only on shapes, so that it is the same when a training is repeated. A number that the
    user has given is kept: in the variable OMP_NUM_THREADS or MKL_NUM_THREADS, or with
    `torch.set_num_threads` another one than PyTorch's own.

    Args:
        work: of a layer, from `layer_work`.
        processes: how many train together.
    """

    def __init__(self, work: float, processes: int) -> None:
        self._work, self._processes = work, processes
        self._before: int | None = None

    def __enter__(self) -> None:
        import torch

        number, is_small = torch.get_num_threads(), 0 < self._work < SMALL_LAYER
        if is_small and number > 1 and not _is_given(number, self._processes):
            self._before = number
            torch.set_num_threads(1)

    def __exit__(self, *error: object) -> None:
        import torch

        if self._before is not None:
            torch.set_num_threads(self._before)


def layer_work(model: nn.Module, batch_size: float, run: Callable[[], object]) -> float:
    """The multiplications of a forward pass over a batch, divided by the number of layers; 0 if not known.

    Args:
        model: the network. Layers with a weight matrix or kernel count.
        batch_size: the number of examples in a batch.
        run: runs `model` forward, with any number of examples.
    """
    import torch

    from gdw.hypergradient.precision import is_compiled

    work: dict[nn.Module, float] = {}

    def count(layer: nn.Module, inputs: Any, outputs: Any) -> None:
        del inputs
        weight: Any = layer.weight
        if getattr(outputs, "ndim", 0) > 1 and len(outputs):
            positions = outputs[0].numel() / weight.shape[0]
            work[layer] = max(weight.numel() * positions, work.get(layer, 0.0))

    handles = [layer.register_forward_hook(count) for layer in filter(_is_layer, model.modules())]
    try:
        # A compiled model would be compiled for the hooks, and again without them.
        with torch.compiler.set_stance("force_eager") if is_compiled(model) else nullcontext():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return batch_size * sum(work.values()) / max(1, len(work))


def divide_cores(jobs: int) -> int | None:
    """The number of threads for each of `jobs` processes at a time; None where it is left to PyTorch."""
    if jobs == 1 or _given_in_environment():
        return None
    return max(1, usable_cores() // jobs)


def use_threads(number: int) -> None:
    """Let PyTorch and scikit-learn use at most `number` threads, because other processes use the other cores.

    Threads that wait for a core wait long: a logistic regression of 8 s took minutes beside another one.
    """
    import sklearn  # noqa: F401 - libraries that are loaded later are not limited
    import torch
    from threadpoolctl import threadpool_limits

    _shares[:] = [number]
    threadpool_limits(number)
    torch.set_num_threads(number)


def _given_in_environment(processes: int = 1) -> bool:
    """Whether the user gave the number of threads; Fabric gives it too, an equal share to each process."""
    values = {os.environ.get("OMP_NUM_THREADS"), os.environ.get("MKL_NUM_THREADS")} - {None, ""}
    share = str(max(1, usable_cores() // processes))
    return bool(values - ({share} if processes > 1 else set()))


def _is_given(number: int, processes: int) -> bool:
    """Whether the user has given the number of threads."""
    if number in _shares or _given_in_environment(processes):
        return number not in _shares
    return processes == 1 and number not in _of_pytorch()


def _of_pytorch() -> set[int]:
    """The numbers of threads that PyTorch may choose itself: one for each processor, or for each core."""
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    topology = "/sys/devices/system/cpu/cpu{}/topology/thread_siblings_list"
    siblings = [Path(topology.format(processor)) for processor in usable]
    cores = {path.read_text() for path in siblings if path.is_file()}
    return {usable_cores(), os.cpu_count() or 1, len(cores)}


def _is_layer(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    # The weight of an embedding is looked up, not multiplied.
    return getattr(weight, "ndim", 0) > 1 and "Embedding" not in type(module).__name__
