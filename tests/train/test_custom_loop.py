"""`gdw.prepare`: a method that looks at the whole training set, in a loop of one's own."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, default_collate

import gdw
from gdw.data.examples import CyclingBatches, EpochBatches
from gdw.errors import ConfigError, DataError
from gdw.reweight import METHODS, Preparation, Reweighter
from gdw.train.preparing import TrainerPreparation
from tests.train.small import assert_same, config, data, network

OPTIONS = {"epochs": 2, "batch_size": 12, "progress": "none"}


class Pairs(Dataset[tuple[Tensor, Tensor]]):
    """A data set of one's own."""

    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        self.inputs, self.labels = inputs, targets

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs[index], self.labels[index]


def method(name: str, model: nn.Module, **options: Any) -> Reweighter:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    return METHODS[name](model, optimizer, **options)


@pytest.mark.parametrize("form", ["tensors", "arrays", "data sets"])
@pytest.mark.parametrize("name", ["glc", "posterior"])
def test_a_prepared_method_trains_in_a_loop_of_ones_own(name: str, form: str) -> None:
    train, clean = data(), data(20, seed=1)
    forms: dict[str, Any] = {
        "tensors": (train, clean),
        "arrays": tuple(tuple(t.numpy() for t in pair) for pair in (train, clean)),
        "data sets": (Pairs(*train), Pairs(*clean)),
    }
    model = network()
    reweighter = method(name, model)
    optimizer = reweighter._problem.optimizer
    untouched = network()
    before = torch.get_rng_state()
    gdw.prepare(reweighter, *forms[form], **OPTIONS)
    assert_same(model, untouched)
    assert model.training
    assert torch.equal(torch.get_rng_state(), before)
    joined = Pairs(*(torch.cat(pair) for pair in zip(train, clean, strict=True)))
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        for indices in torch.randperm(80, generator=generator).split(16):
            optimizer.zero_grad()
            batch = default_collate([joined[i] for i in indices.tolist()])
            result = reweighter.backward(batch, indices=indices.tolist())
            optimizer.step()
            assert result.weights.shape == (16, 3)
            assert bool(result.weights.isfinite().all())
            assert bool(result.loss.isfinite())


def test_robust_in_a_loop_of_ones_own_is_the_trainers() -> None:
    (x, y), (clean_x, clean_y) = data(), data(20, seed=1)
    options: dict[str, Any] = {"schedule": "constant", "lr": 0.05, "seed": 0, "meta_batch_size": 9}
    options.update(OPTIONS)
    model = network(plain=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    reweighter = gdw.Robust(model, optimizer)
    with pytest.raises(ConfigError, match=r"gdw\.prepare\("):
        reweighter.backward((x, y), (clean_x, clean_y), indices=range(60))
    gdw.prepare(reweighter, (x, y), (clean_x, clean_y), **options)
    clean_targets = reweighter.clean_targets()
    assert clean_targets is not None
    clean_batches = iter(CyclingBatches(20, 9, seed=0))
    for epoch in range(2):
        for indices in EpochBatches(60, 12, seed=0, epoch=epoch):
            optimizer.zero_grad()
            clean = next(clean_batches)
            result = reweighter.backward(
                (x[indices], y[indices]), (clean_x[clean], clean_targets[clean]), indices=indices
            )
            optimizer.step()
            assert result.weights.shape == (12, 3)
            assert bool(result.weights.isfinite().all())
    settings = config(method="robust", momentum=0.0, weight_decay=0.0, **options)
    by_trainer = network(plain=True)
    gdw.Trainer(settings).fit(by_trainer, (x, y), (clean_x, clean_y))
    assert_same(model, by_trainer)


@pytest.mark.parametrize("name", ["glc", "posterior", "robust"])
def test_the_trainer_prepares_the_same(name: str) -> None:
    """The options of the optimizer are those of the reweighter's, the rest are the trainer's defaults."""
    seen: dict[str, Any] = {}

    class Watched(METHODS[name]):  # type: ignore[misc]
        def prepare(self, preparation: Preparation) -> None:
            super().prepare(preparation)
            seen.update(tensors(self))

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METHODS, "watched", Watched)
        settings = config(method="watched", epochs=2, lr=0.05, seed=0)
        gdw.Trainer(settings).fit(network(), data(), data(20, seed=1))
    reweighter = method(name, network())
    gdw.prepare(reweighter, data(), data(20, seed=1), meta_batch_size=9, **OPTIONS)
    assert seen
    assert seen.keys() == tensors(reweighter).keys()
    for key, value in tensors(reweighter).items():
        torch.testing.assert_close(value, seen[key], rtol=0, atol=0)


def tensors(reweighter: Reweighter) -> dict[str, Tensor]:
    """What a method prepared, as its checkpoints hold it."""
    state = reweighter.state_dict()
    prepared = state["stage"] if "stage" in state else state["found"]
    return {name: value for name, value in prepared.items() if isinstance(value, Tensor)}


class Asked(METHODS["plain"]):  # type: ignore[misc]
    """Keeps the preparation that it got."""

    needs_clean = True

    def prepare(self, preparation: Preparation) -> None:
        self.preparation = preparation


def options_for(optimizer: torch.optim.Optimizer, model: nn.Module, /, **options: Any) -> Any:
    reweighter = Asked(model, optimizer)
    gdw.prepare(reweighter, data(), data(20, seed=1), **{**OPTIONS, **options})
    assert isinstance(reweighter.preparation, TrainerPreparation)
    return reweighter.preparation._config


def test_the_options_of_the_optimizer_and_the_model_are_taken_over() -> None:
    model = network().double()
    sgd = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.5, nesterov=True)
    torch.optim.lr_scheduler.LinearLR(sgd, start_factor=0.1)
    chosen = options_for(sgd, model)
    assert (chosen.optimizer, chosen.lr, chosen.momentum) == ("sgd", 0.02, 0.5)
    assert (chosen.nesterov, chosen.weight_decay) == (True, 0.0)
    assert (chosen.precision, chosen.accelerator) == ("64", "cpu")
    adamw = torch.optim.AdamW(model.parameters(), lr=0.003, weight_decay=0.1)
    chosen = options_for(adamw, model)
    assert (chosen.optimizer, chosen.lr, chosen.weight_decay) == ("adamw", 0.003, 0.1)
    chosen = options_for(adamw, model, lr=0.5, seed=7, schedule="constant")
    assert (chosen.lr, chosen.seed, chosen.schedule) == (0.5, 7, "constant")
    rprop = torch.optim.Rprop(model.parameters())
    with pytest.raises(ConfigError, match="to be SGD, Adam or AdamW, found Rprop: name one"):
        options_for(rprop, model)
    assert options_for(rprop, model, optimizer="sgd", lr=0.3).lr == 0.3


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"meta": None}, ConfigError, "method 'GLC' needs some examples whose labels you have"),
        ({"train": (1, 2, 3)}, DataError, r"train: expected a pair \(X, y\)"),
        ({"lrr": 0.1}, ConfigError, "unknown training option 'lrr'. Did you mean 'lr'"),
        ({"method": "plain"}, ConfigError, "method: the reweighter is the method, leave method"),
    ],
)
def test_what_cannot_be_prepared_is_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    defaults: dict[str, Any] = {"train": data(), "meta": data(20, seed=1), **OPTIONS}
    with pytest.raises(error, match=message) as caught:
        gdw.prepare(method("glc", network()), **{**defaults, **arguments})
    assert "\n" not in str(caught.value)
