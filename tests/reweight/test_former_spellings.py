"""Spellings of gdw 0.1.0, and what they mean now."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import gdw
from gdw.reweight.registry import modernised

BILEVEL: dict[str, Any] = {
    "hypergradient": "forward",
    "head": "fc",
    "outer_lr": 10.0,
    "clip": 1.0,
    "min_weight": -1.0,
    "zero_mean": False,
    "weighting_network": "mlp",
    "weighting_lr": 1e-2,
    "meta_every": 2,
}


def test_the_preset_is_now_a_method() -> None:
    method, options, note = modernised("gdw", {"preset": "robust"})
    assert (method, options) == ("robust", {})
    assert note == "method 'gdw' with preset 'robust' is now method 'robust'"
    parts = {"folds": 5, "own": False}
    assert modernised("gdw", {"preset": "robust", "posterior": parts})[:2] == ("robust", parts)
    assert modernised("gdw", {"posterior": True, "label_smoothing": 0.1})[:2] == (
        "robust",
        {"label_smoothing": 0.1},
    )


@pytest.mark.parametrize("name", BILEVEL)
def test_every_option_of_the_bilevel_step_asks_for_that_step(name: str) -> None:
    given = {"preset": "robust", name: BILEVEL[name]}
    method, options, note = modernised("gdw", given)
    assert (method, options) == ("gdw", {"preset": "short", name: BILEVEL[name]})
    assert note is not None
    assert modernised("gdw", {**given, "posterior": True})[0] == "robust"


def test_every_bilevel_option_of_the_record_is_known() -> None:
    later = {"retain_graph", "meta_features_every", "preset", "loss", "forward"}
    later |= {"label_smoothing", "ignore_index", "meta_gradient_every", "meta_gradient_momentum"}
    assert set(gdw.GDW.Options.model_fields) == set(BILEVEL) | later


@pytest.mark.parametrize(
    ("method", "options"),
    [("gdw", {}), ("gdw", {"preset": "paper"}), ("mwn", {"preset": "robust"}), ("robust", {})],
)
def test_other_spellings_are_left_alone(method: str, options: dict[str, Any]) -> None:
    assert modernised(method, options) == (method, options, None)


def test_defaults_that_are_written_out_change_nothing() -> None:
    written = {"preset": "robust", "clip": None, "zero_mean": True, "meta_every": 1}
    assert modernised("gdw", written)[0] == "robust"


def test_a_trainer_warns_once_and_trains_by_the_new_name() -> None:
    with pytest.warns(FutureWarning, match="is now method 'robust'") as caught:
        config = gdw.TrainConfig(method="gdw", method_options={"preset": "robust"})
    assert [warning.filename for warning in caught] == [__file__]
    assert (config.method, config.method_options) == ("robust", {})
    earlier = {**config.plain(), "method": "gdw", "method_options": {"preset": "robust"}}
    assert not config.conflicts(earlier)


def test_in_a_loop_of_your_own_the_preset_is_now_called_short() -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.warns(FutureWarning, match=r"preset='short'.*gdw\.Robust") as caught:
        reweighter = gdw.GDW(model, optimizer, preset="robust")
    assert [warning.filename for warning in caught] == [__file__]
    assert reweighter.options.clip == 1.0
    assert reweighter.weighting_network is None
