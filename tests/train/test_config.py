from __future__ import annotations

import pytest
import yaml
from torch import nn

from gdw.errors import ConfigError
from gdw.train import TrainConfig


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "epochs: input should be greater than or equal to 1, found 0"),
        ({"epochs": 2.5}, "epochs: .*found 2.5"),
        ({"lr": "fast"}, "lr: .*found 'fast'"),
        ({"lr": float("nan")}, "lr: .*found nan"),
        ({"lr": True}, "lr: found True, expected a number"),
        (
            {"optimizer": "adam"},
            "optimizer: expected 'sgd' or 'adamw', found 'adam'. Did you mean 'adamw'?",
        ),
        ({"precision": 16}, "precision: expected '32', 'bf16' or '64', found '16'"),
        ({"learning_rate": 1}, "unknown training option 'learning_rate'. Known options: method, "),
        ({"hypergradient": "head"}, "Those of a method go into method_options"),
        ({"epoch": 3}, "unknown training option 'epoch'. Did you mean 'epochs'?"),
        ({"method": "gwd"}, "unknown method 'gwd'.*Did you mean 'gdw'?"),
        (
            {"method": "gdw", "method_options": {"clipp": 1}},
            "no option 'clipp'.*Did you mean 'clip'?",
        ),
        (
            {"method_options": {"forward": None}},
            "forward is not an option of a method in training: use forward=",
        ),
        (
            {"method_options": {"loss": "cross_entropy"}},
            "loss is not an option of a method in training: the trainer trains on",
        ),
        (
            {"nesterov": True, "momentum": 0},
            "nesterov needs optimizer 'sgd' and a momentum above 0",
        ),
        ({"nesterov": True, "optimizer": "adamw"}, "nesterov needs"),
        ({"epochs": 2, "warmup_epochs": 2}, "warmup_epochs must be below epochs, found 2 of 2"),
    ],
)
def test_a_wrong_option_is_one_clear_line(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        TrainConfig(**options)
    assert "\n" not in str(caught.value)


def test_several_mistakes_are_all_named() -> None:
    with pytest.raises(ConfigError) as caught:
        TrainConfig(epochs=-1, batch_sise=3)
    assert "epochs:" in str(caught.value)
    assert "'batch_size'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_it_is_frozen_and_survives_yaml() -> None:
    config = TrainConfig(lr="1e-3", precision=64, method="gdw", method_options={"clip": 0.5})
    assert config.lr == 1e-3
    assert config.precision == "64"
    assert TrainConfig(**yaml.safe_load(yaml.safe_dump(config.plain()))) == config
    with pytest.raises(ValueError, match="frozen"):
        config.lr = 2.0  # type: ignore[misc]


def test_objects_among_the_method_options_are_written_by_name() -> None:
    config = TrainConfig(method="gdw", method_options={"weighting_network": nn.Linear(1, 1)})
    assert config.plain()["method_options"] == {
        "weighting_network": "torch.nn.modules.linear.Linear"
    }


def test_conflicts_are_those_that_change_the_course_of_training() -> None:
    earlier = TrainConfig(epochs=4).plain()
    assert (
        TrainConfig(epochs=4, devices=2, progress="none", checkpoints_kept=9).conflicts(earlier)
        == []
    )
    assert TrainConfig(epochs=4, lr=0.5).conflicts(earlier) == ["lr (was 0.1, now 0.5)"]
    # The cosine of a longer run is another one from the first step on; a constant rate goes on as it is.
    assert TrainConfig(epochs=5).conflicts(earlier) == ["epochs (was 4, now 5)"]
    constant = TrainConfig(epochs=4, schedule="constant").plain()
    assert TrainConfig(epochs=5, schedule="constant").conflicts(constant) == []


@pytest.mark.parametrize(
    ("options", "method", "method_options", "note"),
    [
        (
            {"method": "gdw", "method_options": {"preset": "robust"}},
            "robust",
            {},
            "is now method 'robust'",
        ),
        ({"method_options": {"preset": "robust"}}, "robust", {}, "is now method 'robust'"),
        (
            {"method": "robust", "method_options": {"preset": "robust"}},
            "robust",
            {},
            "is now method",
        ),
        (
            {"method_options": {"preset": "paper"}},
            "gdw",
            {"preset": "paper"},
            "an option of method 'gdw'",
        ),
        (
            {"method": "gdw", "method_options": {"preset": "robust", "posterior": {"folds": 2}}},
            "robust",
            {"folds": 2},
            "is now method 'robust'",
        ),
    ],
)
def test_spellings_of_the_first_version_are_translated_with_a_warning(
    options: dict[str, object], method: str, method_options: dict[str, object], note: str
) -> None:
    with pytest.warns(FutureWarning, match=note):
        config = TrainConfig(**options)
    assert (config.method, config.method_options) == (method, method_options)
    # What is stored is the new spelling, which warns no more.
    assert TrainConfig(**config.plain()) == config


def test_a_preset_is_no_option_of_the_recommended_method() -> None:
    with pytest.raises(ConfigError, match=r"method 'robust' has no option 'preset'.*'gdw'"):
        TrainConfig(method="robust", method_options={"preset": "paper"})


def test_a_checkpoint_of_the_first_version_is_compared_in_the_new_spelling() -> None:
    earlier = TrainConfig(epochs=4).plain()
    earlier |= {"method": "gdw", "method_options": {"preset": "robust", "posterior": {"folds": 2}}}
    now = TrainConfig(epochs=4, method_options={"folds": 2})
    assert now.conflicts(earlier) == []
    assert TrainConfig(epochs=4).conflicts(earlier) == ["method_options (was {'folds': 2}, now {})"]
