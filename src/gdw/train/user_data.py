"""Pairs `(X, y)` of arrays, and the user's own data sets, for `Examples`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import default_collate

from gdw.data.examples import Examples
from gdw.errors import DataError
from gdw.hypergradient.inputs import plain_tree


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
    return Examples(inputs, targets if targets.is_floating_point() else targets.long())


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
    try:
        array = np.asarray(values)
        if array.dtype == object:
            # Columns of several types, and pandas' nullable ones, arrive as objects.
            array = _retyped(array)
    except ValueError:
        raise DataError(f"{name} has rows of unequal shape: expected an array (N, ...)") from None
    if array.dtype.kind not in "biuf":
        wrong = next((repr(v) for v in array.ravel().tolist() if not _is_number(v)), array.dtype)
        raise DataError(f"{name} should hold numbers, found {wrong}: {fix}")
    # PyTorch shares the memory, but neither negative strides nor read-only memory.
    return torch.as_tensor(np.require(array, requirements=["C", "W"]))


def _retyped(objects: NDArray[Any]) -> NDArray[Any]:
    """Python numbers as an array of their own dtype; `objects` if there is anything else."""
    if all(_is_number(value) for value in objects.ravel().tolist()):
        return np.array(objects.tolist())
    return objects


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float, np.number, np.bool_))


class DatasetInputs:
    """The inputs of a map-style data set of `(inputs, target)`, so that it can be used in `Examples`."""

    def __init__(self, dataset: Any) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, indices: Sequence[int] | NDArray[np.int64], /) -> Any:
        """The inputs of a batch: a tensor, or a tuple or mapping of tensors."""
        return plain_tree(default_collate([self._dataset[int(i)][0] for i in indices]))
