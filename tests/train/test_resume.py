"""Stopped by a signal, a crash or on purpose: resumed, a run gives what a straight one gives."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gdw.data.examples import Examples
from gdw.errors import RunError
from gdw.reweight import METHODS
from gdw.train import RunFolder, Trainer
from gdw.train.resuming import StoppedTrainingWarning, checksums
from tests.train.small import (
    CLASSES,
    FEATURES,
    At,
    assert_same,
    config,
    ctrl_c,
    data,
    fit,
    network,
    timeless,
)


@pytest.mark.parametrize("method", sorted(METHODS))
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_stopping_and_resuming_is_training_straight_through(
    tmp_path: Path, method: str, optimizer: str
) -> None:
    settings = config(method=method, optimizer=optimizer, lr=0.05, warmup_epochs=1)
    straight, stopped = network(), network()
    whole = fit(straight, settings)
    first = fit(stopped, settings, output=tmp_path / "run", stop_after=2)
    assert (first.epochs_done, first.interrupted) == (2, False)
    resumed = network(seed=9)
    second = fit(resumed, settings, output=tmp_path / "run", resume=True)
    assert_same(resumed, straight)
    assert second.epochs_done == 4
    assert timeless(second.history) == timeless(whole.history)
    assert timeless(RunFolder.open(tmp_path / "run").history()) == timeless(whole.history)


def test_a_model_of_another_form_is_refused_and_nothing_changes(tmp_path: Path) -> None:
    fit(network(plain=True), config(), output=tmp_path / "run", stop_after=2)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    message = r"'0.weight' of the model had the shape \(8, \d\) and has \(9, \d\) now"
    other = nn.Sequential(nn.Linear(FEATURES, 9), nn.Tanh(), nn.Linear(9, CLASSES))
    with pytest.raises(RunError, match=message):
        fit(other, config(), output=tmp_path / "run", resume=True)
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.parametrize("stop_after", [2, None])
@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ("train labels", "the train labels are not those"),
        ("train inputs", "the train inputs are not those"),
        ("meta labels", "the meta labels are not those"),
        ("both", "the train inputs and the meta labels are not those"),
    ],
)
def test_other_data_of_the_same_sizes_are_refused(
    tmp_path: Path, stop_after: int | None, changed: str, named: str
) -> None:
    settings, path = config(method="gdw"), tmp_path / "run"
    Trainer(settings).fit(network(), data(), data(20, seed=1), output=path, stop_after=stop_after)
    (x, y), (u, v) = data(), data(20, seed=1)
    # The same numbers in other containers are the same data.
    same = (x.double().numpy(), y.tolist()), (u.numpy(), v.int())
    Trainer(settings).fit(network(), *same, output=path, resume=True, stop_after=2)
    if changed in ("train inputs", "both"):
        x = x.clone()
        x[7, 2] += 1
    if changed == "train labels":
        y = y.roll(1)
    if changed in ("meta labels", "both"):
        v = v.roll(1)
    with pytest.raises(RunError, match=f"cannot be resumed with other data: {named}"):
        Trainer(settings).fit(network(), (x, y), (u, v), output=path, resume=True)


def test_a_checkpoint_without_checksums_and_unread_data_can_be_resumed(tmp_path: Path) -> None:
    fit(network(), config(), output=tmp_path / "run", stop_after=2)
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        state = torch.load(path, weights_only=True)
        assert state.pop("checksums").keys() == {"train labels", "train inputs"}
        torch.save(state, path)
    fit(network(), config(), output=tmp_path / "run", resume=True, stop_after=3)
    own = list(zip(*data(), strict=True))
    Trainer(config()).fit(network(), own, output=tmp_path / "run", resume=True)


def test_checksums_of_large_inputs_read_a_part_of_them() -> None:
    inputs, labels = torch.zeros(5000, 1000), torch.zeros(5000, dtype=torch.int64)
    before = checksums({"train": Examples(inputs, labels), "meta": None})
    inputs[1] = 1
    assert checksums({"train": Examples(inputs, labels)}) == before
    inputs[::5] += 1
    labels[4999] = 1
    after = checksums({"train": Examples(inputs, labels)})
    assert all(after[name] != before[name] for name in ("train labels", "train inputs"))


@pytest.mark.parametrize("method", ["plain", "gdw"])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_ctrl_c_inside_an_epoch_saves_and_resumes_bit_for_bit(
    tmp_path: Path, method: str, accumulate: int
) -> None:
    settings = config(method=method, accumulate=accumulate)
    straight, stopped, resumed = network(), network(), network(seed=9)
    whole = fit(straight, settings)
    at = At(7, ctrl_c)
    told = r"stopped after 1 of 4 epochs: result.interrupted is True; .*resume=True\) with the same"
    with pytest.warns(StoppedTrainingWarning, match=told):
        first = fit(stopped, settings, output=tmp_path / "run", callbacks=[at])
    assert (first.interrupted, first.epochs_done) == (True, 1)
    # Batch 7 is the second of the second epoch; the step it belongs to is finished, no more.
    assert at.seen == 7
    assert len(first.history) == 1
    second = fit(resumed, settings, output=tmp_path / "run", resume=True)
    assert (second.interrupted, second.epochs_done) == (False, 4)
    assert_same(resumed, straight)
    assert timeless(second.history) == timeless(whole.history)


def test_the_weights_of_an_interrupted_run_are_saved(tmp_path: Path) -> None:
    model, saved = network(), network(seed=9)
    with pytest.warns(StoppedTrainingWarning):
        fit(model, config(), output=tmp_path, callbacks=[At(3, ctrl_c)])
    RunFolder.open(tmp_path).load_model(saved)
    assert_same(saved, model)


def test_a_second_ctrl_c_leaves_at_once_and_handlers_are_restored(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(network(), config(), callbacks=[At(3, lambda: (ctrl_c(), ctrl_c()))])
    assert signal.getsignal(signal.SIGINT) is before


def test_without_a_folder_a_stopped_training_cannot_go_on_and_says_so() -> None:
    with pytest.warns(StoppedTrainingWarning, match="only a training with output= can go on"):
        fit(network(), config(), callbacks=[At(3, ctrl_c)])


def test_a_signal_in_the_last_step_interrupts_nothing_without_an_evaluation() -> None:
    signalled = At(5, ctrl_c)
    result = Trainer(config(epochs=1)).fit(network(), data(), callbacks=[signalled])
    assert not result.interrupted


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_signal_stops_an_evaluation_that_is_made_again_on_resume(
    tmp_path: Path, epochs: int
) -> None:
    straight, stopped, seen = network(), network(), []
    settings = config(epochs=epochs, eval_batch_size=10)
    expected = fit(straight, settings).history

    def forward(model: nn.Module, inputs: Tensor) -> Tensor:
        if not model.training:
            seen.append(len(inputs))
            if len(seen) == 3:  # the first is the check before the training
                ctrl_c()
        return model(inputs)

    trainer = Trainer(settings, forward=forward)
    folder = tmp_path / "run"
    with pytest.warns(StoppedTrainingWarning):
        result = trainer.fit(
            stopped, data(), data(20, seed=1), test=data(30, seed=2), output=folder
        )
    assert (result.interrupted, result.epochs_done, result.history) == (True, 0, [])
    assert len(seen) == 3
    resumed = network(seed=7)
    result = fit(resumed, settings, output=folder, resume=True)
    assert timeless(result.history) == timeless(expected)
    assert_same(resumed, straight)


def test_a_crash_loses_no_more_than_the_epoch(tmp_path: Path) -> None:
    def crash() -> None:
        raise ZeroDivisionError

    straight, resumed = network(), network()
    fit(straight, config())
    with pytest.raises(ZeroDivisionError):
        fit(network(), config(), output=tmp_path, callbacks=[At(13, crash)])
    # A line that was written although its checkpoint was not.
    RunFolder.open(tmp_path).append_history({"epoch": 3, "train_loss": 0.0})
    result = fit(resumed, config(), output=tmp_path, resume=True)
    assert [record["epoch"] for record in result.history] == [1, 2, 3, 4]
    assert_same(resumed, straight)


def test_checkpoints_within_an_epoch(tmp_path: Path) -> None:
    def crash() -> None:
        raise ZeroDivisionError

    straight, resumed, at = network(), network(), At(99, None)
    fit(straight, config())
    with pytest.raises(ZeroDivisionError):
        fit(network(), config(checkpoint_every=2), output=tmp_path, callbacks=[At(5, crash)])
    fit(resumed, config(), output=tmp_path, resume=True, callbacks=[at])
    assert at.seen == 20 - 4
    assert_same(resumed, straight)


def test_augmented_images_resume_bit_for_bit(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (24, 3, 8, 8), generator=generator, dtype=torch.uint8)
    targets = torch.arange(24) % 3

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.out = nn.Linear(192, 3)
            nn.init.constant_(self.out.weight, 0.01)
            nn.init.zeros_(self.out.bias)

        def forward(self, pixels: Tensor) -> Tensor:
            assert pixels.dtype == torch.uint8
            return self.out(pixels.flatten(1).to(self.out.weight.dtype) / 255)

    def fit(augment: str, **options: Any) -> nn.Module:
        model = Scaled()
        settings = config(method="gdw", epochs=2, batch_size=8, meta_batch_size=6, augment=augment)
        Trainer(settings).fit(model, (images, targets), (images[:9], targets[:9]), **options)
        return model

    straight = fit("standard")
    with pytest.warns(StoppedTrainingWarning):
        fit("standard", output=tmp_path, callbacks=[At(2, ctrl_c)])
    assert_same(fit("standard", output=tmp_path, resume=True), straight)
    assert not torch.equal(fit("none").out.weight, straight.out.weight)


def test_resuming_a_finished_run_trains_no_more(tmp_path: Path) -> None:
    model, again, at = network(), network(seed=9), At(99, None)
    first = fit(model, config(), output=tmp_path)
    second = fit(again, config(), output=tmp_path, resume=True, callbacks=[at])
    assert at.seen == 0
    assert (first.epochs_before, second.epochs_before, second.epochs_done) == (0, 4, 4)
    assert second.history == first.history
    assert second.final == first.final
    assert_same(again, model)


def test_resuming_a_run_that_never_began_starts_it(tmp_path: Path) -> None:
    straight, resumed = network(), network()
    fit(straight, config())
    run = RunFolder.create(tmp_path / "run", {"made": "elsewhere"})
    fit(resumed, config(), output=run, resume=True)
    assert_same(resumed, straight)
    assert run.config == {"made": "elsewhere"}
