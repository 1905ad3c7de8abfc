"""A preparation that was stopped: its finished models are kept, and the result is that of a straight run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import Dataset

from gdw.reweight import METHODS
from gdw.train import Trainer
from gdw.train.before_training import StoppedInPreparation
from gdw.train.progress import TRAINING, Progress, Stage
from gdw.train.resuming import PreparedAgainWarning
from tests.train.small import (
    assert_same,
    config,
    ctrl_c,
    data,
    fit,
    interrupt_fit,
    network,
    timeless,
)

PREPARING = ("cleanlab", "forward", "glc", "posterior", "robust")


@pytest.mark.parametrize("method", sorted(METHODS))
def test_methods_plan_the_models_that_they_train(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[tuple[float, ...]] = []
    begun: list[tuple[float, ...]] = []

    def plan(self: Progress, stages: list[Stage], summary: str) -> None:
        planned.extend((stage.epochs, stage.batches, stage.size) for stage in stages)

    def begin(self: Progress, stage: Stage, summary: str | None = None) -> None:
        self._begun.append(stage)
        begun.append((stage.epochs, stage.batches, stage.size))

    monkeypatch.setattr(Progress, "plan", plan)
    monkeypatch.setattr(Progress, "begin", begin)
    fit(network(), config(method=method, lr=0.05))
    assert begun == planned
    assert (len(begun) > 1) == (method in PREPARING)


class _Jittered(Dataset[Any]):
    """A data set of the user's own that draws random numbers whenever it is read."""

    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        self.inputs, self.labels = inputs, targets

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> Any:
        return self.inputs[index] + 0.1 * torch.randn(6), int(self.labels[index])


@pytest.mark.parametrize("method", PREPARING)
@pytest.mark.parametrize("own", [False, True])
def test_a_stopped_preparation_goes_on_bit_for_bit(
    tmp_path: Path, method: str, own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = config(method=method, lr=0.05, warmup_epochs=1)
    sets: Any = (
        [_Jittered(*data()), _Jittered(*data(20, seed=1))] if own else [data(), data(20, seed=1)]
    )
    straight, resumed = network(), network()
    whole = Trainer(settings).fit(straight, *sets)
    fits, trained = {"robust": 11, "posterior": 5, "cleanlab": 5}.get(method, 1), 0
    for number in (1, fits // 2 + 1):
        with monkeypatch.context() as patch:
            begun = interrupt_fit(patch, number)
            with pytest.raises(
                StoppedInPreparation, match=r"call fit\(...\) again, with resume=True"
            ):
                Trainer(settings).fit(resumed, *sets, output=tmp_path / "run", resume=bool(trained))
        trained += len(begun)
    with monkeypatch.context() as patch:
        begun = interrupt_fit(patch, 99)
        last = Trainer(settings).fit(resumed, *sets, output=tmp_path / "run", resume=True)
    # Each stop loses the model that was being trained, and nothing else.
    assert trained + len(begun) == fits + 2
    assert_same(resumed, straight)
    assert timeless(last.history) == timeless(whole.history)
    assert not (tmp_path / "run" / "preparation").exists()


def test_a_signal_between_two_models_stops_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(self: Progress, stage: Stage, summary: str | None = None) -> None:
        self._begun.append(stage)
        ctrl_c()

    monkeypatch.setattr("gdw.reweight.preparation.fit_temperature", lambda *_: ctrl_c() or 1.0)
    with pytest.raises(
        StoppedInPreparation,
        match=r"nothing is kept without a run folder. To go on call fit\(...\) again$",
    ):
        fit(network(), config(method="robust"))
    monkeypatch.setattr(Progress, "begin", stop)
    with pytest.raises(StoppedInPreparation):
        fit(network(), config(method="robust"))


def stopped(folder: Path, patch: pytest.MonkeyPatch, number: int = 4, **options: Any) -> Any:
    settings = config(**{"method": "robust", "progress": "lines", **options})
    with patch.context() as context:
        interrupt_fit(context, number)
        with pytest.raises(
            StoppedInPreparation, match=f"{number - 1} of 11 short trainings are kept"
        ):
            fit(network(), settings, output=folder)
    return settings


def test_other_labels_or_options_prepare_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = stopped(tmp_path / "run", monkeypatch)
    inputs, labels = data()
    labels = labels.clone()
    labels[7] = (labels[7] + 1) % 3
    straight, changed = network(), network()
    Trainer(settings).fit(straight, (inputs, labels), data(20, seed=1))
    output = tmp_path / "run"
    told = "data, options or model have changed since: the preparation starts again"
    with pytest.warns(PreparedAgainWarning, match=told):
        Trainer(settings).fit(
            changed, (inputs, labels), data(20, seed=1), output=output, resume=True
        )
    assert_same(changed, straight)
    stopped(tmp_path / "other", monkeypatch)
    other = config(method="robust", lr=0.02)
    with pytest.warns(PreparedAgainWarning, match=told):
        fit(network(), other, output=tmp_path / "other", resume=True)
    stopped(tmp_path / "same", monkeypatch)
    same = config(method="robust", workers=0, last_epochs=2)
    fit(network(), same, output=tmp_path / "same", resume=True)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", None])
def test_a_damaged_file_is_said_and_its_model_trained_again(
    tmp_path: Path,
    damage: bytes | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = stopped(tmp_path / "run", monkeypatch)
    straight, resumed = network(), network()
    fit(straight, settings)
    file = sorted((tmp_path / "run" / "preparation").iterdir())[1]
    content = file.read_bytes()
    # A flipped bit in the middle, which only the checksum shows.
    half = len(content) // 2
    flipped = content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]
    file.write_bytes(flipped if damage is None else damage)
    capsys.readouterr()
    fit(resumed, settings, output=tmp_path / "run", resume=True)
    told = [line for line in capsys.readouterr().err.splitlines() if "damaged" in line]
    assert len(told) == 1
    assert str(file) in told[0]
    assert told[0].endswith("its training is done again")
    assert_same(resumed, straight)


def test_the_time_of_a_trial_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    settings, tried = config(method="robust", epochs=4, lr=0.01, accumulate=2), []
    learn = Progress.learn
    monkeypatch.setattr("gdw.train.preparing._SHARE_OF_TRIAL", 1 / 10)
    monkeypatch.setattr(Progress, "learn", lambda self, s: (tried.append(s), learn(self, s)))
    one, other = network(), network()
    fit(one, settings)
    assert [sorted(seconds) for seconds in tried] == [[12]]
    monkeypatch.setattr("gdw.train.preparing._LONGEST_TRIAL", 0)
    fit(other, settings)
    assert len(tried) == 1
    assert_same(one, other)


def test_planned_stages_are_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clean examples join each batch of `robust`, and the time knows it."""
    seen: list[Stage] = []
    monkeypatch.setattr(Progress, "plan", lambda self, stages, summary: seen.extend(stages))
    fit(network(), config(method="robust"))
    run = seen[-1]
    assert (run.what, run.evaluated, run.size) == (TRAINING, 30, 12 * (1 + 20 / 60))
