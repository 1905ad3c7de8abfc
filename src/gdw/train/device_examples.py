"""Examples that lie on the accelerator: batches are gathered and augmented there, many at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gdw.data.augment import AUGMENTATIONS, Augmentation, draws_of
from gdw.data.examples import Examples
from gdw.errors import warn_user
from gdw.files.memory import free_memory, in_units
from gdw.hypergradient.inputs import Batch, moved
from gdw.train.evaluation import check_classes, require_finite

# The part of the free memory that a data set may take: the model and the batches need the rest.
_SHARE = 1 / 3

# In bytes: how much is copied, or gathered, at a time.
_AT_ONCE = 2**26
_MOST_BATCHES = 256


class TooLargeForDeviceWarning(UserWarning):
    """A data set does not fit on the accelerator, so that each batch is copied."""


class DeviceExamples(Examples):
    """Examples on a device, whole, in the dtype of the model. Their order is that of `host`.

    Attributes:
        host: the examples that they are copied from.
        dtype: of the model.
    """

    inputs: Tensor

    def __init__(
        self, host: Examples, inputs: Tensor, targets: Tensor, *, dtype: torch.dtype
    ) -> None:
        super().__init__(inputs, targets)
        self.host = host
        self.dtype = dtype

    def outputs(
        self, run: Callable[[Any], Tensor], rows: range, batch_size: int, name: str
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Logits and targets of `rows`, batch by batch.

        The host reads nothing from the device until the end; only then it is checked that all are finite.

        Args:
            run: inputs -> logits, without gradients.
            rows: at least one.
            batch_size: examples per batch.
            name: of the data set, for error messages.

        Raises:
            DataError, ModelError: as `gdw.train.evaluation.evaluate`.
        """
        parts = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
        finite: list[Tensor] = []
        for part in parts:
            chosen = slice(part[0], part[-1] + 1, part.step)
            logits = run(self.inputs[chosen])
            if not finite:
                check_classes(logits, self.host.targets, name)
            finite.append(logits.isfinite().all())
            yield logits, self.targets[chosen]
        for part, is_finite in zip(parts, torch.stack(finite).tolist(), strict=True):
            if not is_finite:
                inputs = self.inputs[part[0] : part[-1] + 1 : part.step]
                require_finite(run(inputs), inputs, part, self.host, name)


def on_device(
    dataset: Any, *, device: torch.device, dtype: torch.dtype, name: str
) -> DeviceExamples | None:
    """A copy of `dataset` on `device`; None for data that are not rows of one tensor, or that do not fit.

    Images stay bytes. Floating-point numbers get the model's `dtype`. Data that do not fit are named in a
    `TooLargeForDeviceWarning`.

    Args:
        dataset: what `gdw.train.feed.as_dataset` returned.
        device: of the model.
        dtype: of the model.
        name: of the data set, for the warning.
    """
    if not isinstance(dataset, Examples) or isinstance(dataset, DeviceExamples):
        return None
    inputs: Any = dataset.inputs
    if getattr(inputs, "on_demand", False) or getattr(inputs, "ragged", False):
        return None
    first = inputs[np.zeros(1, dtype=np.int64)]
    if not isinstance(first, Tensor):
        return None
    kind = _kind(first, dtype)
    size = len(dataset) * first[0].numel() * kind.itemsize
    free = free_bytes(device)
    if size > free * _SHARE:
        warn_user(
            f"{name}: {in_units(size)} of data do not fit beside the model into the {in_units(free)} free on "
            "the device: each batch is copied there, which takes longer",
            TooLargeForDeviceWarning,
        )
        return None
    targets = dataset.targets
    return DeviceExamples(
        dataset,
        _copied(inputs, first, kind, device),
        targets.to(device, dtype if targets.is_floating_point() else torch.int64),
        dtype=dtype,
    )


def free_bytes(device: torch.device) -> int:
    """The free memory of `device` in bytes."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return free_memory()


def _kind(values: Tensor, dtype: torch.dtype) -> torch.dtype:
    return dtype if values.is_floating_point() else values.dtype


def _copied(inputs: Any, first: Tensor, kind: torch.dtype, device: torch.device) -> Tensor:
    if isinstance(inputs, Tensor):
        return inputs.to(device, kind)
    out = torch.empty((len(inputs), *first.shape[1:]), dtype=kind, device=device)
    rows = max(1, _AT_ONCE // max(1, first[0].numel() * kind.itemsize))
    for start in range(0, len(inputs), rows):
        part = np.arange(start, min(start + rows, len(inputs)))
        out[start : start + len(part)] = inputs[part].to(device, kind)
    return out


class DeviceBatches:
    """Makes the batches of `examples` on their device, with the numbers that batches made on the CPU have.

    The random numbers of the augmentation are drawn on the CPU, as a function of the position of each batch.
    Order and numbers of many batches go to the device in one copy that nothing waits for.

    Args:
        examples: on a device.
        augment: a name in `gdw.data.augment.AUGMENTATIONS`, or "none".
        seed: of the training.
        rank: of this process.
    """

    def __init__(self, examples: DeviceExamples, *, augment: str, seed: int, rank: int) -> None:
        self._inputs = examples.inputs
        self._targets, self._dtype = examples.targets, examples.dtype
        self._augmentation: Augmentation | None = AUGMENTATIONS.get(augment)
        self._seed, self._rank = seed, rank

    def batches(
        self,
        order: Iterable[list[int]],
        stream: str,
        first: int,
        targets: Tensor | None = None,
    ) -> Iterator[tuple[list[int], Batch]]:
        """The batches of `order`, each with its indices.

        Args:
            order: the indices of each batch; it may have no end.
            stream: "train" or "meta".
            first: the number of the first batch in its stream.
            targets: in place of those of the examples: `(N, C)` on any device.
        """
        labels = self._targets
        if targets is not None:
            labels = targets.to(labels.device, self._dtype)
        remaining, number = iter(order), first
        while block := list(islice(remaining, 1)):
            block += islice(remaining, self._batches_at_once(len(block[0])) - 1)
            yield from zip(block, self._gathered(block, stream, number, labels), strict=True)
            number += len(block)

    def _batches_at_once(self, batch: int) -> int:
        row: Tensor = self._inputs[0]
        size: int = row.numel() * row.element_size()
        if self._augmentation is not None:
            # Also the augmented images, and the place that each pixel comes from.
            size = 2 * size + 4 * 8 * row[0].numel()
        return max(1, min(_MOST_BATCHES, _AT_ONCE // max(1, batch * size)))

    def _gathered(
        self, block: Sequence[list[int]], stream: str, first: int, labels: Tensor
    ) -> Iterator[Batch]:
        sizes = [len(indices) for indices in block]
        numbers = torch.as_tensor(np.concatenate([np.asarray(i, np.int64) for i in block]))[None]
        if self._augmentation is not None:
            numbers = torch.cat([numbers, self._draws(sizes, stream, first)])
        numbers = moved(numbers, self._inputs.device)
        inputs = self._inputs.index_select(0, numbers[0])
        if self._augmentation is not None:
            inputs = self._augmentation.apply(inputs, numbers[1:])
        targets = labels.index_select(0, numbers[0])
        return zip(_parts(inputs, sizes), _parts(targets, sizes), strict=True)

    def _draws(self, sizes: Sequence[int], stream: str, first: int) -> Tensor:
        """The numbers that `gdw.train.feed.augment` draws for each batch, side by side."""
        assert self._augmentation is not None
        height, width = self._inputs.shape[2:]
        draws = []
        for position, size in enumerate(sizes, start=first):
            numbers = draws_of(self._seed, stream, position, self._rank)
            draws.append(self._augmentation.draw(size, height, width, numbers))
        return torch.cat(draws, dim=1)


def _parts(values: Tensor, sizes: list[int]) -> Iterator[Tensor]:
    """`values` in parts of so many rows."""
    for part in values.split(sizes):
        # For a view, kernels may be chosen by the address where it begins, and round in another way.
        yield part.clone() if part.is_floating_point() else part
