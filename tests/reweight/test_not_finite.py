"""NaN or infinity in a batch of one's own loop: one line that names the batch and the rows."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gdw.errors import DataError, ModelError
from gdw.reweight import METHODS
from tests.reweight.setting import Setting, batches

EVERY = pytest.mark.parametrize("method", METHODS)


@EVERY
def test_rows_of_the_training_batch(method: str) -> None:
    setting = Setting.of(method)
    ((x, y),), (meta,) = batches(1), batches(1, seed=1)
    x[2, 1], x[5, 0] = torch.nan, torch.inf
    with pytest.raises(
        DataError,
        match=r"^NaN or infinity in rows 2, 5 \(counted from 0\) of the inputs of the training batch:",
    ):
        setting.reweighter.backward((x, y), meta, indices=range(8))
    assert all(p.grad is None for p in setting.model.parameters())


LEARNED = [name for name, method in METHODS.items() if method.needs_meta]


@pytest.mark.parametrize("method", LEARNED)
@pytest.mark.parametrize("hypergradient", ["finite_difference", "forward", "reference", "head"])
def test_a_row_of_the_meta_batch(method: str, hypergradient: str) -> None:
    options = {} if method == "robust" else {"hypergradient": hypergradient}
    setting = Setting.of(method, **options)
    (batch,), ((x, y),) = batches(1), batches(1, seed=1)
    x[0, 3] = torch.nan
    with pytest.raises(
        DataError, match=r"in row 0 \(counted from 0\) of the inputs of the meta batch"
    ):
        setting.reweighter.backward(batch, (x, y), indices=range(8))
    # The next batch is trained on as if this one had not been there.
    assert all(p.grad is None for p in setting.model.parameters())
    fresh, meta = Setting.of(method, **options), batches(1, seed=2)[0]
    fresh.model.load_state_dict(setting.model.state_dict())
    for each in (setting, fresh):
        each.reweighter.backward(batch, meta, indices=range(8))
    for a, b in zip(setting.gradient(), fresh.gradient(), strict=True):
        assert torch.equal(a, b)


def test_targets_and_inputs_of_several_parts() -> None:
    setting = Setting.of(
        "gdw",
        nn.Linear(5, 3).double(),
        forward=lambda model, inputs: model(inputs["a"] + inputs["b"]),
    )
    ((x, y),) = batches(1)
    soft = nn.functional.one_hot(y, 3).double()
    good = {"a": x, "b": torch.zeros_like(x)}, soft
    wrong = soft.clone()
    wrong[7] = torch.nan
    with pytest.raises(DataError, match=r"in row 7 .* of the targets of the meta batch"):
        setting.reweighter.backward(good, (good[0], wrong))
    offset = torch.full((1, 5), torch.nan, dtype=x.dtype)
    with pytest.raises(DataError, match=r"^NaN or infinity in the inputs of the training batch:"):
        setting.reweighter.backward(({"a": x, "b": offset}, soft), good)


class Logarithm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3).double()

    def forward(self, x: Tensor) -> Any:
        return self.layer(x.log())


def test_a_model_that_makes_nan_of_finite_rows() -> None:
    setting = Setting.of("gdw", Logarithm())
    x, y = batches(1)[0][0].abs() + 0.1, batches(1)[0][1]
    bad = x.clone()
    bad[[1, 4], 2] = -1.0
    with pytest.raises(ModelError, match=r"NaN for rows 1, 4 \(counted from 0\) of the meta batch"):
        setting.reweighter.backward((x, y), (bad, y))


def test_missing_values_that_the_model_fills_are_its_own_business() -> None:
    setting = Setting.of(
        "gdw", nn.Linear(5, 3).double(), forward=lambda model, x: model(x.nan_to_num())
    )
    ((x, y),) = batches(1)
    x[3, 2] = torch.nan
    assert setting.reweighter.backward((x, y), (x, y)).weights.isfinite().all()


def test_training_that_diverged_is_not_blamed_on_the_data() -> None:
    setting = Setting.of("gdw", nn.Linear(5, 3).double())
    ((x, y),) = batches(1)
    with torch.no_grad():
        setting.model.get_parameter("bias").fill_(torch.nan)
    x[3, 2] = torch.nan
    assert setting.reweighter.backward((x, y), (x, y)).loss.isnan()
