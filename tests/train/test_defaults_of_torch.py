"""`torch.set_default_dtype` and `torch.set_default_device`, which a program may have called before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import gdw
from gdw.errors import ConfigError
from gdw.models import build_model
from gdw.reweight import METHODS
from gdw.train import Trainer
from tests.train.small import assert_same, config, data, network

CLASSES = np.arange(60) % 2
FEATURES = np.random.default_rng(0).normal(size=(60, 3)) + 3 * CLASSES[:, None]
TRUSTED = np.arange(60) < 8


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def fitted(method: str, model: nn.Module) -> nn.Module:
    Trainer(config(method=method, epochs=1)).fit(model, data(), data(20, seed=1))
    return model


@pytest.mark.parametrize("method", [name for name in METHODS if name != "cleanlab"])
def test_every_method_takes_the_same_steps(method: str, request: pytest.FixtureRequest) -> None:
    models = network(), network()
    expected = fitted(method, models[0])
    request.getfixturevalue("double")
    assert_same(fitted(method, models[1]), expected)


@pytest.mark.filterwarnings("ignore:do not trust label_issues_", "ignore:trusted:")
@pytest.mark.parametrize("method", ["plain", "robust", "gdw"])
def test_the_estimator_predicts_the_same(method: str, request: pytest.FixtureRequest) -> None:
    def predictions() -> Any:
        model = gdw.GDWClassifier(method, epochs=2, random_state=0)
        return model.fit(FEATURES, CLASSES, trusted=TRUSTED).predict_proba(FEATURES)

    expected = predictions()
    request.getfixturevalue("double")
    np.testing.assert_allclose(predictions(), expected, rtol=1e-4)


def test_models_are_float32(double: None) -> None:
    for name, shape in (("mlp:8", (4,)), ("resnet20", (3, 8, 8))):
        model = build_model(name, input_shape=shape, num_classes=2, seed=0)
        assert {t.dtype for t in model.state_dict().values() if t.is_floating_point()} == {
            torch.float32
        }
    assert torch.get_default_dtype() == torch.float64


def test_the_default_is_back_after_an_error(double: None) -> None:
    with pytest.raises(ConfigError, match="unknown model"):
        build_model("mpl", input_shape=(4,), num_classes=2)
    assert torch.get_default_dtype() == torch.float64


def test_another_default_device_is_refused_in_one_line() -> None:
    model = network()
    torch.set_default_device("meta")
    try:
        with pytest.raises(ConfigError, match=r"set_default_device\('meta'\) .*: call .*'cpu'"):
            Trainer(config()).fit(model, (FEATURES, CLASSES))
        with pytest.raises(ConfigError, match=r"set_default_device\('meta'\)"):
            gdw.GDWClassifier("plain").fit(FEATURES, CLASSES)
    finally:
        torch.set_default_device(None)
