"""The contract that every method in the registry must pass."""

from __future__ import annotations

import copy
import io

import pytest
import torch
from torch import nn

from gdw.errors import ConfigError, DataError
from gdw.functional import class_gradient
from gdw.reweight import GDW, METHODS, StepResult, build, check_options
from gdw.reweight.bilevel import BilevelReweighter
from tests.hypergradient.cases import CASES, make
from tests.reweight.setting import F64, Labels, Setting, assert_close, batches

EVERY = pytest.mark.parametrize("method", METHODS)
WEIGHING = [name for name, method in METHODS.items() if "loss" in method.Options.model_fields]
BILEVEL = [name for name, method in METHODS.items() if issubclass(method, BilevelReweighter)]
LEARNED = [name for name, method in METHODS.items() if method.needs_meta]


@EVERY
def test_a_step_says_what_it_did(method: str) -> None:
    setting = Setting.of(method)
    (batch,), (meta,) = batches(1), batches(1, n=7, seed=1)
    twin = copy.deepcopy(setting.model)
    step = setting.step(batch, meta)
    assert isinstance(step, StepResult)
    logits = twin(setting.seen(batch, meta)[0])[:8]
    torch.testing.assert_close(step.logits, logits.detach())
    torch.testing.assert_close(step.loss, nn.functional.cross_entropy(logits, batch[1]).detach())
    assert step.weights.shape == (8, 3)
    assert (step.meta_loss is not None) == (method in BILEVEL)
    if step.hypergradient is not None:
        assert step.hypergradient.shape == (8, 3)
        assert step.hypergradient.abs().sum() > 0
    for value in vars(step).values():
        assert value is None or not value.requires_grad


@pytest.mark.parametrize("method", WEIGHING)
def test_the_gradient_is_the_weighted_one_and_accumulates(method: str) -> None:
    setting = Setting.of(method)
    (batch,), (meta,) = batches(1), batches(1, seed=1)
    twin = copy.deepcopy(setting.model)
    step = setting.step(batch, meta)
    logits = twin(batch[0])
    cotangent = step.weights * class_gradient(logits, batch[1]) / 8
    expected = torch.autograd.grad(logits, list(twin.parameters()), cotangent)
    # Taken where the finite difference looked, a relative 1e-10 away (see `retain_graph`).
    assert_close(setting.gradient(), list(expected), rtol=1e-6, atol=1e-8)

    doubled = Setting.of(method)
    for p in doubled.model.parameters():
        p.grad = torch.ones_like(p)
    doubled.step(batch, meta)
    assert_close(doubled.gradient(), [1 + g for g in setting.gradient()], rtol=1e-12, atol=1e-15)


@EVERY
def test_the_model_is_left_as_one_forward_pass_leaves_it(method: str) -> None:
    setting = Setting.of(method)
    (batch,), (meta,) = batches(1), batches(1, seed=1)
    twin = copy.deepcopy(setting.model)
    setting.step(batch, meta)
    twin(setting.seen(batch, meta)[0])
    for k, v in twin.state_dict().items():
        assert torch.equal(setting.model.state_dict()[k], v), k


@EVERY
def test_saved_and_loaded_it_goes_on_bit_for_bit(method: str) -> None:
    train, meta = batches(6), batches(6, seed=1)
    straight = Setting.of(method)
    straight.train(train, meta)

    first = Setting.of(method)
    first.train(train[:3], meta[:3])
    buffer = io.BytesIO()
    torch.save(
        [first.model.state_dict(), first.optimizer.state_dict(), first.reweighter.state_dict()],
        buffer,
    )
    buffer.seek(0)
    states = torch.load(buffer, weights_only=True)  # plain types only: no code runs on load
    second = Setting.of(method, labels=None)  # a resumed run does not prepare again
    for target, state in zip(
        (second.model, second.optimizer, second.reweighter), states, strict=True
    ):
        target.load_state_dict(state)
    second.train(train[3:], meta[3:])
    assert_close(second.parameters(), straight.parameters())


@EVERY
@pytest.mark.parametrize("name", CASES)
def test_every_kind_of_model_and_batch(method: str, name: str) -> None:
    case = make(name)
    reweighter = build(method, case.model, case.problem.optimizer)
    reweighter.prepare(Labels(case.classes))
    if name == "dense" and method in ("posterior", "robust"):
        with pytest.raises(DataError, match="one label distribution per example"):
            reweighter.backward(case.batch, case.meta, indices=range(6))
        return
    step = reweighter.backward(case.batch, case.meta, indices=range(6))
    assert step.weights.isfinite().all()
    assert step.weights.shape == step.logits.shape
    for p in case.model.parameters():
        assert (p.grad is not None) == p.requires_grad
        assert p.grad is None or p.grad.isfinite().all()


@EVERY
def test_soft_targets_and_custom_losses(method: str) -> None:
    setting = Setting.of(method)
    x, soft = torch.randn(8, 5, dtype=F64), torch.rand(8, 3, dtype=F64).softmax(1)
    assert setting.step((x, soft), (x, soft)).weights.isfinite().all()
    if method not in WEIGHING:
        with pytest.raises(ConfigError, match="has no option 'loss'"):
            Setting.of(method, loss="binary_cross_entropy")
        return
    multi = Setting.of(method, loss="binary_cross_entropy")
    step = multi.step((x, (soft > 0.3).double()), (x, (soft > 0.3).double()))
    assert step.weights.isfinite().all()
    (batch,), (meta,) = batches(1), batches(1, seed=1)
    own = Setting.of(
        method, loss=lambda z, y: nn.functional.cross_entropy(z, y, reduction="none") ** 2
    )
    assert own.step(batch, meta).weights.isfinite().all()


@EVERY
def test_the_last_small_batch_and_two_classes(method: str) -> None:
    model = nn.Linear(5, 2).double()
    setting = Setting.of(method, model, labels=Labels(2))
    x = torch.randn(1, 5, dtype=F64)
    y = torch.tensor([1])
    assert setting.step((x, y), (x, y)).weights.shape == (1, 2)


@pytest.mark.parametrize("method", LEARNED)
def test_without_a_meta_batch_it_says_how_to_give_one(method: str) -> None:
    setting = Setting.of(method)
    with pytest.raises(ConfigError, match=r"gdw.data.pair\(train_loader, meta_loader\)"):
        setting.step(batches(1)[0])


@EVERY
def test_bad_targets_are_one_clear_error(method: str) -> None:
    setting = Setting.of(method)
    (x, y), (meta,) = batches(1)[0], batches(1, seed=1)
    with pytest.raises(DataError, match=r"3 logits .* but a target is class 3"):
        setting.step((x, y + 1), meta)
    with pytest.raises(DataError, match="targets given as class indices must have shape"):
        setting.step((x, y[:5]), meta)
    assert all(p.grad is None for p in setting.model.parameters())


def test_a_state_of_another_method_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected a state of L2RW, found one of Plain"):
        Setting.of("l2rw").reweighter.load_state_dict(Setting.of("plain").reweighter.state_dict())
    with pytest.raises(ConfigError, match="whether there is a weighting network"):
        Setting.of("gdw", weighting_network="none").reweighter.load_state_dict(
            Setting.of("gdw").reweighter.state_dict()
        )


def test_unknown_names_and_options_are_one_line_each() -> None:
    with pytest.raises(ConfigError, match=r"unknown method 'gwd'.*Did you mean 'gdw'"):
        check_options("gwd", {})
    with pytest.raises(ConfigError, match="'mwn' has no option 'clipp'"):
        check_options("mwn", {"clipp": 1})
    setting = Setting.of("plain")
    for options, message in (
        ({"preset": "papr"}, "Did you mean 'paper'"),
        ({"meta_every": 0}, "meta_every: .* 1, found 0"),
        ({"meta_every": 2.5}, "meta_every: found 2.5, expected a whole number"),
        ({"weighting_lr": "fast"}, "weighting_lr: found 'fast', expected a number"),
        ({"min_weight": "low"}, "min_weight: found 'low', expected a number"),
        ({"min_weight": 2}, "min_weight: .* 1, found 2"),
        ({"weighting_network": "mpl"}, "'mlp' or 'none'"),
        ({"clip": -1.0}, "clip: .* 0, found -1.0"),
        ({"clip": "much"}, "clip: found 'much', expected a number"),
        ({"clip": True}, "clip: found True, expected a number"),
        ({"outer_lr": -1.0}, "outer_lr: .* 0, found -1.0"),
        ({"head": "fc"}, "head='fc' needs hypergradient='head'"),
        ({"preset": "short", "weighting_lr": 0.1}, "needs a weighting network"),
    ):
        with pytest.raises(ConfigError, match=message):
            GDW(setting.model, setting.optimizer, **options)
