"""What cannot be trained, continued or kept is refused, in one line and in time."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gdw.audit import Recorder
from gdw.errors import ConfigError, DataError, DivergenceError, GDWError, ModelError, RunError
from gdw.train import Callback, RunFolder, Trainer
from tests.train.small import (
    FEATURES,
    At,
    assert_same,
    config,
    data,
    fit,
    network,
)


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_good_checkpoint(tmp_path: Path) -> None:
    inputs, targets = data()
    good = network()
    Trainer(config()).fit(good, (inputs, targets), output=tmp_path / "good", stop_after=1)
    spoiled = inputs.clone()

    class Spoil(Callback):
        def on_epoch(self, record: dict[str, Any]) -> None:
            spoiled[17] = math.nan

    model = network()
    with pytest.raises(
        DivergenceError, match=r"the loss is not finite in epoch 2, step \d"
    ) as caught:
        Trainer(config()).fit(
            model, (spoiled, targets), output=tmp_path / "run", callbacks=[Spoil()]
        )
    assert caught.value.epoch == 2
    assert 1 <= caught.value.step <= 5
    run = RunFolder.open(tmp_path / "run")
    assert f"step {caught.value.step};" in str(caught.value)
    assert "step-000000005.pt" in str(caught.value)
    assert [record["epoch"] for record in run.history()] == [1]
    resumed = network(seed=9)
    Trainer(config()).fit(resumed, (inputs, targets), output=run, resume=True, stop_after=1)
    assert_same(resumed, good)


def test_parameters_that_are_not_finite_are_never_written(tmp_path: Path) -> None:
    model = network()

    def spoil() -> None:
        model[0].bias.grad = torch.full_like(model[0].bias, math.inf)

    with pytest.raises(DivergenceError, match="parameters are not finite in epoch 1, step 5"):
        fit(model, config(), output=tmp_path, callbacks=[At(5, spoil)])
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["step-000000000.pt"]
    assert RunFolder.open(tmp_path).history() == []


def _two_outputs() -> nn.Module:
    return nn.Linear(FEATURES, 2)


@pytest.mark.parametrize(
    ("model", "settings", "arguments", "error", "message"),
    [
        (
            network,
            {"method": "gdw"},
            {},
            ConfigError,
            "'gdw' needs some examples whose labels you have verified .* meta=",
        ),
        (_two_outputs, {}, {}, ModelError, "train: found class 2, but the model has 2 logits"),
        (
            network,
            {},
            {"test": (torch.zeros(2, FEATURES), torch.tensor([0, 3]))},
            ModelError,
            "test: found class 3",
        ),
        (
            network,
            {"method": "gdw"},
            {"meta": (torch.zeros(2, FEATURES), torch.tensor([-1, 0]))},
            ModelError,
            "meta: found class -1",
        ),
        (nn.Identity, {}, {}, ModelError, "the model has no trainable parameter"),
        (
            network,
            {},
            {"test": ([], [])},
            DataError,
            "test: expected at least one example, found none",
        ),
        (network, {}, {"test": 3}, DataError, r"test: expected a map-style data set .* found int"),
        (
            network,
            {},
            {"test": (1, 2, 3)},
            DataError,
            r"test: expected a pair \(X, y\), found 3 values",
        ),
    ],
)
def test_what_cannot_train_is_refused_before_anything_is_written(
    tmp_path: Path,
    model: Any,
    settings: dict[str, Any],
    arguments: dict[str, Any],
    error: type[GDWError],
    message: str,
) -> None:
    with pytest.raises(error, match=message) as caught:
        Trainer(config(**settings)).fit(model(), data(), output=tmp_path / "run", **arguments)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_the_folder_may_be_made_by_a_function_and_only_once_all_is_well(tmp_path: Path) -> None:
    def make() -> RunFolder:
        return RunFolder.create(tmp_path / "run", {"made": "elsewhere"})

    with pytest.raises(ModelError):
        Trainer(config()).fit(_two_outputs(), data(), output=make)
    assert not (tmp_path / "run").exists()
    Trainer(config(epochs=1)).fit(network(), data(), output=make)
    assert RunFolder.open(tmp_path / "run").config == {"made": "elsewhere"}


def test_the_look_before_training_moves_nothing() -> None:
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ModelError):
        Trainer(config()).fit(model, data(), test=(torch.zeros(1, FEATURES), torch.tensor([7])))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert model.training


class _Misspelt(Callback):
    def on_epoch_end(self, record: Any) -> None: ...


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (Callback(), r"expected a list of gdw.train.Callback, found Callback; one callback is"),
        ([print], "expected objects of subclasses of gdw.train.Callback, found builtin_function"),
        ([At], "found the class At"),
        ([_Misspelt()], "_Misspelt.on_epoch_end would never be called. Did you mean 'on_epoch'"),
        (
            [Recorder(61)],
            r"Recorder\(61\): the training set has 60 examples; give .*Recorder\(60\)",
        ),
    ],
)
def test_callbacks_are_checked_before_the_preparation(
    tmp_path: Path, callbacks: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        fit(network(), config(method="robust"), output=tmp_path / "run", callbacks=callbacks)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("epochs", [0, -1])
def test_stopping_after_no_epoch_is_a_mistake(tmp_path: Path, epochs: int) -> None:
    with pytest.raises(ConfigError, match=f"stop_after: expected 1 epoch or more, found {epochs};"):
        fit(network(), config(), output=tmp_path / "run", stop_after=epochs)
    assert not (tmp_path / "run").exists()


def test_runs_are_not_mixed_up(tmp_path: Path) -> None:
    fit(network(), config(), output=tmp_path / "run", stop_after=1)
    with pytest.raises(RunError, match="already holds a run"):
        fit(network(), config(), output=tmp_path / "run")
    with pytest.raises(RunError, match=r"other settings: lr \(was 0.1, now 0.2\)"):
        fit(network(), config(lr=0.2), output=tmp_path / "run", resume=True)
    with pytest.raises(RunError, match=r"train examples \(were 60, now 59\)"):
        Trainer(config()).fit(network(), data(59), output=tmp_path / "run", resume=True)
    with pytest.raises(RunError, match="no run folder"):
        fit(network(), config(), output=tmp_path / "none", resume=True)
    with pytest.raises(ConfigError, match="resume needs the run folder"):
        fit(network(), config(), resume=True)
    with pytest.raises(ConfigError, match=r"found both \(lr too\)"):
        Trainer(config(), lr=0.1)
