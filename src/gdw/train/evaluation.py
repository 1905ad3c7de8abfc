"""Measuring a model on a data set, each process on its share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from contextlib import contextmanager
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gdw.errors import ModelError
from gdw.hypergradient.inputs import Forward, default_forward
from gdw.train.feed import Data, as_dataset, batches, place
from gdw.train.metrics import ClassificationMetrics


def evaluate(
    model: nn.Module, data: Data, *, batch_size: int = 512, forward: Forward | None = None
) -> dict[str, Any]:
    """`accuracy`, `balanced_accuracy`, `nll`, `ece` and the `recall` of each class of `model` on `data`.

    `data` is a map-style data set of `(inputs, target)` or a pair `(X, y)`; see
    `ClassificationMetrics` for the figures. The model is used in evaluation mode where it is (its
    device, its dtype) and left in the modes it was in. When `torch.distributed` is initialised
    every process must call this, measures its own share, and gets the figures of the whole.
    `ModelError` for targets without a logit.
    """
    dataset = as_dataset(data, "data")
    rank, size = _rank_and_size()
    own = range(rank, len(cast(Sized, dataset)), size)
    # A process without a share still runs the model on one example: that tells it the number of classes.
    shown = own or range(1)
    device, dtype = whereabouts(model)
    metrics: ClassificationMetrics | None = None
    with evaluation_mode(model), torch.no_grad():
        for batch in batches(dataset, _slices(shown, batch_size)):
            inputs, targets = place(batch, device=device, dtype=dtype)
            logits = (forward or default_forward)(model, inputs)
            check_classes(logits, targets, "data")
            metrics = metrics or _metrics(logits)
            metrics.update(logits[: len(own)], targets[: len(own)])
    assert metrics is not None, "as_dataset refuses empty data"
    figures: dict[str, Any] = metrics.compute()
    return figures


def predict_probabilities(
    model: nn.Module, data: Data, *, batch_size: int = 512, forward: Forward | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """Class probabilities of `data`, one batch at a time, in order.

    Args:
        model: used in evaluation mode, on its own device and in its own dtype.
        data: a map-style data set of `(inputs, target)` or a pair `(X, y)`; the targets are not used.
        batch_size: examples per batch.
        forward: `(model, inputs) -> logits`, if `model(inputs)` is not enough.

    Yields:
        The positions of a batch in `data`, as a slice, and its probabilities: `(B, C)` float32 on the CPU.
    """
    dataset = as_dataset(data, "data")
    device, dtype = whereabouts(model)
    parts = list(_slices(range(len(cast(Sized, dataset))), batch_size))
    with evaluation_mode(model), torch.no_grad():
        for rows, batch in zip(parts, batches(dataset, parts), strict=True):
            inputs, _ = place(batch, device=device, dtype=dtype)
            logits = (forward or default_forward)(model, inputs)
            yield slice(rows[0], rows[-1] + 1), logits.float().softmax(1).cpu()


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Inside, `model` is in evaluation mode; afterwards each of its modules is in the mode it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def whereabouts(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Device and floating-point type of the model's first floating-point parameter or buffer."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.float32


def check_classes(logits: Tensor, targets: Tensor, name: str) -> None:
    """`ModelError` unless logits are `(N, C)` and targets classes below C or `(N, C)` probabilities."""
    if logits.dim() != 2:
        raise ModelError(
            f"expected logits of shape (N, C) from the model, found {tuple(logits.shape)}"
        )
    classes = logits.shape[1]
    if targets.is_floating_point():
        if targets.dim() != 2 or targets.shape[1] != classes:
            raise ModelError(
                f"{name}: floating-point targets are class probabilities of shape (N, {classes}), "
                f"found {tuple(targets.shape)}; class indices must be integers"
            )
        return
    low, high = int(targets.min()), int(targets.max())
    if low < 0 or high >= classes:
        wrong = low if low < 0 else high
        raise ModelError(
            f"{name}: found class {wrong}, but the model has {classes} logits (classes 0 to "
            f"{classes - 1}): give the model one output for each class"
        )


def _metrics(logits: Tensor) -> ClassificationMetrics:
    # Apple's devices have no float64.
    dtype = torch.float32 if logits.device.type == "mps" else torch.float64
    return ClassificationMetrics(logits.shape[1], dtype=dtype).to(logits.device)


def _rank_and_size() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _slices(indices: Sequence[int], size: int) -> Iterator[list[int]]:
    for start in range(0, len(indices), size):
        yield list(indices[start : start + size])
