"""Co-teaching: who trains on what, and how the peer keeps step."""

from __future__ import annotations

import copy

import torch
from torch import nn

from gdw.reweight import build
from gdw.reweight.baselines.co_teaching import CoTeaching
from tests.reweight.setting import F64, Setting, assert_close, batches


def test_co_teaching_trains_each_on_what_is_easy_for_the_other() -> None:
    (batch,) = batches(1, n=10)
    setting = Setting.of("co_teaching", forget_rate=0.3)
    assert isinstance(setting.reweighter, CoTeaching)
    peer = setting.reweighter._peer._problem.model
    model_twin, peer_twin = copy.deepcopy(setting.model), copy.deepcopy(peer)
    assert not torch.equal(model_twin[0].weight, peer_twin[0].weight)
    own, theirs = (
        nn.functional.cross_entropy(m(batch[0]), batch[1], reduction="none").detach()
        for m in (model_twin, peer_twin)
    )
    step = setting.step(batch)
    easy_for_peer = theirs <= theirs.sort().values[6]
    easy_for_model = own <= own.sort().values[6]
    assert not torch.equal(easy_for_peer, easy_for_model)
    assert torch.equal(step.weights[:, 0] > 0, easy_for_peer)
    torch.testing.assert_close(step.weights.sum(0), torch.full((3,), 10.0, dtype=F64))
    x, y = batch
    twin = copy.deepcopy(peer_twin)
    loss = nn.functional.cross_entropy(twin(x), y, reduction="none")[easy_for_model].mean()
    expected = torch.autograd.grad(loss, list(twin.parameters()))
    assert_close([p.grad for p in peer.parameters()], list(expected), rtol=1e-9, atol=1e-12)  # type: ignore[misc]
    for group in setting.optimizer.param_groups:
        group["lr"] = 0.05
    before = [p.detach().clone() for p in peer.parameters()]
    setting.optimizer.step()
    decayed = [
        p - 0.05 * (g + 1e-3 * p) for p, g in zip(before, expected, strict=True)
    ]  # the first step of momentum is the gradient
    assert_close([p.detach() for p in peer.parameters()], decayed, rtol=1e-9, atol=1e-12)
    assert all(p.grad is None for p in peer.parameters())


def test_the_peer_goes_on_bit_for_bit_from_a_saved_state() -> None:
    train = batches(4)
    straight, first = Setting.of("co_teaching"), Setting.of("co_teaching")
    straight.train(train, train)
    first.train(train[:2], train[:2])
    with torch.random.fork_rng():
        torch.manual_seed(5)
        second = Setting.of("co_teaching", labels=None)
    for name in ("model", "optimizer", "reweighter"):
        state = copy.deepcopy(getattr(first, name).state_dict())
        getattr(second, name).load_state_dict(state)
    second.train(train[2:], train[2:])
    one, other = (s.reweighter.state_dict()["peer"]["model"] for s in (second, straight))
    assert_close(list(one.values()), list(other.values()))


def test_co_teaching_forgets_gradually_and_leaves_pretrained_parts() -> None:
    (batch,) = batches(1, n=10)
    setting = Setting.of("co_teaching", forget_rate=0.5, ramp=2)
    kept = []
    for epoch in (1, 2, 3, 4):
        setting.reweighter.begin_epoch(epoch, 4)
        kept.append(int((setting.step(batch).weights[:, 0] > 0).sum()))
    assert kept == [10, 8, 5, 5]
    for reset, frozen, fresh in (("all", False, [0, 3]), ("head", False, [3]), ("all", True, [3])):
        model = Setting.of("plain").model
        model[0].requires_grad_(not frozen)
        trained = [p for p in model.parameters() if p.requires_grad]
        made = build("co_teaching", model, torch.optim.SGD(trained, lr=0.1), reset=reset)
        assert isinstance(made, CoTeaching)
        peer = made._peer._problem.model
        assert [i for i in (0, 3) if not torch.equal(peer[i].weight, model[i].weight)] == fresh
