"""Pairs of arrays, lists, data frames and series as data sets."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from gdw.data import Examples
from gdw.data.augment import AUGMENTATIONS, draws_of
from gdw.data.examples import JoinedInputs
from gdw.errors import DataError
from gdw.train import Trainer
from gdw.train.feed import as_dataset, batches
from gdw.train.read_ahead import AHEAD
from tests.train.small import assert_same, config, data, network


def examples(X: Any, y: Any) -> tuple[torch.Tensor, torch.Tensor]:
    dataset: Any = as_dataset((X, y), "train")
    assert isinstance(dataset.inputs, torch.Tensor)
    return dataset.inputs, dataset.targets


def test_data_frames_train_as_their_arrays_do() -> None:
    inputs, targets = data()
    frame = pd.DataFrame(inputs.numpy(), columns=list("abcdef"), index=range(5, 65))
    by_frame, by_tensor = network(), network()
    Trainer(config(epochs=1)).fit(by_frame, (frame, pd.Series(targets.numpy(), index=frame.index)))
    Trainer(config(epochs=1)).fit(by_tensor, (inputs, targets))
    assert_same(by_frame, by_tensor)


@pytest.mark.parametrize(
    "X",
    [
        pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5]}),
        pd.DataFrame({"a": pd.array([1, 2], dtype="Int64"), "b": pd.array([0.5, 1.5], "Float64")}),
        np.array([[1, 0.5], [np.float32(2), np.int64(1) + 0.5]], dtype=object),
        np.array([[0.5, 1.0], [1.5, 2.0]])[:, ::-1],
        [[1, 0.5], [2, 1.5]],
    ],
)
def test_numbers_in_many_shapes(X: Any) -> None:
    inputs, targets = examples(X, pd.Series([True, False], dtype="boolean"))
    assert inputs.dtype == torch.float64
    assert inputs.tolist() == [[1, 0.5], [2, 1.5]]
    assert (targets.dtype, targets.tolist()) == (torch.int64, [1, 0])


def test_a_tensor_is_not_copied() -> None:
    inputs, targets = data()
    assert examples(inputs, targets)[0] is inputs


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (np.zeros((2, 1)), ["cat", "dog"], r"y should hold numbers, found 'cat': encode the classes as 0"),
        (np.zeros((2, 1)), pd.Series(["cat", "dog"]), r"train: y should hold numbers, found 'cat'"),
        (np.zeros((2, 1)), pd.Series(["b", "a"], dtype="category"), r"y should hold .* found 'b'"),
        (np.zeros((2, 1)), np.array([0, None]), r"y should hold numbers, found None"),
        (pd.DataFrame({"n": [1, 2], "c": ["u", "v"]}), [0, 1], r"X should hold numbers, found 'u'"),
        (pd.DataFrame({"d": pd.to_datetime(["2024-01-01"] * 2)}), [0, 1], r"X should hold numbers"),
        ([[1, 2], [3]], [0, 1], r"train: X has rows of unequal shape"),
    ],
)  # fmt: skip
def test_what_is_no_number_is_refused(X: Any, y: Any, message: str) -> None:
    with pytest.raises(DataError, match=message) as raised:
        as_dataset((X, y), "train")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("alone", [np.zeros((3, 2)), torch.zeros(3, 2), pd.DataFrame({"a": [1]})])
def test_features_alone_are_no_data_set(alone: Any) -> None:
    with pytest.raises(DataError, match=r"or a pair \(X, y\), found (ndarray|Tensor|DataFrame)"):
        as_dataset(alone, "train")


class Slow:
    """Inputs that note which batches were asked for, and in which thread."""

    on_demand = True

    def __init__(self, n: int = 12) -> None:
        self.asked: list[list[int]] = []
        self.threads: set[int] = set()
        self.values = torch.arange(n)[:, None]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, indices: Any, /) -> torch.Tensor:
        self.asked.append(list(indices))
        self.threads.add(threading.get_ident())
        if 11 in list(indices):
            raise DataError("example 11 cannot be read")
        return self.values[torch.as_tensor(indices)]


def slow() -> tuple[Slow, Examples]:
    inputs = Slow()
    return inputs, Examples(inputs, torch.arange(12))


def test_what_is_decoded_on_demand_is_read_ahead_in_order() -> None:
    inputs, dataset = slow()
    order = [[3, 1], [2], [5, 4], [0], [6]]
    loader = batches(dataset, order)
    assert inputs.asked == [], "nothing is read before the first batch is asked for"
    found = [(x[:, 0].tolist(), y.tolist()) for x, y in loader]
    assert found == [(batch, batch) for batch in order]
    assert inputs.asked == order
    assert threading.get_ident() not in inputs.threads


def test_reading_ahead_is_bounded_and_ends_with_the_loader() -> None:
    inputs, dataset = slow()
    order = [[i] for i in range(10)]
    loader: Any = batches(dataset, order)
    next(loader)
    patience = time.monotonic() + 10
    while len(inputs.asked) < 1 + AHEAD and time.monotonic() < patience:
        time.sleep(0.001)
    time.sleep(0.02)  # for one too many to show
    assert inputs.asked == order[: 1 + AHEAD]
    loader.close()
    assert not any(t.name.startswith("gdw-loader") for t in threading.enumerate())
    assert inputs.asked == order[: 1 + AHEAD]


def test_an_error_ahead_is_raised_where_its_batch_is_due() -> None:
    _, dataset = slow()
    loader = batches(dataset, [[1], [11], [2]])
    assert next(loader)[1].tolist() == [1]
    with pytest.raises(DataError, match="example 11 cannot be read"):
        next(loader)


def test_what_is_in_memory_is_read_where_it_is_used() -> None:
    inputs, dataset = slow()
    inputs.on_demand = False
    assert [y.tolist() for _, y in batches(dataset, [[1], [2]])] == [[1], [2]]
    assert inputs.threads == {threading.get_ident()}


def test_joined_inputs_are_as_slow_as_either() -> None:
    held = torch.arange(3)[:, None]
    assert JoinedInputs(Slow(), held).on_demand
    assert JoinedInputs(held, Slow()).on_demand
    assert not JoinedInputs(held, held).on_demand


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_augmentation_is_a_function_of_seed_stream_position_and_rank(kind: str) -> None:
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (4, 3, 9, 9), generator=draws, dtype=torch.uint8)
    augment, place = AUGMENTATIONS[kind], {"seed": 1, "stream": "train", "position": 5, "rank": 0}
    first = augment(images, draws_of(**place))  # type: ignore[arg-type]
    assert torch.equal(first, augment(images, draws_of(**place)))  # type: ignore[arg-type]
    for other in ({"seed": 2}, {"stream": "meta"}, {"position": 6}, {"rank": 1}):
        assert not torch.equal(first, augment(images, draws_of(**{**place, **other})))  # type: ignore[arg-type]


def test_training_with_cutout_repeats_itself_and_differs_from_standard() -> None:
    draws = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (24, 3, 8, 8), generator=draws, dtype=torch.uint8)
    labels = torch.arange(24) % 3
    ends = []
    for kind in ("standard+cutout", "standard+cutout", "standard"):
        model = torch.nn.Sequential(Unit(), torch.nn.Flatten(), torch.nn.Linear(192, 3))
        torch.nn.init.zeros_(model[2].weight)
        torch.nn.init.zeros_(model[2].bias)
        Trainer(config(epochs=1, augment=kind)).fit(model, (images, labels))
        ends.append(model)
    assert_same(ends[0], ends[1])
    assert not torch.equal(ends[0][2].weight, ends[2][2].weight)


class Unit(torch.nn.Module):
    """Bytes to numbers from 0 to 1."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.float() / 255
