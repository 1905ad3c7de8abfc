"""Which value of the inputs is NaN or infinite, when a loss or an output of the model is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gdw.errors import DataError, ModelError
from gdw.hypergradient.inputs import Batch

# How many numbers are checked at once.
_AT_ONCE = 2**22

_FIX = "fill it in, or leave the row out"


def first_not_finite(values: Any) -> int | None:
    """The first row of a tensor `(N, ...)` that holds NaN or infinity; None without one."""
    if not isinstance(values, Tensor) or not values.is_floating_point() or not values.numel():
        return None
    step = max(1, _AT_ONCE * len(values) // values.numel())
    for start in range(0, len(values), step):
        finite = values[start : start + step].isfinite()
        if not finite.all():
            rows = finite.reshape(len(finite), -1).all(1)
            return start + int((~rows).nonzero()[0])
    return None


def refuse_without_probabilities(
    logits: Tensor, inputs: Any, rows: Sequence[int], dataset: Any, name: str
) -> None:
    """See `gdw.train.evaluation.require_finite`."""
    odd = logits.detach().float().log_softmax(1).isnan().any(1).nonzero()
    if not len(odd):
        return
    k = int(odd[0])
    where = _place_of(dataset, rows[k], name)
    held = _value_in(inputs, k)
    if held is not None:
        raise DataError(
            f"{where} holds {held} in its inputs, and the model has no finite output for it: {_FIX}"
        )
    raise ModelError(
        f"{where}: the model's outputs are not finite, but the inputs are: the training has diverged (try a "
        "lower lr), or the inputs are too large"
    )


def cause_in_inputs(batch: Batch, indices: Sequence[int], parts: Sequence[tuple[str, Any]]) -> str:
    """Which example of a batch has inputs that are not finite, as the cause of a loss; "" without one.

    Args:
        batch: inputs and targets.
        indices: the positions of the examples in the `parts`, one after the other.
        parts: one or two data sets, by name.
    """
    for k, index in enumerate(indices):
        held = _value_in(batch[0], k)
        if held is not None:
            name, dataset = parts[0] if index < len(parts[0][1]) else parts[1]
            row = index if dataset is parts[0][1] else index - len(parts[0][1])
            return f"{_place_of(dataset, row, name)} holds {held} in its inputs: {_FIX}"
    return ""


def cause_in_batches(
    cause_of: Callable[..., str],
    batches: Iterator[tuple[list[int], Batch]],
    meta: Iterator[Batch] | None,
    epoch: int,
    numbers: range,
) -> str:
    """Which example of several batches has inputs that are not finite; "" without one.

    Args:
        cause_of: says it of one, `(indices, batch, meta_batch, epoch, number)`.
        batches, meta: the batches, loaded again.
        epoch, numbers: where they are in the training.
    """
    for number in numbers:
        meta_batch = None if meta is None else next(meta)
        cause = cause_of(*next(batches), meta_batch, epoch, number)
        if cause:
            return cause
    return ""


def _place_of(dataset: Any, row: int, name: str) -> str:
    """The data set and the row in it, also for a part of a data set."""
    origin = getattr(getattr(dataset, "inputs", None), "origin", None)
    if origin is not None:
        inner, row = origin(row)
        name = inner or name
    return f"{name}: row {row}"


def _value_in(inputs: Any, row: int) -> str | None:
    """The first value of an example that is not finite, and its position; None without one."""
    if isinstance(inputs, Tensor):
        return _first_value(inputs[row])
    named = inputs.items() if isinstance(inputs, Mapping) else enumerate(inputs)
    found = ((key, _value_in(value, row)) for key, value in named)
    return next((f"{value} of {key!r}" for key, value in found if value is not None), None)


def _first_value(values: Tensor) -> str | None:
    odd = (~torch.isfinite(values)).nonzero()
    if not len(odd):
        return None
    position = tuple(odd[0].tolist())
    value = str(values[position].item())
    if "inf" in value:
        # A number may be finite in the data set, but not in the model's dtype.
        value += f" (as {str(values.dtype).removeprefix('torch.')})"
    if not position:
        return value
    return f"{value} in column {position[0]}" if len(position) == 1 else f"{value} at {position}"
