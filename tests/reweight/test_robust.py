"""`Robust`: posterior labels as closed-form class-level weights."""

from __future__ import annotations

import copy
import math
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import gdw
from gdw.errors import ConfigError, DataError
from gdw.functional import implied_weights
from gdw.hypergradient.inputs import join_batches
from gdw.reweight.robust.method import RobustOptions
from gdw.reweight.robust.search import find_targets
from gdw.reweight.robust.targets import PosteriorTargets, corrected_gradient
from gdw.train.loop import Loop
from tests.reweight.blobs import CLASSES, Blobs, Knowing
from tests.reweight.setting import F64, Setting, assert_close, batches


def test_a_state_of_another_version_is_refused() -> None:
    stage = find_targets(Knowing(Blobs([60, 60, 60])), RobustOptions())
    state = stage.state_dict()
    del state["trust"]
    with pytest.raises(ConfigError, match="start it again"):
        PosteriorTargets.from_state(state)


def test_a_stage_is_the_same_after_saving() -> None:
    stage = find_targets(Knowing(Blobs([60, 60, 60])), RobustOptions())
    again = PosteriorTargets.from_state(stage.state_dict())
    assert again is not None
    for name, value in vars(stage).items():
        other = getattr(again, name)
        assert torch.equal(other, value) if isinstance(value, Tensor) else other == value, name


def test_the_model_in_training_has_its_say_in_the_targets() -> None:
    setting, blobs = prepared()
    reweighter = setting.reweighter
    assert isinstance(reweighter, gdw.Robust)
    stage = reweighter._targets
    assert stage is not None
    weight = torch.ones(120)
    weight[[33, 41]] = 0.25
    stage = reweighter._targets = replace(stage, trust=0.3, weight=weight)
    rows = list(range(30, 50))
    batch, meta = (blobs.x[rows], blobs.given[rows]), (blobs.clean_x, blobs.clean)
    twin = copy.deepcopy(setting.model)
    reweighter.backward(batch, meta, indices=rows)
    z = twin(torch.cat([batch[0], meta[0][:5]]))
    moved = z[:20] + stage.offset
    target = torch.empty(20, CLASSES)
    for i, (label, p) in enumerate(zip(batch[1].tolist(), moved.detach().softmax(1), strict=True)):
        own = p * stage.noise[:, label]
        mixed = own**0.3 * stage.labels[rows[i]] ** 0.7
        target[i] = mixed / mixed.sum()
    given = F.cross_entropy(moved, target, reduction="none")
    losses = torch.cat([given, F.cross_entropy(z[20:], meta[1][:5], reduction="none")])
    counts = torch.cat([weight[rows], torch.ones(5)])
    ((counts * losses).sum() / counts.sum()).backward()
    assert_close(setting.gradient(), [p.grad for p in twin.parameters()], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("noisy", [False, True])
def test_the_corrected_gradient_is_that_of_the_corrected_loss(noisy: bool) -> None:
    torch.manual_seed(0)
    z = torch.randn(5, CLASSES, dtype=F64, requires_grad=True)
    q, offset = torch.rand(5, CLASSES, dtype=F64).softmax(1), torch.randn(CLASSES, dtype=F64)
    doubtful = torch.tensor([True, False, True, True, False])
    noise = torch.rand(CLASSES, CLASSES, dtype=F64).softmax(1) if noisy else None
    losses, d1 = corrected_gradient(z, q, doubtful, offset=offset, noise=noise)
    moved = z + offset * doubtful[:, None]
    expected = F.cross_entropy(moved, q, reduction="none")
    if noise is not None:
        forward = -(moved.softmax(1) * (q @ noise.T)).sum(1).log()
        expected = torch.where(doubtful, forward, expected)
    (gradient,) = torch.autograd.grad(expected.sum(), z)
    if noise is None:
        torch.testing.assert_close(losses, expected.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(d1, gradient, rtol=1e-11, atol=1e-13)


def test_implied_weights_make_the_one_gradient_of_the_other() -> None:
    torch.manual_seed(0)
    plain, weights = torch.randn(4, 5, dtype=F64), 2 * torch.rand(4, 5, dtype=F64) - 1
    torch.testing.assert_close(implied_weights(weights * plain, plain), weights)
    torch.testing.assert_close(implied_weights(plain, plain), torch.ones(4, 5, dtype=F64))
    beyond = implied_weights(torch.tensor([[3.0, -3.0, 0.0, 1.0]]), torch.tensor([[1.0, 1, 0, 0]]))
    assert beyond.tolist() == [[1.0, -1.0, 1.0, 1.0]]


def prepared(**options: Any) -> tuple[Setting, Blobs]:
    blobs = Blobs([60, 40, 20])
    torch.manual_seed(0)
    setting = Setting.of("robust", nn.Linear(2, CLASSES), labels=None, **options)
    setting.reweighter.prepare(Knowing(blobs))
    return setting, blobs


def test_a_step_is_on_given_rows_towards_q_and_on_clean_rows_as_they_are() -> None:
    setting, blobs = prepared()
    reweighter = setting.reweighter
    assert isinstance(reweighter, gdw.Robust)
    q = reweighter.label_posterior()
    assert q is not None
    stage = reweighter._targets
    assert stage is not None
    indices = list(range(40, 60))
    stage = reweighter._targets = replace(stage, trust=0.0, weight=torch.ones(120))
    stage.weight[[41, 47, 55]] = 0
    batch, meta = (blobs.x[indices], blobs.given[indices]), (blobs.clean_x, blobs.clean)
    rows = stage.clean_rows(20, 30)
    assert rows == 5  # a quarter: 30 clean beside 120 given
    twin = copy.deepcopy(setting.model)
    step = reweighter.backward(batch, meta, indices=indices)
    z = twin(torch.cat([batch[0], meta[0][:rows]]))
    given = F.cross_entropy(z[:20] + stage.offset, q[indices], reduction="none")
    clean = F.cross_entropy(z[20:], meta[1][:rows], reduction="none")
    kept = stage.weight[indices] > 0
    assert kept.sum() == 17
    torch.cat([given[kept], clean]).mean().backward()
    assert_close(setting.gradient(), [p.grad for p in twin.parameters()], rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(step.loss, F.cross_entropy(z[:20].detach(), batch[1]))
    assert step.logits.shape == step.weights.shape == (20, CLASSES)
    # What the given labels are compared with, in the audit, has their class frequencies.
    torch.testing.assert_close(step.label_logits, (z[:20] + stage.offset).detach())
    assert not step.weights[~kept].any()
    trusted = step.weights.gather(1, batch[1][:, None]).squeeze(1)
    wrong = batch[1] != blobs.true[indices]
    assert trusted[~wrong].mean() > trusted[wrong].mean() + 0.3


def test_label_smoothing_reaches_the_prepared_targets() -> None:
    setting, blobs = prepared(label_smoothing=0.2, own=False, leave_out=False)
    q, offset = setting.reweighter.label_posterior(), setting.reweighter._targets.offset
    batch, meta = (blobs.x[:20], blobs.given[:20]), (blobs.clean_x, blobs.clean)
    twin = copy.deepcopy(setting.model)
    setting.reweighter.backward(batch, meta, indices=range(20))
    z = twin(torch.cat([batch[0], meta[0][:5]]))
    targets = torch.cat([q[:20], F.one_hot(meta[1][:5], CLASSES).float()])
    moved = torch.cat([z[:20] + offset, z[20:]])
    F.cross_entropy(moved, targets, label_smoothing=0.2).backward()
    assert_close(setting.gradient(), [p.grad for p in twin.parameters()], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        (range(117, 121), "from 0 to 119, as gdw.prepare saw 120 examples; found 120"),
        ([-1, 0, 1, 2], "found -1"),
        (range(3), r"shape \(4,\), found torch.int64 of shape \(3,\)"),
        (torch.arange(4).reshape(1, 4), r"found torch.int64 of shape \(1, 4\)"),
        ([0.0, 1.5, 2.0, 3.0], "found torch.float"),
        (torch.tensor([True, False, True, True]), "torch.bool"),
        ("abcd", "found str"),
    ],
)
def test_indices_that_are_no_positions_of_the_batch_are_refused(indices: Any, message: str) -> None:
    setting, blobs = prepared()
    with pytest.raises(
        DataError, match=f"indices should be positions in the training set.*{message}"
    ):
        setting.reweighter.backward(
            (blobs.x[:4], blobs.given[:4]), (blobs.clean_x, blobs.clean), indices=indices
        )


def test_once_prepared_it_must_know_which_examples_are_in_a_batch() -> None:
    setting, blobs = prepared()
    with pytest.raises(
        ConfigError, match=r"indices=indices.* positions of the batch.* or let the data set"
    ):
        setting.reweighter.backward((blobs.x[:4], blobs.given[:4]), (blobs.clean_x, blobs.clean))
    with pytest.raises(ConfigError, match=r"clean examples to each batch.*gdw\.data\.pair"):
        setting.reweighter.backward((blobs.x[:4], blobs.given[:4]), indices=range(4))


def test_before_it_is_prepared_it_says_how() -> None:
    setting = Setting.of("robust", labels=None)
    (batch,), (meta,) = batches(1), batches(1, seed=1)
    with pytest.raises(
        ConfigError, match=r"gdw\.prepare\(reweighter, .*\) once, or .*gdw\.Trainer"
    ):
        setting.step(batch, meta)
    assert all(p.grad is None for p in setting.model.parameters())


def test_a_state_of_version_0_1_0_is_taken_over() -> None:
    first, second = prepared()[0], Setting.of("robust", nn.Linear(2, CLASSES), labels=None)
    state = first.reweighter.state_dict()
    old = {**state, "method": "GDW", "head": None, "learned_weights": None, "zero_sum": None}
    second.reweighter.load_state_dict(old)
    assert torch.equal(second.reweighter.label_posterior(), first.reweighter.label_posterior())
    with pytest.raises(ConfigError, match="expected a state of Robust"):
        second.reweighter.load_state_dict({**old, "stage": None})


def test_one_label_per_example_is_needed() -> None:
    model = nn.Sequential(nn.Conv1d(2, CLASSES, 1)).double()
    setting = Setting.of("robust", model)
    batch = torch.randn(4, 2, 6, dtype=F64), torch.randint(CLASSES, (4, 6))
    with pytest.raises(DataError, match=r"expected logits of shape \(N, C\)"):
        setting.reweighter.backward(batch, batch, indices=range(4))


def test_batches_of_mappings_are_joined_by_their_parts() -> None:
    first = {"a": torch.zeros(3, 2), "b": (torch.zeros(3),)}, torch.arange(3)
    second = {"a": torch.ones(4, 2), "b": (torch.ones(4),)}, torch.arange(4)
    inputs, targets = join_batches(first, second, 2)
    assert inputs["a"][:, 0].tolist() == inputs["b"][0].tolist() == [0, 0, 0, 1, 1]
    assert targets.tolist() == [0, 1, 2, 0, 1]


def test_classes_beside_probabilities_are_joined_as_probabilities() -> None:
    hard, soft = (torch.zeros(2, 1), torch.tensor([1, 0])), (torch.ones(2, 1), torch.eye(2))
    _, targets = join_batches(hard, soft, 1)
    assert targets.tolist() == [[0, 1], [1, 0], [1, 0]]
    with pytest.raises(DataError, match="one form"):
        join_batches(hard, (torch.ones(2, 1, dtype=torch.uint8), torch.tensor([1, 0])), 1)


def test_a_trainer_trains_clean_rows_towards_what_the_stage_says() -> None:
    blobs = Blobs([60, 60, 60])
    trainer = gdw.Trainer(method="robust", epochs=2, batch_size=30, progress="none")
    seen: list[tuple[Tensor, Tensor]] = []
    stages: list[PosteriorTargets] = []
    backward = gdw.Robust.backward

    def spy(self: gdw.Robust, batch: Any, meta_batch: Any, *, indices: Any) -> Any:
        assert self._targets is not None
        stages.append(self._targets)
        seen.append(meta_batch)
        return backward(self, batch, meta_batch, indices=indices)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gdw.Robust, "backward", spy)
        trainer.fit(nn.Linear(2, CLASSES), (blobs.x, blobs.given), (blobs.clean_x, blobs.clean))
    rows = [tuple(x) for x in blobs.clean_x.tolist()]
    assert len(seen) == 12
    for inputs, targets in seen:
        known = [rows.index(tuple(x)) for x in inputs.tolist()]
        assert torch.equal(targets, stages[0].clean[known])
    assert (stages[0].clean.amax(1) < 1).any()


def test_clean_rows_are_not_to_be_added_twice() -> None:
    assert gdw.Robust.takes_clean({})
    assert not gdw.GDW.takes_clean({"preset": "short"})


def test_a_run_ends_when_a_signal_meets_the_last_epoch_of_its_preparation() -> None:
    blobs = Blobs([30, 30, 30])

    trainer = gdw.Trainer(
        method="robust",
        epochs=1,
        batch_size=30,
        lr=0.05,
        progress="none",
    )
    evaluate = Loop._close_epoch
    closed: list[int] = []

    def close(self: Loop, interrupt: Any) -> Any:
        closed.append(self.position.epoch)
        if len(closed) == 1 + preparing_epochs:
            os.kill(os.getpid(), signal.SIGINT)
        return evaluate(self, interrupt)

    preparing_epochs = 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "_close_epoch", close)
        with pytest.raises(KeyboardInterrupt, match="stopped during preparation"):
            trainer.fit(nn.Linear(2, CLASSES), (blobs.x, blobs.given), (blobs.clean_x, blobs.clean))


def test_in_a_trainer_it_beats_plain_training_and_resumes_bit_for_bit(tmp_path: Path) -> None:
    blobs, test = Blobs([300, 100, 40]), Blobs([100, 100, 100], seed=1)
    options: dict[str, Any] = {"epochs": 4, "batch_size": 20, "lr": 0.05, "progress": "none"}

    def train(method: str, **more: Any) -> tuple[nn.Module, float]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, CLASSES))
        trainer = gdw.Trainer(method=method, **options)
        parts = [more.pop("stop", None), None]
        for stop in parts if parts[0] else [None]:
            resume = {"resume": True} if parts[0] and stop is None else {}
            trainer.fit(
                model,
                (blobs.x, blobs.given),
                (blobs.clean_x, blobs.clean),
                stop_after=stop,
                **more,
                **resume,
            )
        return model, trainer.evaluate(model, (test.x, test.true))["accuracy"]

    _, plain = train("plain")
    straight, robust = train("robust")
    assert robust > plain + 0.1
    assert not math.isnan(robust)
    resumed, _ = train("robust", stop=2, output=tmp_path / "run")
    for name, value in straight.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
