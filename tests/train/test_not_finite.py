"""NaN and infinity in the inputs: the data set, the row, the column and the value are named."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gdw.errors import DataError, DivergenceError, ModelError
from gdw.train import Trainer
from gdw.train.evaluation import evaluate, predict_probabilities
from gdw.train.not_finite import first_not_finite
from tests.train.small import config, data, network

ROW = 17


def spoiled(value: float = math.nan, *, items: bool = False) -> Any:
    """The 60 examples, one input of which is not finite."""
    inputs, targets = data()
    inputs[ROW, 2] = value
    return list(zip(inputs, targets.tolist(), strict=True)) if items else (inputs, targets)


@pytest.mark.parametrize("name", ["train", "meta", "test"])
def test_arrays_are_refused_before_training(tmp_path: Path, name: str) -> None:
    sets: dict[str, Any] = {"train": data(), "meta": data(20), "test": data(30), name: spoiled()}
    with pytest.raises(
        DataError, match=f"^{name}: row 17 holds nan in column 2 in its inputs"
    ) as e:
        Trainer(config(method="gdw")).fit(network(), output=tmp_path / "run", **sets)
    assert "lr" not in str(e.value)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("method", ["plain", "gdw", "robust"])
@pytest.mark.parametrize("name", ["train", "meta", "test"])
def test_data_sets_are_named_when_the_row_is_seen(name: str, method: str) -> None:
    whole: Any = [*zip(data()[0], data()[1].tolist(), strict=True)]
    sets: dict[str, Any] = {"train": whole, "meta": whole, "test": whole, name: spoiled(items=True)}
    if method == "plain" and name == "meta":
        pytest.skip("plain training uses no clean examples")
    with pytest.raises(
        (DataError, DivergenceError), match=f"{name}: row 17 holds nan in column 2"
    ) as e:
        Trainer(config(method=method, epochs=1, batch_size=10, meta_batch_size=10)).fit(
            network(), **sets
        )
    assert "lr" not in str(e.value)


def test_a_number_too_large_for_the_model_is_named() -> None:
    inputs, targets = data(dtype=torch.float64)
    inputs[ROW, 2] = 1e300
    with pytest.raises(
        DivergenceError, match=r"train: row 17 holds inf \(as float32\) in column 2"
    ):
        Trainer(config(batch_size=10)).fit(network(), (inputs, targets))


@pytest.mark.parametrize("items", [False, True])
def test_evaluation_and_prediction_name_the_row(items: bool) -> None:
    given = spoiled(items=items)
    message = "data: row 17 holds nan in column 2"
    with pytest.raises(DataError, match=message):
        evaluate(network(), given, batch_size=7)
    with pytest.raises(DataError, match=message):
        list(predict_probabilities(network(), given, batch_size=7))


def test_a_model_that_copes_with_missing_values_trains() -> None:
    class Filled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = network(plain=True)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.body(x.nan_to_num())
            return logits

    result = Trainer(config(epochs=1)).fit(Filled(), spoiled(), test=spoiled())
    assert math.isfinite(result.final["test_nll"])


def test_a_model_whose_outputs_are_not_finite_is_blamed_itself() -> None:
    model = network(plain=True)
    model[0].weight.data.fill_(math.inf)
    with pytest.raises(ModelError, match="data: row 0: the model's outputs are not finite, but"):
        evaluate(model, data())


def test_a_class_may_be_ruled_out() -> None:
    logits = torch.tensor([[0.0, -math.inf], [-math.inf, 1.0]])
    assert evaluate(nn.Identity(), (logits, torch.tensor([0, 1])))["accuracy"] == 1


@pytest.mark.parametrize("shape", [(6,), (6, 4), (6, 2, 3)])
def test_the_first_row_is_found(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gdw.train.not_finite._AT_ONCE", 5)
    values = torch.zeros(shape)
    assert first_not_finite(values) is None
    values.view(6, -1)[4:, -1] = -math.inf
    assert first_not_finite(values) == 4


@pytest.mark.parametrize(
    "y", [torch.tensor([0.0, math.nan]), torch.tensor([[1.0, 0], [math.nan, 1]])]
)
def test_targets_that_are_missing_are_named(y: Tensor) -> None:
    with pytest.raises(DataError, match="test: the target of row 1 is nan"):
        Trainer(config()).fit(network(), data(), test=(torch.zeros(2, 6), y))
