"""What a method may do before training: see the labels, fit copies of the model; and draw clean batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

import gdw
from gdw.data.examples import Examples
from gdw.errors import ConfigError
from gdw.reweight import METHODS, Plain, Preparation, StepResult, Subset
from gdw.train.monitoring import Callback

GIVEN, CLEAN = 12, 6


def line(n: int, start: float) -> Tensor:
    return torch.arange(n, dtype=torch.float32)[:, None] + start


def sets(as_tuple: bool = True) -> tuple[Any, Any]:
    given = line(GIVEN, 0.0), torch.arange(GIVEN) % 3
    clean = line(CLEAN, 100.0), torch.arange(CLEAN) % 3
    return (given, clean) if as_tuple else (_Items(*given), _Items(*clean))


class _Items(torch.utils.data.Dataset[Any]):
    """A map-style data set of the user's own, inputs in a mapping."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, i: int) -> Any:
        return {"x": self.x[i]}, int(self.y[i])


class Recorder(nn.Module):
    """Logits that show the input: `z = (x, 0, w)`."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        column = x[:, 0]
        return torch.stack([column, torch.zeros_like(column), self.w.expand_as(column)], 1)


def prepared_with(
    monkeypatch: pytest.MonkeyPatch, act: Any, *, as_tuple: bool = True, **options: Any
) -> None:
    class Looking(Plain):
        needs_clean = True

        def prepare(self, preparation: Preparation) -> None:
            act(preparation)

    monkeypatch.setitem(METHODS, "looking", Looking)
    given, clean = sets(as_tuple)
    trainer = gdw.Trainer(method="looking", epochs=1, batch_size=4, progress="none", **options)
    trainer.fit(Recorder(), given, clean)


@pytest.mark.parametrize("as_tuple", [True, False])
def test_labels_and_predictions_come_in_the_order_asked_for(
    monkeypatch: pytest.MonkeyPatch, as_tuple: bool
) -> None:
    seen = []

    def act(preparation: Preparation) -> None:
        assert preparation.given.tolist() == [i % 3 for i in range(GIVEN)]
        assert preparation.clean is not None
        assert preparation.clean.tolist() == [i % 3 for i in range(CLEAN)]
        assert preparation.num_classes == 3
        mixed = [Subset("clean", torch.tensor([5, 0])), Subset("given", torch.tensor([3]))]
        predict = preparation.fit(mixed, epochs=2)
        for part, start in (("given", 0.0), ("clean", 100.0)):
            p = predict(Subset(part, torch.tensor([2, 0, 1])))  # type: ignore[arg-type]
            logits = p.log()
            seen.append((logits[:, 0] - logits[:, 1] - start).tolist())

    prepared_with(monkeypatch, act, as_tuple=as_tuple)
    assert seen[0] == pytest.approx([2.0, 0.0, 1.0], abs=1e-5)


def test_fit_trains_a_copy_on_the_given_targets(monkeypatch: pytest.MonkeyPatch) -> None:
    def act(preparation: Preparation) -> None:
        everything = torch.arange(GIVEN)
        third = torch.zeros(GIVEN, 3)
        third[:, 2] = 1
        up = preparation.fit([Subset("given", everything, third)], epochs=5)
        down = preparation.fit([Subset("given", everything, torch.zeros(GIVEN).long())], epochs=5)
        zero = Subset("given", torch.tensor([0]))
        assert up(zero)[0, 2] > 1 / 3 > down(zero)[0, 2]

    prepared_with(monkeypatch, act, lr=0.01)


def test_a_resumed_run_does_not_prepare_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[str] = []

    class Looking(Plain):
        def prepare(self, preparation: Preparation) -> None:
            calls.append("prepare")

        def begin_epoch(self, epoch: int, epochs: int) -> None:
            calls.append(f"{epoch} of {epochs}")

    monkeypatch.setitem(METHODS, "looking", Looking)
    given, _ = sets()
    trainer = gdw.Trainer(method="looking", epochs=2, batch_size=4, lr=1e-3, progress="none")
    trainer.fit(Recorder(), given, output=tmp_path / "run", stop_after=1)
    trainer.fit(Recorder(), given, output=tmp_path / "run", resume=True)
    assert calls == ["prepare", "1 of 2", "2 of 2"]


def test_an_epoch_of_clean_batches_is_as_long_and_says_which(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class SecondEpochClean(Plain):
        needs_clean = True

        def trains_on(self, epoch: int, epochs: int) -> Literal["given", "clean"]:
            return "clean" if epoch == epochs else "given"

    class Watch(Callback):
        seen: list[tuple[int, list[int], list[float]]] = []  # noqa: RUF012

        def on_batch(self, epoch: int, indices: Any, result: StepResult) -> None:
            self.seen.append((epoch, list(indices), result.logits[:, 0].tolist()))

    monkeypatch.setitem(METHODS, "late", SecondEpochClean)
    given, clean = sets()
    trainer = gdw.Trainer(method="late", epochs=2, batch_size=4, lr=1e-3, progress="none")
    trainer.fit(Recorder(), given, clean, callbacks=[Watch()])
    first = [i for epoch, indices, _ in Watch.seen for i in indices if epoch == 1]
    second = [i for epoch, indices, _ in Watch.seen for i in indices if epoch == 2]
    assert sorted(first) == list(range(GIVEN))
    assert sorted(second) == sorted([*range(GIVEN, GIVEN + CLEAN)] * 2)
    for _, indices, values in Watch.seen:
        assert values == [i if i < GIVEN else 100 + i - GIVEN for i in indices]


def test_a_method_in_need_of_clean_examples_is_refused_without(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Wanting(Plain):
        needs_clean = True

    monkeypatch.setitem(METHODS, "wanting", Wanting)
    given, _ = sets()
    trainer = gdw.Trainer(method="wanting", epochs=1, progress="none")
    with pytest.raises(ConfigError, match="needs some examples whose labels you have verified"):
        trainer.fit(Recorder(), Examples(*given))
