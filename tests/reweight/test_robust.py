"""The preset "robust": posterior labels as closed-form class-level weights, and what it does without them."""

from __future__ import annotations

import copy
import math
import os
import signal
from collections.abc import Sequence
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
from gdw.functional.noise_posterior import NoisePosterior
from gdw.hypergradient.batch import joined
from gdw.reweight import Predict, Subset, posterior_search
from gdw.reweight.offset import corrected_gradient
from gdw.reweight.posterior_options import PosteriorOptions
from gdw.reweight.posterior_search import find_posterior
from gdw.reweight.posterior_stage import PosteriorStage
from gdw.train.loop import Loop
from tests.reweight.setting import F64, Setting, assert_close, batches

CLASSES = 3


class Blobs:
    """Three classes of 2-d points, given labels flipped to the next class with probability 0.4."""

    def __init__(self, sizes: Sequence[int], clean: int = 30, *, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.true = torch.cat([torch.full((n,), k) for k, n in enumerate(sizes)])
        self.x = self._points(self.true, generator)
        flipped = torch.rand(len(self.true), generator=generator) < 0.4
        self.given = torch.where(flipped, (self.true + 1) % CLASSES, self.true)
        self.clean = torch.arange(clean) % CLASSES
        self.clean_x = self._points(self.clean, generator)

    @staticmethod
    def _points(labels: Tensor, generator: torch.Generator) -> Tensor:
        corners = 2.0 * torch.tensor([[1.0, 0.0], [-0.5, 0.87], [-0.5, -0.87]])
        return corners[labels] + 0.7 * torch.randn(len(labels), 2, generator=generator)

    def posterior_of_class(self, x: Tensor) -> Tensor:
        """`p(k|x)` under balanced classes: what a perfect model of the clean examples says."""
        corners = 2.0 * torch.tensor([[1.0, 0.0], [-0.5, 0.87], [-0.5, -0.87]])
        return (-torch.cdist(x, corners).square() / (2 * 0.7**2)).softmax(1)


class Knowing:
    """A preparation whose models are perfect."""

    epochs, batch_size, seed, num_classes = 4, 20, 0, CLASSES
    unseen_are_useless = False

    def __init__(self, blobs: Blobs) -> None:
        self._blobs, self.given, self.clean = blobs, blobs.given, blobs.clean
        self.fits: list[tuple[list[Subset], Tensor | None, Tensor | None]] = []
        self.said: list[str] = []

    def say(self, what: str) -> None:
        self.said.append(what)

    def fit(
        self,
        subsets: Sequence[Subset],
        *,
        epochs: int | None = None,
        seed: int = 0,
        what: str = "",
        offset: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Predict:
        self.fits.append((list(subsets), offset, noise))

        def predict(subset: Subset) -> Tensor:
            x = self._blobs.x if subset.part == "given" else self._blobs.clean_x
            p = self._blobs.posterior_of_class(x[subset.indices])
            return p.flip(0) if noise is not None and self.unseen_are_useless else p

        return predict


def test_posterior_labels_find_the_true_classes_and_their_shares() -> None:
    blobs = Blobs([900, 300, 60])
    preparation = Knowing(blobs)
    stage = find_posterior(preparation)
    assert stage is not None
    right = (stage.labels.argmax(1) == blobs.true).float()
    assert right.mean() > 0.95
    assert (blobs.given == blobs.true).float().mean() < 0.65
    shares = torch.tensor([900, 300, 60]) / 1260
    expected = (shares * CLASSES).log()
    torch.testing.assert_close(stage.offset, expected, rtol=0, atol=0.15)
    assert stage.share == 0.1  # 30 clean of 1,260, but a tenth at least


def test_out_of_fold_models_have_not_seen_what_they_speak_about() -> None:
    blobs = Blobs([60, 60, 60])
    preparation = Knowing(blobs)
    find_posterior(preparation)
    clean_fits, fold_fits = preparation.fits[:5], preparation.fits[5:]
    assert all(s.part == "clean" for subsets, _, _ in clean_fits for s in subsets)
    assert len(fold_fits) == 3
    left_out: list[int] = []
    for subsets, offset, noise in fold_fits:
        assert [s.part for s in subsets] == ["given", "clean"]
        assert subsets[0].targets is None
        assert offset is not None
        assert noise is not None
        assert len(subsets[1].indices) == 30  # each once, though 20 would be a sixth of 120
        left_out += set(range(180)) - set(subsets[0].indices.tolist())
    assert sorted(left_out) == list(range(180))


def test_few_clean_rows_are_repeated_for_out_of_fold_models() -> None:
    preparation = Knowing(Blobs([300, 300, 300], clean=12))
    find_posterior(preparation)
    for subsets, _, _ in preparation.fits[5:]:
        # A tenth of 600.
        assert sorted(subsets[1].indices.tolist()) == sorted([*range(12)] * 5)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_labels_of_any_whole_type_will_do(dtype: torch.dtype) -> None:
    preparation = Knowing(Blobs([60, 60, 60]))
    expected = find_posterior(preparation)
    preparation.given = preparation.given.to(dtype)
    found = find_posterior(preparation)
    assert expected is not None
    assert found is not None
    assert torch.equal(found.labels, expected.labels)
    assert torch.equal(found.weight, expected.weight)


def test_the_balance_of_out_of_fold_models_is_not_for_leaving_out() -> None:
    preparation = Knowing(Blobs([300, 100, 30]))
    labels = []
    for balance in (True, False):
        stage = find_posterior(preparation, PosteriorOptions(balance=balance))
        assert stage is not None
        assert bool(stage.offset.any()) == balance
        labels.append(stage.labels)
    assert torch.equal(*labels)
    assert all(offset.any() for _, offset, noise in preparation.fits if noise is not None)


def test_a_state_of_another_version_is_refused() -> None:
    stage = find_posterior(Knowing(Blobs([60, 60, 60])))
    assert stage is not None
    state = stage.state_dict()
    del state["trust"]
    with pytest.raises(ConfigError, match="start it anew"):
        PosteriorStage.from_state(state)


def test_useless_out_of_fold_models_are_not_believed() -> None:
    blobs = Blobs([300, 300, 300])
    found = {}
    for useless in (False, True):
        preparation = Knowing(blobs)
        preparation.unseen_are_useless = useless
        stage = find_posterior(preparation)
        assert stage is not None
        found[useless] = stage.labels
    right = {k: (q.argmax(1) == blobs.true).float().mean() for k, q in found.items()}
    assert right[True] > right[False] - 0.01 > 0.94


def test_each_part_can_be_left_out() -> None:
    preparation = Knowing(Blobs([200, 100, 50]))
    whole = find_posterior(preparation)
    bare = find_posterior(preparation, PosteriorOptions(folds=0, balance=False, leave_out=False))
    assert whole is not None
    assert bare is not None
    assert len(preparation.fits) == 5 + 3 + 5
    assert not bare.offset.any()
    assert bare.weight.eq(1).all()
    assert bare.trust == 0
    assert whole.offset.abs().max() > 0.3


@pytest.mark.parametrize(
    "wrong", [{"fold": 3}, {"folds": 1}, {"folds": "3"}, {"balance": 1}, "yes", {"folds": True}]
)
def test_options_of_the_posterior_that_do_not_fit_are_named(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="posterior"):
        Setting.of("gdw", labels=None, posterior=wrong)


def test_options_of_the_posterior_ask_for_it() -> None:
    assert gdw.GDW.takes_clean({"posterior": {"folds": 0}})
    assert gdw.GDW.takes_clean({"posterior": {}})


def test_a_stage_is_the_same_after_saving() -> None:
    stage = find_posterior(Knowing(Blobs([60, 60, 60])))
    assert stage is not None
    again = PosteriorStage.from_state(stage.state_dict())
    assert again is not None
    for name, value in vars(stage).items():
        other = getattr(again, name)
        assert torch.equal(other, value) if isinstance(value, Tensor) else other == value, name


def test_contradicted_labels_are_left_out_unless_the_posterior_is_sure() -> None:
    found = NoisePosterior(
        responsibilities=torch.tensor([[0.6, 0.4], [0.6, 0.4], [0.99, 0.01], [0.2, 0.8]]).double(),
        transition=torch.tensor([[0.8, 0.2], [0.2, 0.8]]).double(),
        class_prior=torch.tensor([0.5, 0.5]).double(),
        log_likelihoods=(),
    )
    joint = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9]]).double()
    found_out = posterior_search._contradicted(joint, found, torch.tensor([0, 1, 1, 1]))
    assert found_out.tolist() == [False, True, False, False]


@pytest.mark.parametrize("useless", [False, True])
def test_training_is_believed_as_far_as_out_of_fold_models_were(useless: bool) -> None:
    preparation = Knowing(Blobs([300, 300, 300]))
    preparation.unseen_are_useless = useless
    stages = [find_posterior(preparation, PosteriorOptions(own=own)) for own in (True, False)]
    own, never = (stage for stage in stages if stage is not None)
    assert never.trust == 0
    assert torch.equal(own.labels, never.labels)
    # What training may not judge is left out, as far as it may not.
    assert torch.equal(own.weight, torch.where(never.weight == 0, own.trust, 1.0))
    assert (never.weight == 0).any()
    assert own.trust == 0 if useless else own.trust > 0.5


def test_the_model_in_training_has_its_say_in_the_targets() -> None:
    setting, blobs = prepared()
    reweighter = setting.reweighter
    assert isinstance(reweighter, gdw.GDW)
    stage = reweighter._stage
    assert stage is not None
    weight = torch.ones(120)
    weight[[33, 41]] = 0.25
    stage = reweighter._stage = replace(stage, trust=0.3, weight=weight)
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
    setting = Setting.of("gdw", nn.Linear(2, CLASSES), labels=None, preset="robust", **options)
    setting.reweighter.prepare(Knowing(blobs))
    return setting, blobs


def test_a_step_is_on_given_rows_towards_q_and_on_clean_rows_as_they_are() -> None:
    setting, blobs = prepared()
    reweighter = setting.reweighter
    assert isinstance(reweighter, gdw.GDW)
    q = reweighter.label_posterior()
    assert q is not None
    stage = reweighter._stage
    assert stage is not None
    indices = list(range(40, 60))
    stage = reweighter._stage = replace(stage, trust=0.0, weight=torch.ones(120))
    stage.weight[[41, 47, 55]] = 0
    batch, meta = (blobs.x[indices], blobs.given[indices]), (blobs.clean_x, blobs.clean)
    rows = stage.rows(20, 30)
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
    assert not step.weights[~kept].any()
    trusted = step.weights.gather(1, batch[1][:, None]).squeeze(1)
    wrong = batch[1] != blobs.true[indices]
    assert trusted[~wrong].mean() > trusted[wrong].mean() + 0.3


def test_clean_examples_among_the_training_set_are_taken_as_they_are() -> None:
    setting, blobs = prepared()
    twin = copy.deepcopy(setting.model)
    setting.reweighter.backward(
        (blobs.clean_x[:4], blobs.clean[:4]), (blobs.clean_x, blobs.clean), indices=range(120, 124)
    )
    F.cross_entropy(twin(blobs.clean_x[[0, 1, 2, 3, 0]]), blobs.clean[[0, 1, 2, 3, 0]]).backward()
    assert_close(setting.gradient(), [p.grad for p in twin.parameters()], rtol=1e-5, atol=1e-7)


def test_once_prepared_it_must_know_which_examples_are_in_a_batch() -> None:
    setting, blobs = prepared()
    with pytest.raises(ConfigError, match="indices"):
        setting.reweighter.backward((blobs.x[:4], blobs.given[:4]), (blobs.clean_x, blobs.clean))


def test_in_a_loop_of_ones_own_it_learns_weights_step_by_step() -> None:
    (batch,), (meta,) = batches(1), batches(1, seed=1)
    step = Setting.of("gdw", labels=None, preset="robust").reweighter.backward(batch, meta)
    assert step.hypergradient is not None
    assert step.weights.std() > 0.1


@pytest.mark.parametrize("case", ["soft", "large", "absent", "few"])
def test_where_there_is_no_posterior_it_says_so(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    preparation = Knowing(Blobs([10, 10, 10]))
    if case == "soft":
        preparation.given = F.one_hot(preparation.given).float()
    elif case == "large":
        monkeypatch.setattr(posterior_search, "LARGEST", 89)
    elif case == "absent":
        preparation.clean = preparation.clean.clamp(max=1)
    else:
        preparation.clean = preparation.clean[:3]
    assert find_posterior(preparation) is None
    assert "step by step" in preparation.said[0]
    assert not preparation.fits


def test_batches_of_mappings_are_joined_by_their_parts() -> None:
    first = {"a": torch.zeros(3, 2), "b": (torch.zeros(3),)}, torch.arange(3)
    second = {"a": torch.ones(4, 2), "b": (torch.ones(4),)}, torch.arange(4)
    inputs, targets = joined(first, second, 2)
    assert inputs["a"][:, 0].tolist() == inputs["b"][0].tolist() == [0, 0, 0, 1, 1]
    assert targets.tolist() == [0, 1, 2, 0, 1]


def test_classes_beside_probabilities_are_joined_as_probabilities() -> None:
    hard, soft = (torch.zeros(2, 1), torch.tensor([1, 0])), (torch.ones(2, 1), torch.eye(2))
    _, targets = joined(hard, soft, 1)
    assert targets.tolist() == [[0, 1], [1, 0], [1, 0]]
    with pytest.raises(DataError, match="one form"):
        joined(hard, (torch.ones(2, 1, dtype=torch.uint8), torch.tensor([1, 0])), 1)


def test_clean_rows_are_not_to_be_added_twice() -> None:
    assert gdw.GDW.takes_clean({"preset": "robust"})
    assert not gdw.GDW.takes_clean({"preset": "robust", "clip": 0.5})
    assert gdw.GDW.takes_clean({"preset": "robust", "clip": 0.5, "posterior": True})
    assert not gdw.GDW.takes_clean({})


def test_few_clean_examples_are_not_passed_over_forever() -> None:
    preparation = Knowing(Blobs([300, 300, 300], clean=6))
    epochs: list[int | None] = []
    fit = preparation.fit
    preparation.fit = lambda *a, **k: epochs.append(k.get("epochs")) or fit(*a, **k)  # type: ignore[method-assign, func-returns-value]
    find_posterior(preparation)
    # The run takes 4 epochs of 45 steps: a fifth of that for each of five models of one step a pass.
    assert epochs[:5] == [36] * 5


def test_a_run_ends_when_a_signal_meets_the_last_epoch_of_its_preparation() -> None:
    blobs = Blobs([30, 30, 30])

    trainer = gdw.Trainer(
        method="gdw",
        method_options={"preset": "robust"},
        epochs=1,
        batch_size=30,
        lr=0.05,
        progress="none",
    )
    evaluate = Loop._close_epoch
    closed: list[int] = []

    def close(self: Loop) -> Any:
        closed.append(self.position.epoch)
        if len(closed) == 1 + preparing_epochs:
            os.kill(os.getpid(), signal.SIGINT)
        return evaluate(self)

    preparing_epochs = 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Loop, "_close_epoch", close)
        with pytest.raises(KeyboardInterrupt, match="while preparing"):
            trainer.fit(nn.Linear(2, CLASSES), (blobs.x, blobs.given), (blobs.clean_x, blobs.clean))


def test_in_a_trainer_it_beats_plain_training_and_resumes_bit_for_bit(tmp_path: Path) -> None:
    blobs, test = Blobs([300, 100, 40]), Blobs([100, 100, 100], seed=1)
    options: dict[str, Any] = {"epochs": 4, "batch_size": 20, "lr": 0.05, "progress": "none"}

    def train(method: str, **more: Any) -> tuple[nn.Module, float]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, CLASSES))
        method_options = {"preset": "robust"} if method == "gdw" else {}
        trainer = gdw.Trainer(method=method, method_options=method_options, **options)
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
    straight, robust = train("gdw")
    assert robust > plain + 0.1
    assert not math.isnan(robust)
    resumed, _ = train("gdw", stop=2, output=tmp_path / "run")
    for name, value in straight.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
