"""Each method against its definition."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from gdw.errors import DataError
from gdw.functional import class_gradient
from gdw.reweight import GDW, PRESETS, WeightingNetwork
from tests import textbook
from tests.reweight.setting import F64, Setting, assert_close, batches


@pytest.mark.parametrize("engine", ["reference", "forward", "finite_difference"])
def test_ten_gdw_steps_equal_the_textbook(engine: str) -> None:
    train, meta = batches(10), batches(10, seed=1)
    ours = Setting.of("gdw", hypergradient=engine)
    assert isinstance(ours.reweighter, GDW)
    assert ours.reweighter.weighting_network is not None
    model = copy.deepcopy(ours.model)
    network = copy.deepcopy(ours.reweighter.weighting_network).double()
    book = textbook.TextbookGDW(
        model,
        torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, weight_decay=1e-3),
        network,
        torch.optim.Adam(network.parameters(), lr=1e-3, weight_decay=1e-4),
    )
    ours.train(train, meta)
    for batch, meta_batch in zip(train, meta, strict=True):
        book.step(batch, meta_batch)
    tolerance = 1e-4 if engine == "finite_difference" else 1e-8
    mine, theirs = (m.state_dict() for m in (ours.model, model))
    assert_close(list(mine.values()), list(theirs.values()), atol=tolerance)
    learned = ours.reweighter.weighting_network.state_dict()
    assert_close(list(learned.values()), list(network.state_dict().values()), atol=tolerance)
    untouched = Setting.of("gdw").parameters()
    assert (
        max(float((a - b).abs().max()) for a, b in zip(untouched, ours.parameters(), strict=True))
        > 0.1
    )


def test_gdw_without_a_second_stage_takes_the_step_of_meta_weight_net() -> None:
    train, meta = batches(5), batches(5, seed=1)
    # The two differ in when the network learns; frozen, they are the same method.
    mwn = Setting.of("mwn", weighting_lr=0.0, hypergradient="forward")
    gdw = Setting.of("gdw", weighting_lr=0.0, hypergradient="forward", outer_lr=0.0)
    mwn.train(train, meta)
    gdw.train(train, meta)
    assert_close(gdw.parameters(), mwn.parameters(), atol=1e-12)


def test_gdw_without_a_second_stage_weighs_by_the_network_before_it_learned() -> None:
    (batch,), (meta,) = batches(1), batches(1, seed=1)
    gdw, mwn = Setting.of("gdw", outer_lr=0.0), Setting.of("mwn")
    a, b = (s.reweighter.backward(batch, meta) for s in (gdw, mwn))
    assert a.first_stage_weights is not None
    assert b.first_stage_weights is not None
    torch.testing.assert_close(a.weights, a.first_stage_weights, rtol=1e-12, atol=0)
    assert torch.equal(a.first_stage_weights, b.first_stage_weights)
    assert not torch.equal(b.weights, b.first_stage_weights)


def test_l2rw_equals_its_definition() -> None:
    (batch,), (meta,) = batches(1), batches(1, seed=1)
    setting = Setting.of("l2rw", hypergradient="forward")
    zero = torch.zeros(8, 3, dtype=F64)
    g, loss = textbook.hypergradient(setting.model, batch, meta, zero, lr=0.2)
    helpful = (-g.sum(1)).clamp(min=0)
    expected = (helpful / helpful.sum()).unsqueeze(1).expand(8, 3) * 8
    step = setting.reweighter.backward(batch, meta)
    torch.testing.assert_close(step.weights, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(step.meta_loss, loss)
    torch.testing.assert_close(step.weights[:, 0].sum(), torch.tensor(8.0, dtype=F64))


def test_plain_is_ordinary_training() -> None:
    train = batches(4)
    ours = Setting.of("plain")
    model = copy.deepcopy(ours.model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9, weight_decay=1e-3)
    ours.train(train, train)
    for x, y in train:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert_close(ours.parameters(), [p.detach() for p in model.parameters()], atol=1e-14)


def test_the_zero_mean_constraint_can_be_left_out_and_matters() -> None:
    (batch,), (meta,) = batches(1), batches(1, seed=1)
    kept, free = Setting.of("gdw"), Setting.of("gdw", zero_mean=False)
    a, b = (s.reweighter.backward(batch, meta) for s in (kept, free))
    d1 = class_gradient(a.logits, batch[1])
    assert (a.weights * d1).sum(1).abs().max() < 1e-12
    assert (b.weights * d1).sum(1).abs().max() > 1e-3
    others = nn.functional.one_hot(batch[1], 3) == 0
    assert torch.equal(a.weights[others], b.weights[others])


def test_multi_label_data_gets_no_zero_mean_constraint() -> None:
    x, y = torch.randn(8, 5, dtype=F64), torch.randint(2, (8, 3)).double()
    kept = Setting.of("gdw", loss="binary_cross_entropy").reweighter.backward((x, y), (x, y))
    free = Setting.of("gdw", loss="binary_cross_entropy", zero_mean=False)
    assert torch.equal(kept.weights, free.reweighter.backward((x, y), (x, y)).weights)


def test_meta_every_looks_at_the_meta_batch_at_every_kth_step_only() -> None:
    for method in ("gdw", "mwn"):
        setting = Setting.of(method, meta_every=3)
        seen = []
        for i, batch in enumerate(batches(7)):
            meta = batches(1, seed=1)[0] if i % 3 == 0 else None
            step = setting.reweighter.backward(batch, meta)
            seen.append(step.hypergradient is not None)
            if step.hypergradient is None:
                assert step.first_stage_weights is not None
                assert torch.equal(step.weights, step.first_stage_weights)
        assert seen == [True, False, False, True, False, False, True]


def test_explicit_arguments_win_over_the_preset() -> None:
    (batch,), (meta,) = batches(1), batches(1, seed=1)
    paper = GDW.Options()
    assert (paper.outer_lr, paper.clip, paper.min_weight) == (100.0, 0.2, 1e-6)
    short = GDW.Options(preset="short", clip=0.5)
    assert short.plain().items() >= {**PRESETS["short"], "clip": 0.5}.items()
    default = Setting.of("gdw").reweighter.backward(batch, meta)
    spelled = Setting.of("gdw", outer_lr=100.0, clip=0.2, min_weight=1e-6)
    assert torch.equal(default.weights, spelled.reweighter.backward(batch, meta).weights)
    wider = Setting.of("gdw", clip=0.4).reweighter.backward(batch, meta)
    assert default.first_stage_weights is not None
    largest = (
        (wider.weights - wider.first_stage_weights).abs()
        * (batch[1].unsqueeze(1) != torch.arange(3))
    ).max()
    torch.testing.assert_close(largest, torch.tensor(0.4, dtype=F64))


def test_a_weighting_network_of_ones_own_learns() -> None:
    network = WeightingNetwork(hidden=7)
    before = [p.detach().clone() for p in network.parameters()]
    setting = Setting.of("gdw", weighting_network=network, weighting_lr=0.1)
    setting.train(batches(2), batches(2, seed=1))
    after = [p.detach().float() for p in network.parameters()]
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert next(network.parameters()).dtype == F64  # it follows the data


def test_without_a_network_the_weights_start_at_one() -> None:
    setting = Setting.of("gdw", weighting_network="none")
    step = setting.reweighter.backward(batches(1)[0], batches(1, seed=1)[0])
    assert step.first_stage_weights is not None
    assert (step.first_stage_weights == 1).all()
    assert not torch.equal(step.weights, step.first_stage_weights)


def test_ignored_positions_count_in_no_mean_and_an_empty_batch_does_no_harm() -> None:
    model = nn.Sequential(nn.Conv1d(2, 4, 3, padding=1), nn.Tanh(), nn.Conv1d(4, 3, 1)).double()
    setting = Setting.of("gdw", model)
    x, y = torch.randn(4, 2, 6, dtype=F64), torch.randint(3, (4, 6))
    half = y.clone()
    half[:, ::2] = -100
    step = setting.reweighter.backward((x, half), (x, y))
    torch.testing.assert_close(step.loss, nn.functional.cross_entropy(model(x), half).detach())
    before = setting.reweighter.state_dict()
    network = [t.clone() for t in before["learned_weights"]["network"].values()]
    model.zero_grad()
    empty = setting.reweighter.backward((x, torch.full_like(y, -100)), (x, y))
    assert empty.loss == 0
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())
    with pytest.raises(DataError, match="NaN or infinity in rows 0, 1, 2, 3"):
        setting.reweighter.backward((x * torch.inf, y), (x, y))
    after = setting.reweighter.state_dict()["learned_weights"]["network"].values()
    assert all(t.isfinite().all() for t in after)
    assert len(network) == len(list(after))


def test_a_first_batch_without_gradient_does_not_decide_about_the_loss() -> None:
    def hinge(z: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (nn.functional.relu(1 - z) * nn.functional.one_hot(y, 3)).sum(1)

    setting = Setting.of("gdw", nn.Linear(5, 3).double(), loss=hinge)
    (x, y), (meta,) = batches(1)[0], batches(1, seed=1)
    with torch.no_grad():
        setting.model.bias.fill_(100.0)  # every margin is met: no gradient at all
    setting.reweighter.backward((x, y), meta)
    assert setting.reweighter.state_dict()["zero_sum"] is None
    with torch.no_grad():
        setting.model.bias.fill_(0.0)
    setting.reweighter.backward((x, y), meta)
    assert setting.reweighter.state_dict()["zero_sum"] is False


def test_meta_every_goes_on_where_a_saved_state_was() -> None:
    first, second = (Setting.of("mwn", meta_every=3) for _ in range(2))
    first.train(batches(2), batches(2, seed=1))
    second.reweighter.load_state_dict(first.reweighter.state_dict())
    meta = batches(1, seed=1)[0]
    seen = [second.reweighter.backward(batch, meta).hypergradient for batch in batches(2)]
    assert [g is not None for g in seen] == [False, True]
