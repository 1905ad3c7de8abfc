"""Arrays, lists, data frames and series of numbers as tensors; whatever is no number is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdw.errors import DataError


def as_numbers(values: Any, name: str, fix: str) -> Tensor:
    """`values` `(N, ...)` as a tensor of their own dtype, a tensor as it is.

    `DataError`, calling the values `name` and ending in the advice `fix`, for text, dates, missing values of
    pandas, or rows of unequal length.
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
        found = next((repr(v) for v in array.ravel().tolist() if not _is_number(v)), array.dtype)
        raise DataError(f"{name} should hold numbers, found {found}: {fix}")
    # PyTorch shares the memory, and can neither share negative strides nor what must not be written.
    return torch.as_tensor(np.require(array, requirements=["C", "W"]))


def _retyped(objects: NDArray[Any]) -> NDArray[Any]:
    """Numbers among Python objects in their own dtype; with anything else among them, `objects`."""
    if all(_is_number(value) for value in objects.ravel().tolist()):
        return np.array(objects.tolist())
    return objects


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float, np.number, np.bool_))
