"""Which options of training are chosen for data, and that they do not contradict those that were given."""

from __future__ import annotations

from typing import get_args

import pytest

from gdw.train import TrainConfig
from gdw.train.recommended import CHOSEN, Inputs, chosen_options, recommended


@pytest.mark.parametrize("inputs", get_args(Inputs))
@pytest.mark.parametrize("examples", [20, 2_000, 2_000_000])
def test_the_trainer_takes_what_is_recommended(inputs: Inputs, examples: int) -> None:
    options = recommended(inputs, examples=examples, width=384, finetune="all")
    assert set(options) <= set(CHOSEN)
    assert 1 < TrainConfig(**options).epochs <= 80


@pytest.mark.parametrize("inputs", get_args(Inputs))
def test_more_examples_need_fewer_epochs(inputs: Inputs) -> None:
    sizes = [100, 1_000, 10_000, 100_000]
    epochs = [recommended(inputs, examples=n, width=384)["epochs"] for n in sizes]
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[0] > epochs[-1]


@pytest.mark.parametrize(
    ("given", "left_out"),
    [
        ({"epochs": 3}, {"epochs"}),
        ({"lr": 0.5}, {"lr"}),
        ({"optimizer": "adamw"}, {"optimizer"}),
        # Rates are for one optimizer.
        ({"optimizer": "sgd"}, {"optimizer", "lr", "weight_decay"}),
        ({"momentum": 0.5}, {"optimizer", "lr", "weight_decay"}),
    ],
)
def test_what_was_given_stays(given: dict[str, object], left_out: set[str]) -> None:
    best = recommended("features", examples=1_000, width=384)
    assert chosen_options(given, best) == {k: v for k, v in best.items() if k not in left_out}
    assert TrainConfig(**{**given, **chosen_options(given, best)}).epochs


def test_a_short_training_has_no_warm_up_longer_than_itself() -> None:
    best = {"epochs": 5, "warmup_epochs": 1.0}
    assert chosen_options({"epochs": 1}, best) == {}
    assert chosen_options({"epochs": 2}, best) == {"warmup_epochs": 1.0}


def test_a_backbone_that_is_trained_predicts_few_long_texts_at_once() -> None:
    size = recommended("finetuned", examples=1_000, width=512)["eval_batch_size"]
    assert size <= TrainConfig().eval_batch_size / 8
