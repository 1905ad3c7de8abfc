"""The models of a preparation, trained on the features of a network that is fine-tuned."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gdw.models.finetuned import Finetuned
from gdw.reweight import METHODS
from gdw.reweight.preparation import Subset
from gdw.train import TrainConfig, Trainer
from gdw.train.before_training import StoppedInPreparation, make_sets
from gdw.train.feed import DataSets
from gdw.train.on_features import FeaturePreparation
from gdw.train.preparing import TrainerPreparation
from gdw.train.progress import TRAINING, Display, Progress, Stage, StepTimes
from gdw.train.recommended import recommended
from tests.train.small import assert_same, config, data, fit, interrupt_fit, timeless

WIDTH = 8


class Backbone(nn.Module):
    """Counts the examples that it sees."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(1)
            self.layers = nn.Sequential(nn.Linear(6, WIDTH), nn.Tanh())
        self.seen = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.seen += len(inputs)
        features: Tensor = self.layers(inputs)
        return features


def finetuned(**options: Any) -> Finetuned:
    with torch.random.fork_rng():
        torch.manual_seed(2)
        return Finetuned(Backbone(), WIDTH, 3, **{"trains_all": True, **options})


def robust(**options: Any) -> TrainConfig:
    return config(method="robust", lr=0.05, **options)


def test_the_classifiers_learn_from_the_features_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[tuple[str, int]] = []
    trained = TrainerPreparation._trained

    def noted(self: TrainerPreparation, *arguments: Any, **options: Any) -> nn.Module:
        model = trained(self, *arguments, **options)
        kinds.append((type(model).__name__, self._config.epochs))
        return model

    monkeypatch.setattr(TrainerPreparation, "_trained", noted)
    fit(finetuned(), robust())
    epochs = recommended("features", examples=60, width=WIDTH)["epochs"]
    assert kinds == 11 * [("Linear", epochs)]
    kinds.clear()
    fit(finetuned(), robust(prepare_on="network"))
    assert kinds == 11 * [("Finetuned", 4)]
    kinds.clear()
    # What a forward of the user's own makes of a classifier is not known.
    own = Trainer(robust(), forward=lambda model, inputs: model(2 * inputs))
    own.fit(finetuned(), data(), data(20, seed=1))
    assert kinds == 11 * [("Finetuned", 4)]


def sets(*parts: tuple[Tensor, Tensor]) -> DataSets:
    return make_sets(METHODS["robust"], "robust", *parts)


def test_the_backbone_sees_each_example_once_and_stays_as_it_is() -> None:
    model = finetuned()
    before = copy.deepcopy(model)
    with Trainer(robust()).preparing(model, sets(data(), data(20, seed=1))) as preparation:
        for seed in range(2):
            predict = preparation.fit([Subset("given", torch.arange(30))], seed=seed)
            assert predict(Subset("clean", torch.arange(20))).shape == (20, 3)
        assert preparation.num_classes == 3
    assert model.backbone.seen == 60 + 20
    assert_same(model, before)


def test_predictions_are_those_of_a_classifier_on_standardised_features() -> None:
    model, parts = finetuned().eval(), [data(), data(20, seed=1)]
    trained, predicted = Subset("given", torch.arange(0, 60, 2)), Subset("clean", torch.arange(20))
    with Trainer(robust()).preparing(model, sets(*parts)) as preparation:
        found = preparation.fit([trained], seed=4)(predicted)
    with torch.no_grad():
        given, clean = (model.backbone(inputs) for inputs, _ in parts)
    mean, scale = given.mean(0), given.std(0, correction=0)
    features = [
        ((f - mean) / scale, labels) for f, (_, labels) in zip((given, clean), parts, strict=True)
    ]
    best = recommended("features", examples=60, width=WIDTH)
    plain = Trainer(config(method="robust", **best))
    with plain.preparing(model.head, sets(*features)) as reference:
        expected = reference.fit([trained], seed=4)(predicted)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_what_is_planned_begins_features_first(monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[str] = []
    begun: list[str] = []
    plan, begin = Progress.plan, Progress.begin

    def planning(self: Progress, stages: Any, summary: str) -> None:
        planned.extend(stage.what for stage in stages)
        plan(self, stages, summary)

    def beginning(self: Progress, stage: Stage, summary: str | None = None) -> None:
        begun.append(stage.what)
        begin(self, stage, summary)

    monkeypatch.setattr(Progress, "plan", planning)
    monkeypatch.setattr(Progress, "begin", beginning)
    fit(finetuned(), robust())
    assert len(planned) == len(begun) == 13
    assert planned[0] == begun[0] == "features of 80 examples, for the short trainings"
    assert begun[-1] == TRAINING
    assert TRAINING not in begun[:-1]


def test_the_network_has_times_of_its_own() -> None:
    features, classifier, run = (
        Stage("features", 1, 4, 20),
        Stage(TRAINING, 10, 5, 12),
        Stage(TRAINING, 4, 30, 13),
    )
    features.times, run.times = StepTimes(0.0, 0.1), StepTimes(0.0, 1.0)
    now = [0.0]
    progress = Progress(Display(), clock=lambda: now[0])
    progress.plan([features, classifier, run], "")
    progress.learn({12: 0.002})
    assert progress.left() == pytest.approx(4 * 20 * 0.1 + 10 * 5 * 0.002 + 4 * 30 * 13)
    # The classifier takes a thousand times longer than expected, which says nothing about the network.
    progress.begin(features)
    progress.batch(4)
    progress.begin(classifier)
    for step in (1, 2, 3):
        progress.batch(step)
        now[0] += 2.0
    assert progress.left() == pytest.approx(4 * 30 * 13, rel=0.2)


def test_a_stopped_preparation_goes_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight, resumed = finetuned(), finetuned()
    whole = fit(straight, robust())
    with monkeypatch.context() as patch:
        interrupt_fit(patch, 5)
        with pytest.raises(StoppedInPreparation, match="3 of 11 short trainings are kept"):
            fit(resumed, robust(), output=tmp_path / "run")
    last = fit(resumed, robust(), output=tmp_path / "run", resume=True)
    assert_same(resumed, straight)
    assert timeless(last.history) == timeless(whole.history)


@pytest.mark.parametrize(
    "options", [{"precision": "64"}, {"accumulate": 2}, {"warmup_epochs": 2.0}]
)
def test_options_that_are_for_the_network_do_no_harm(options: dict[str, Any]) -> None:
    model = finetuned(trains_all=False)
    fit(model, robust(**options))
    assert all(p.isfinite().all() for p in model.parameters())


def test_a_method_that_trains_no_models_computes_no_features(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(FeaturePreparation, "_features")
    fit(finetuned(), config(method="gdw"))
