"""A user's own data set: whole batches of `(inputs, targets)` from items of many kinds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset, get_worker_info

from gdw.data.examples import Examples, same_form
from gdw.errors import DataError
from gdw.files.representation import ShortRepr
from gdw.hypergradient.inputs import Batch, plain_tree
from gdw.train.dataset_items import (
    as_input,
    checked_targets,
    split_item,
    stacked,
    stacked_targets,
    target_name,
)
from gdw.train.not_finite import first_not_finite
from gdw.train.processes import random_state_kept
from gdw.train.token_padding import filled_up

_AT_ONCE = 512
# How many labels are read twice, to see that they stay the same.
_READ_TWICE = 8


class UnusedValuesWarning(UserWarning):
    """The items of a data set hold values that are not trained on."""


class UserDataset(ShortRepr, Dataset[Any]):
    """A map-style data set whose items are pairs, mappings, dataclasses or named tuples.

    The labels are what its items hold, whatever attributes the data set has.

    Args:
        dataset: the user's data set.
        name: "train", "meta", "test" or "data", for error messages.
        rows: the rows that are used, in order; None: all.
    """

    def __init__(self, dataset: Any, name: str, rows: Tensor | None = None) -> None:
        self.dataset = dataset
        self.name = name
        self._rows = rows
        self._told = False
        self._pad = 0

    def __len__(self) -> int:
        return len(self.dataset) if self._rows is None else len(self._rows)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        ((inputs, target),) = self._pairs([index])
        return inputs, target

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """The examples at `indices` as one batch."""
        rows = self.original(indices)
        pairs = self._pairs(indices)
        with _named(self.name):
            texts = filled_up([inputs for inputs, _ in pairs], self._pad)
            inputs = plain_tree(stacked(texts, rows))
            return inputs, stacked_targets([target for _, target in pairs], rows)

    def fill_up_for(self, model: Any) -> None:
        """Fill texts up with the token by which a transformer `model` finds their end, as GPT-2 does."""
        pad = getattr(getattr(model, "config", None), "pad_token_id", None)
        self._pad = pad if isinstance(pad, int) and pad >= 0 else 0

    @property
    def inputs(self) -> UserInputs:
        return UserInputs(self)

    @cached_property
    def known_targets(self) -> Tensor | None:
        """The targets if they are known without reading the items, else None."""
        with _named(self.name):
            known = _known_targets(self.dataset)
        return known if known is None or self._rows is None else known[self._rows]

    @cached_property
    def targets(self) -> Tensor:
        """The targets of all examples, `(N,)` or `(N, C)`, on the CPU. The items are read once if need be.

        Raises:
            DataError: an item has no target, or another one when it is read again.
        """
        if self.known_targets is not None:
            return self.known_targets.cpu()
        # Data sets with such an attribute were not read in 0.1.0: a training draws the same numbers.
        if isinstance(getattr(self.dataset, "targets", None), Tensor):
            with random_state_kept():
                return self._read_targets()
        return self._read_targets()

    @property
    def worth_trying(self) -> list[int]:
        """Rows that may be wrong: a value that is not finite, the extremes of an attribute `targets`."""
        if self._rows is not None:
            return []
        rows = []
        if type(self.dataset) is TensorDataset:
            rows.append(first_not_finite(self.dataset.tensors[0]))
        hint = _class_numbers(getattr(self.dataset, "targets", None))
        if hint is not None and len(hint) == len(self):
            rows += [int(hint.argmin()), int(hint.argmax())]
        return [row for row in rows if row is not None]

    def select(self, rows: NDArray[np.int64] | Tensor) -> UserDataset:
        """The examples at `rows`, int64 `(n,)`, in that order."""
        chosen = torch.as_tensor(rows, dtype=torch.int64)
        return UserDataset(
            self.dataset, self.name, chosen if self._rows is None else self._rows[chosen]
        )

    def joined(self, other: UserDataset) -> UserDataset:
        """These examples, followed by those of `other`."""
        return UserDataset(ConcatDataset([self, other]), f"{self.name} and {other.name}")

    def _read_targets(self) -> Tensor:
        targets = torch.cat(
            [
                self._targets_at(range(start, min(start + _AT_ONCE, len(self))))
                for start in range(0, len(self), _AT_ONCE)
            ]
        )
        with random_state_kept():
            again = self._targets_at(range(min(_READ_TWICE, len(self))))
        changed = (again != targets[: len(again)]).reshape(len(again), -1).any(1).nonzero()
        if len(changed):
            row = int(changed[0])
            raise DataError(
                f"{self.name}: row {row} has another label when it is read again, {targets[row].tolist()} "
                f"and {again[row].tolist()}: the labels are read before training, so return the same label "
                "each time, or train with method='plain'"
            )
        return targets

    def _targets_at(self, indices: Sequence[int]) -> Tensor:
        values = [target for _, target in self._pairs(indices, with_inputs=False)]
        with _named(self.name):
            return stacked_targets(values, self.original(indices)).cpu()

    def original(self, indices: Sequence[int]) -> list[int]:
        """The rows of the user's data set at `indices`."""
        indices = [int(i) for i in indices]
        return indices if self._rows is None else self._rows[indices].tolist()

    def _pairs(self, indices: Sequence[int], *, with_inputs: bool = True) -> list[tuple[Any, Any]]:
        """Inputs, ready to be stacked, and target of each example."""
        rows = self.original(indices)
        read = getattr(self.dataset, "__getitems__", None)
        items = read(rows) if callable(read) else [self.dataset[row] for row in rows]
        pairs = []
        left_out: set[str] = set()
        for row, item in zip(rows, items, strict=True):
            with _named(self.name, row):
                inputs, target, unused = split_item(item, _numbers_of(self.dataset, row))
                pairs.append((as_input(inputs) if with_inputs else None, target))
                left_out.update(unused)
        if left_out and not self._told:
            self._tell(sorted(left_out))
        return pairs

    def _tell(self, unused: Sequence[str]) -> None:
        self._told = True
        if get_worker_info() is None:
            warnings.warn(
                f"{self.name}: the items hold values that are not used: {', '.join(unused)}",
                UnusedValuesWarning,
                stacklevel=2,
            )


class UserInputs:
    """The inputs of a `UserDataset`, so that they can be used in `Examples` with other targets."""

    def __init__(self, dataset: UserDataset) -> None:
        self._dataset = dataset

    def __len__(self) -> int:
        return len(self._dataset)

    def origin(self, row: int) -> tuple[str, int]:
        """The name of the data set, and the number of row `row` in it."""
        return self._dataset.name, self._dataset.original([row])[0]

    def __getitem__(self, indices: Sequence[int] | NDArray[np.int64], /) -> Any:
        """The inputs of a batch: a tensor, or a tuple or mapping of tensors."""
        return self._dataset.__getitems__([int(i) for i in indices])[0]


@contextmanager
def _named(name: str, row: int | None = None) -> Iterator[None]:
    """Errors inside name the data set and the row."""
    try:
        yield
    except DataError as error:
        where = name if row is None else f"{name}: row {row}"
        raise DataError(f"{where}: {error}") from error.__cause__


def _numbers_of(dataset: Any, row: int) -> tuple[int, ...]:
    """The row number of an example in a data set, and in the data sets that it is a subset of."""
    numbers = [row]
    while type(dataset) is Subset:
        row, dataset = int(dataset.indices[row]), dataset.dataset
        numbers.append(row)
    return tuple(numbers)


def _known_targets(dataset: Any) -> Tensor | None:
    """The targets of containers of PyTorch and Hugging Face, whose items are known; None for all others."""
    if isinstance(dataset, Examples):
        return dataset.targets
    if isinstance(dataset, UserDataset):
        return dataset.known_targets
    # A subclass may return other items.
    of_container = _OF_CONTAINER.get(type(dataset))
    if of_container is not None:
        return of_container(dataset)
    return _label_column(dataset) if is_hugging_face(dataset) else None


def _of_tensors(dataset: TensorDataset) -> Tensor | None:
    if len(dataset.tensors) != 2:
        return None
    return checked_targets(dataset.tensors[1], range(len(dataset)))


def _of_subset(dataset: Subset[Any]) -> Tensor | None:
    known = _known_targets(dataset.dataset)
    return None if known is None else known[torch.as_tensor(dataset.indices)]


def _of_parts(dataset: ConcatDataset[Any]) -> Tensor | None:
    parts = [_known_targets(part) for part in dataset.datasets]
    known = [part for part in parts if part is not None]
    return torch.cat(same_form(known)) if len(known) == len(parts) else None


_OF_CONTAINER: dict[type, Callable[[Any], Tensor | None]] = {
    TensorDataset: _of_tensors,
    Subset: _of_subset,
    ConcatDataset: _of_parts,
}


def _label_column(dataset: Any) -> Tensor | None:
    """The labels of a `datasets.Dataset`; None if a transform of the user's makes the items."""
    shape = dataset.format
    if shape["type"] == "custom":
        return None
    column = dataset.with_format(None)[target_name(shape["columns"])][:]
    return stacked_targets(list(column), list(range(len(dataset))))


def is_hugging_face(dataset: Any) -> bool:
    """Whether `dataset` is a `datasets.Dataset`, without an import of that package."""
    return any(
        kind.__module__ == "datasets.arrow_dataset" and kind.__name__ == "Dataset"
        for kind in type(dataset).__mro__
    )


def _class_numbers(values: Any) -> Tensor | None:
    """An attribute `targets` as class numbers `(N,)`, if it holds such."""
    try:
        numbers = torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError):
        return None
    whole = numbers.dim() == 1 and len(numbers) and not numbers.is_floating_point()
    return numbers if whole else None
