"""From what a user gives as a data set, such as a pair of arrays, to `Examples` or a `UserDataset`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset

from gdw.data.examples import Examples
from gdw.errors import DataError, listed
from gdw.train.user_data import as_examples
from gdw.train.user_dataset import UserDataset

_TABLES = ("pandas", "polars", "pyarrow")


def as_known_dataset(data: Any, name: str) -> Examples | UserDataset:
    """`Examples` of a pair `(X, y)`, or the `UserDataset` of a map-style data set or a list of items.

    In a pair, X may be a mapping of columns, the keywords of the model: what a tokenizer returns.

    Raises:
        DataError: `data` is none of these; or the values of a pair are not numbers, or differ in length.
    """
    if isinstance(data, (Examples, UserDataset)):
        return data
    if type(data) is Subset and (whole := _subset_of_examples(data)) is not None:
        return whole
    if isinstance(data, (tuple, list)) and not _is_list_of_items(data):
        if len(data) == 2 and isinstance(data[0], Mapping):
            return UserDataset(_items_of_columns(data[0], data[1], name), name)
        return as_examples(data, name)
    if not _is_map_style(data):
        raise DataError(
            f"{name}: expected a map-style data set (with __len__ and __getitem__) or a pair (X, y), "
            f"found {_described(data)}"
        )
    return UserDataset(data, name)


def _subset_of_examples(data: Subset[Any]) -> Examples | None:
    inner: Any = data.dataset
    if type(inner) is Subset:
        inner = _subset_of_examples(inner)
    return inner.select(torch.as_tensor(data.indices)) if isinstance(inner, Examples) else None


def _is_list_of_items(data: Any) -> bool:
    """Whether a list holds examples such as `(x, y)`; a list of two is a pair."""
    return isinstance(data, list) and len(data) > 2 and isinstance(data[0], (tuple, Mapping))


def _items_of_columns(columns: Mapping[Any, Any], targets: Any, name: str) -> list[Any]:
    """The examples of a pair of columns, such as what a tokenizer returns, and targets."""
    lengths = {str(key): len(values) for key, values in columns.items()}
    unlike = [f"{key!r} {length:,}" for key, length in lengths.items() if length != len(targets)]
    if unlike:
        raise DataError(
            f"{name}: X has rows in other numbers than y, which has {len(targets):,}: {', '.join(unlike)}"
        )
    inputs = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return [(row, target) for row, target in zip(inputs, targets, strict=True)]


def _is_map_style(data: Any) -> bool:
    if isinstance(data, (Tensor, np.ndarray, str, Path, IterableDataset)) or _is_table(data):
        return False
    if isinstance(data, Mapping) and 0 not in data:
        return False
    return hasattr(data, "__len__") and hasattr(data, "__getitem__")


def _is_table(data: Any) -> bool:
    return type(data).__module__.split(".")[0] in _TABLES


def _described(data: Any) -> str:
    """The kind of data that are no data set, and what to give instead."""
    kind = type(data).__name__
    if isinstance(data, Mapping):
        return f"{kind} of {listed(data)}: {_advice_on_mapping(data)}"
    if isinstance(data, DataLoader):
        return f"{kind}: give its data set, loader.dataset, and batch_size"
    if isinstance(data, (str, Path)):
        return f"{kind}: read the file first (gdw.data.load), or use gdw train"
    if isinstance(data, IterableDataset) or kind.startswith("Iterable"):
        return f"{kind}: a stream has no positions; load it whole (Hugging Face: streaming=False)"
    return f"{kind}: give its features and its labels as a pair" if _is_table(data) else kind


def _advice_on_mapping(data: Mapping[Any, Any]) -> str:
    if data and all(isinstance(p, Dataset) or hasattr(p, "features") for p in data.values()):
        return f"choose one of them, such as data[{next(iter(data))!r}]"
    return "give two of its values as a pair, such as (data['x'], data['y'])"
