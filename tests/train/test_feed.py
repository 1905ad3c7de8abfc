"""Pairs of arrays, lists, data frames and series as data sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from gdw.errors import DataError
from gdw.train import Trainer
from gdw.train.feed import as_dataset
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
