"""One process: what is trained, and what is told about it."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from gdw.data import Examples
from gdw.hypergradient.random_state import RandomState
from gdw.reweight import StepResult
from gdw.train import Callback, RunFolder, TrainConfig, Trainer, evaluate
from tests.train.small import (
    CLASSES,
    assert_same,
    config,
    data,
    fit,
    network,
)


@pytest.mark.parametrize("method", ["plain", "gdw"])
def test_training_leaves_the_global_random_state_alone(method: str) -> None:
    before = RandomState.capture()
    state = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    fit(network(), config(method=method, epochs=1))
    assert random.getstate() == state[0]
    assert np.array_equal(np.random.get_state()[1], state[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), state[2])
    before.restore()


def test_the_seed_and_nothing_else_decides() -> None:
    one, two, other = network(), network(), network()
    fit(one, config(seed=5))
    torch.rand(7)
    fit(two, config(seed=5))
    fit(other, config(seed=6))
    assert_same(one, two)
    assert not torch.equal(one[0].weight, other[0].weight)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_plain_is_ordinary_training(smoothing: float) -> None:
    """The trainer's loop against one written out with torch alone, in float64."""
    settings = config(precision="64", label_smoothing=smoothing, clip_grad_norm=0.5, nesterov=True)
    trained, model = network(), network().double()
    orders: list[list[int]] = []

    class Record(Callback):
        def on_batch(self, epoch: int, indices: Sequence[int], result: StepResult) -> None:
            orders.append(list(indices))

    fit(trained, settings, callbacks=[Record()])
    for epoch in range(4):
        assert sorted(i for batch in orders[5 * epoch : 5 * epoch + 5] for i in batch) == list(
            range(60)
        )
    inputs, targets = data()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4
    )
    loss = nn.CrossEntropyLoss(label_smoothing=smoothing)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        for step, indices in enumerate(orders):
            for group in optimizer.param_groups:
                group["lr"] = 0.1 * 0.5 * (1 + math.cos(math.pi * step / 20))
            optimizer.zero_grad()
            loss(model(inputs[indices].double()), targets[indices]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
    assert_same(trained, model, rtol=1e-10, atol=1e-12)


def test_accumulated_batches_are_one_big_batch() -> None:
    big, small = network(plain=True), network(plain=True)
    fit(big, config(precision="64", batch_size=20))
    fit(small, config(precision="64", batch_size=5, accumulate=4))
    assert_same(small, big, rtol=1e-10, atol=1e-12)


def test_an_incomplete_group_at_the_end_of_an_epoch_is_averaged_over_what_it_has() -> None:
    # Five batches of 12: two steps of two, and one of one.
    result = fit(network(), config(accumulate=2))
    assert [record["step"] for record in result.history] == [3, 6, 9, 12]


def test_history_and_final_figures() -> None:
    model = network()
    result = fit(model, config(method="gdw", last_epochs=3))
    last = result.history[-1]
    figures = evaluate(model, data(30, seed=2))
    assert {f"test_{name}": value for name, value in figures.items()}.items() <= last.items()
    assert (last["epoch"], last["step"]) == (4, 20)
    assert last["lr"] == pytest.approx(0.1 * 0.5 * (1 + math.cos(math.pi * 19 / 20)))
    mean = (CLASSES - 1) * last["weight_other"] + last["weight_label"]
    assert last["weight"] == pytest.approx(mean / CLASSES)
    assert last["meta_loss"] > 0
    assert result.averaged_epochs == 3
    for name in ("test_accuracy", "train_loss", "test_ece"):
        assert result.final[name] == pytest.approx(np.mean([r[name] for r in result.history[-3:]]))
    assert fit(network(), config(epochs=1)).averaged_epochs == 1


def test_train_figures_are_means_over_the_examples() -> None:
    """With a learning rate too small to matter, the epoch's figures are those of the untouched model."""
    model = network(plain=True)
    inputs, targets = data()
    with torch.no_grad():
        logits = model(inputs)
        expected = nn.functional.cross_entropy(logits, targets).item()
    record = fit(model, config(epochs=1, lr=1e-12)).history[0]
    assert record["train_loss"] == pytest.approx(expected, rel=1e-5)
    assert record["train_accuracy"] == pytest.approx(
        (logits.argmax(1) == targets).float().mean().item()
    )
    assert (record["weight"], record["weight_label"], record["meta_loss"]) == (1.0, 1.0, None)


def test_each_record_is_of_its_own_epoch() -> None:
    losses: dict[int, list[float]] = {}
    meta_losses: dict[int, list[float]] = {}

    class Record(Callback):
        def on_batch(self, epoch: int, indices: Sequence[int], result: StepResult) -> None:
            losses.setdefault(epoch, []).append(float(result.loss))
            if result.meta_loss is not None:
                meta_losses.setdefault(epoch, []).append(float(result.meta_loss))

    settings = config(method="gdw", method_options={"meta_every": 2})
    history = fit(network(), settings, callbacks=[Record()]).history
    assert sum(map(len, meta_losses.values())) == 10
    for record in history:
        assert record["train_loss"] == pytest.approx(np.mean(losses[record["epoch"]]))
        assert record["meta_loss"] == pytest.approx(np.mean(meta_losses[record["epoch"]]))


class _Pairs(Dataset[tuple[Any, int]]):
    """A user's own data set, of tuples of inputs."""

    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        self.inputs, self.targets = inputs, targets.tolist()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.inputs[index], self.targets[index]


@pytest.mark.parametrize("kind", ["tensors", "arrays", "examples", "dataset", "float64", "int32"])
def test_data_may_come_in_many_forms(kind: str) -> None:
    inputs, targets = data()
    forms = {
        "tensors": (inputs, targets),
        "arrays": (inputs.numpy(), targets.numpy()),
        "examples": Examples(inputs, targets),
        "dataset": _Pairs(inputs, targets),
        "float64": (inputs.double().numpy(), targets.tolist()),
        "int32": (inputs, targets.int()),
    }
    expected, model = network(), network()
    fit(expected, config(epochs=1))
    Trainer(config(epochs=1)).fit(model, forms[kind])
    assert_same(model, expected)


def test_loader_workers_change_nothing() -> None:
    alone, helped = network(), network()
    fit(alone, config(epochs=1))
    fit(helped, config(epochs=1, workers=1))
    assert_same(helped, alone)


def test_bfloat16_trains_float32_parameters(caplog: pytest.LogCaptureFixture) -> None:
    model = network()
    seen: list[torch.dtype] = []

    class Dtypes(Callback):
        def on_batch(self, epoch: int, indices: Sequence[int], result: StepResult) -> None:
            seen.append(result.logits.dtype)

    result = fit(model, config(method="gdw", precision="bf16", epochs=2), callbacks=[Dtypes()])
    assert not caplog.records, "Fabric would say that it uses bfloat16"
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert set(seen) == {torch.bfloat16}
    exact = fit(network(), config(method="gdw", epochs=2))
    difference = abs(result.history[0]["train_loss"] - exact.history[0]["train_loss"])
    assert 0 < difference < 0.05


def test_forward_says_how_to_get_logits() -> None:
    class Output(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def forward(self, features: Tensor) -> dict[str, Tensor]:
            return {"scores": self.net(features)}

    model, expected = Output(), network()
    trainer = Trainer(config(epochs=1), forward=lambda module, inputs: module(inputs)["scores"])
    trainer.fit(model, data())
    Trainer(config(epochs=1)).fit(expected, data())
    assert_same(model.net, expected)
    assert trainer.evaluate(model, data()) == evaluate(expected, data())


def test_augmentation_is_another_one_in_every_batch() -> None:
    images = torch.arange(3 * 64, dtype=torch.uint8).reshape(1, 3, 8, 8)
    seen: list[Tensor] = []

    class Watch(nn.Linear):
        def forward(self, pixels: Tensor) -> Tensor:
            if self.training:
                seen.append(pixels)
            return super().forward(pixels.flatten(1).float())

    settings = config(epochs=6, batch_size=1, augment="standard", lr=1e-9)
    Trainer(settings).fit(Watch(192, 3), (images, torch.tensor([0])))
    assert len(seen) == 6
    assert len({pixels.numpy().tobytes() for pixels in seen}) > 3


def test_a_run_folder_holds_what_design_says(tmp_path: Path) -> None:
    model, loaded = network(), network(seed=9)
    fit(model, config(method="gdw"), output=tmp_path / "run")
    run = RunFolder.open(tmp_path / "run")
    assert {path.name for path in run.path.iterdir()} == {
        "config.yaml",
        "history.jsonl",
        "checkpoints",
        "model.safetensors",
    }
    assert TrainConfig(**run.config) == config(method="gdw")
    lines = (run.path / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == [1, 2, 3, 4]
    run.load_model(loaded)
    assert_same(loaded, model)
