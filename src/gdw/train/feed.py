"""From a data set to batches: which examples, in which order, on which process, on which device."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeAlias, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from gdw.data.examples import Examples, identity
from gdw.errors import DataError
from gdw.seeding import generator
from gdw.train.arrays import as_numbers

Data: TypeAlias = "Dataset[Any] | tuple[Any, Any]"
Batch: TypeAlias = "tuple[Any, Tensor]"

# Batches decoded before they are asked for: one is in the making while the other waits.
AHEAD = 2


def as_dataset(data: Data, name: str) -> Dataset[Any]:
    """`data` as a map-style data set: itself, or `Examples` of a pair `(X, y)` of arrays or tensors.

    `X` is `(N, ...)`, `y` is `(N,)` of class indices or `(N, C)` of class probabilities; data frames and
    series of numbers will do. NumPy's float64 features stay float64 here and meet the model's dtype at
    `place`. `DataError` if there is nothing to read, the lengths differ, or values are no numbers; `name`
    ("train", "meta", "test") is for its message.
    """
    if not isinstance(data, (tuple, list)):
        bare = isinstance(data, (Tensor, np.ndarray)) or hasattr(data, "iloc")
        if bare or not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
            raise DataError(
                f"{name}: expected a map-style data set (with __len__ and __getitem__) or a pair (X, y), "
                f"found {type(data).__name__}"
            )
        dataset: Dataset[Any] = data
    else:
        if len(data) != 2:
            raise DataError(f"{name}: expected a pair (X, y), found {len(data)} values")
        inputs = as_numbers(
            data[0],
            f"{name}: X",
            "encode its columns as numbers, or use gdw.data.load and an encoder",
        )
        targets = as_numbers(
            data[1], f"{name}: y", "encode the classes as 0 to C-1, alike in train, meta and test"
        )
        if len(inputs) != len(targets):
            raise DataError(
                f"{name}: X has {len(inputs)} rows, y has {len(targets)}: expected as many"
            )
        dataset = Examples(inputs, targets if targets.is_floating_point() else targets.long())
    if not len(cast(Any, dataset)):
        raise DataError(f"{name}: expected at least one example, found none")
    return dataset


def batches(
    dataset: Dataset[Any], sampler: Iterable[list[int]], *, workers: int = 0, seed: int = 0
) -> Iterator[Batch]:
    """The batches `(inputs, targets)` that `sampler` names by their indices, on the CPU.

    `seed` is for the loader's own generator, from which the seeds of its `workers` come; it would otherwise
    draw from PyTorch's global one. Equal seeds give a data set with random transforms equal draws.

    `Examples` whose inputs are decoded on demand are read up to `AHEAD` batches before their use, by the
    `workers` or, with none, by a thread, so that the model need not wait.
    """
    whole = isinstance(dataset, Examples)
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_sampler=cast(Any, sampler),
        collate_fn=identity if whole else _collate,
        num_workers=workers,
        worker_init_fn=_leave_signals_to_parent,
        generator=torch.Generator().manual_seed(seed),
    )
    # other data sets may draw random numbers, whose order a thread would leave to chance
    slow = whole and getattr(cast(Examples, dataset).inputs, "on_demand", False)
    return _ahead(iter(loader)) if slow and not workers else iter(loader)


def place(batch: Batch, *, device: torch.device, dtype: torch.dtype) -> Batch:
    """`batch` on `device`, floating-point tensors in the model's `dtype`; images stay uint8."""

    def move(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(
                device, dtype if value.is_floating_point() else value.dtype, non_blocking=True
            )
        if isinstance(value, Mapping):
            return {key: move(item) for key, item in value.items()}
        if isinstance(value, (tuple, list)):
            return tuple(move(item) for item in value)
        return value

    inputs, targets = batch
    return move(inputs), move(targets if targets.is_floating_point() else targets.long())


def augment(batch: Batch, kind: str, *, seed: int, stream: str, position: int, rank: int) -> Batch:
    """The images of `batch`, uint8 `(B, C, H, W)`, changed at random as `kind` says.

    `kind` is a name in `gdw.data.augment.AUGMENTATIONS`. The draw is a function of the arguments,
    `position` being the batch's number in its `stream` ("train" or "meta"), so that a resumed run sees
    what a straight one would have seen.
    """
    from gdw.data.augment import AUGMENTATIONS

    images, targets = batch
    own = torch.Generator().manual_seed(
        int(generator(seed, "augment", stream, position, rank).integers(2**63))
    )
    return AUGMENTATIONS[kind](images, own), targets


def _ahead(loader: Iterator[Batch]) -> Iterator[Batch]:
    """What `loader` gives, drawn from it by a thread that is up to `AHEAD` batches in front."""
    pending: deque[Future[Batch | None]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="gdw-loader") as pool:
        try:
            pending.extend(pool.submit(next, loader, None) for _ in range(AHEAD))
            while (batch := pending.popleft().result()) is not None:
                pending.append(pool.submit(next, loader, None))
                yield batch
        finally:
            # left early: what is not begun is not needed
            pool.shutdown(wait=False, cancel_futures=True)


def _leave_signals_to_parent(_worker: int) -> None:
    """Ctrl-C reaches every process of a terminal; workers must live while the loop ends its step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _collate(examples: list[Any]) -> Batch:
    inputs, targets = default_collate(examples)
    return inputs, targets
