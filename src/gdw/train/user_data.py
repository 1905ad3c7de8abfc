"""Pairs `(X, y)` of arrays as `Examples`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdw.data.examples import Examples
from gdw.errors import DataError
from gdw.train.dataset_items import checked_targets
from gdw.train.not_finite import first_not_finite


def as_examples(pair: Sequence[Any], name: str) -> Examples:
    """`Examples` of a pair `(X, y)`, see `gdw.train.feed.as_dataset`; `name` is for error messages."""
    if len(pair) != 2:
        raise DataError(f"{name}: expected a pair (X, y), found {len(pair)} values")
    inputs = as_numbers(
        pair[0],
        f"{name}: X",
        "encode its columns as numbers, or use gdw.data.load and an encoder",
    )
    targets = as_numbers(
        pair[1], f"{name}: y", "encode the classes as 0 to C-1, alike in train, meta and test"
    )
    if len(inputs) != len(targets):
        raise DataError(
            f"{name}: X has {len(inputs)} rows, y has {len(targets)}: the numbers must be equal"
        )
    try:
        targets = checked_targets(targets, range(len(targets)))
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    return ArrayExamples(inputs, targets if targets.is_floating_point() else targets.long())


def as_numbers(values: Any, name: str, fix: str) -> Tensor:
    """`values` `(N, ...)` as a tensor of their dtype; a tensor is returned unchanged.

    Args:
        values: an array, list, data frame, series or tensor.
        name: what the values are, for error messages.
        fix: advice for error messages.

    Raises:
        DataError: values are text, dates or missing, or rows have different lengths.
    """
    if isinstance(values, Tensor):
        return values
    if isinstance(values, Sequence) and len(values) and isinstance(values[0], Tensor):
        # A list of tensors, or a column of a Hugging Face data set in the format "torch".
        return _stacked_tensors(list(values), name)
    array = _as_array(values, name)
    if array.dtype.kind not in "biuf":
        wrong = next((repr(v) for v in array.ravel().tolist() if not _is_number(v)), array.dtype)
        raise DataError(f"{name} should hold numbers, found {wrong}: {fix}")
    # PyTorch shares the memory, but neither negative strides nor read-only memory.
    return torch.as_tensor(np.require(array, requirements=["C", "W"]))


def _as_array(values: Any, name: str) -> NDArray[Any]:
    try:
        if isinstance(values, Sequence) and not isinstance(values, (list, tuple, str)):
            # A column of a Hugging Face data set is read whole, not one by one.
            values = values[:]
        array = np.asarray(values)
        # Columns of several types, and pandas' nullable ones, arrive as objects.
        return _retyped(array) if array.dtype == object else array
    except ValueError:
        raise DataError(f"{name} has rows of unequal shape: expected an array (N, ...)") from None


def _stacked_tensors(values: list[Tensor], name: str) -> Tensor:
    try:
        return torch.stack(values)
    except RuntimeError:
        raise DataError(f"{name} has rows of unequal shape: expected an array (N, ...)") from None


def _retyped(objects: NDArray[Any]) -> NDArray[Any]:
    """Python numbers as an array of their own dtype; `objects` if there is anything else."""
    if all(_is_number(value) for value in objects.ravel().tolist()):
        return np.array(objects.tolist())
    return objects


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float, np.number, np.bool_))


class ArrayExamples(Examples):
    """The examples of a pair `(X, y)`."""

    @property
    def worth_trying(self) -> list[int]:
        """The first row that holds a value that is not finite, if there is one."""
        row = first_not_finite(self.inputs)
        return [] if row is None else [row]
