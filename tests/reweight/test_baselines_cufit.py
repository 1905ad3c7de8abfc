"""CUFIT: who trains on what, against a loop that is written as the paper describes it."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gdw.reweight.baselines.cufit import CUFIT
from tests.reweight.setting import F64, Setting, assert_close, batches

STEP = {"lr": 0.2, "momentum": 0.9, "weight_decay": 1e-3}


def slow_cufit(
    probe: Callable[[Tensor], Tensor],
    of_probe: list[Tensor],
    middle: nn.Module,
    last: nn.Module,
    train: list[tuple[Tensor, Tensor]],
) -> list[list[int]]:
    """Train the three modules together; return how many examples each selection kept, step by step."""
    parameters = [*of_probe, *middle.parameters(), *last.parameters()]
    optimizer = torch.optim.SGD(parameters, **STEP)
    kept = []
    for x, y in train:
        losses, sizes = [], []
        chosen = torch.ones(len(y), dtype=torch.bool)
        for module in (probe, middle, last):
            logits = module(x)
            if chosen.any():
                losses.append(nn.functional.cross_entropy(logits[chosen], y[chosen]))
            chosen = torch.tensor(
                [int(z.argmax()) == int(label) for z, label in zip(logits, y, strict=True)]
            )
            sizes.append(int(chosen.sum()))
        optimizer.zero_grad(set_to_none=False)
        for p in parameters:
            p.grad = torch.zeros_like(p)
        torch.stack(losses).sum().backward()
        optimizer.step()
        kept.append(sizes[:2])
    return kept


def test_on_features_the_probe_is_linear_in_them() -> None:
    setting = Setting.of("cufit")
    assert isinstance(setting.reweighter, CUFIT)
    middle = copy.deepcopy(setting.reweighter._intermediate._problem.model)
    last = copy.deepcopy(setting.model)
    assert torch.equal(middle[0].weight, last[0].weight)
    assert not torch.equal(middle[3].weight, last[3].weight)
    train = batches(12, n=10)
    W = torch.zeros(3, 5, dtype=F64, requires_grad=True)
    b = torch.zeros(3, dtype=F64, requires_grad=True)
    kept = slow_cufit(lambda x: x @ W.T + b, [W, b], middle, last, train)
    found = []
    for batch in train:
        found.append(int((setting.step(batch).weights[:, 0] > 0).sum()))
        setting.optimizer.step()
        setting.optimizer.zero_grad()
    assert found == [by_middle for _, by_middle in kept]
    assert 0 < min(by_probe for by_probe, _ in kept) < 10
    probe = setting.reweighter._probe
    assert probe is not None
    assert_close(list(probe._problem.model.parameters()), [W, b], rtol=1e-9, atol=1e-12)
    for mine, theirs in (
        (setting.reweighter._intermediate._problem.model, middle),
        (setting.model, last),
    ):
        assert_close(list(mine.parameters()), list(theirs.parameters()), rtol=1e-9, atol=1e-12)


def test_of_other_inputs_the_probe_trains_the_last_layer_of_the_start() -> None:
    class Flat(nn.Module):
        """Takes `(N, 1, 5)`, which are no vectors of features."""

        def __init__(self) -> None:
            super().__init__()
            self.body, self.head = nn.Linear(5, 6), nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.body(x.flatten(1)).tanh())

    torch.manual_seed(3)
    start = Flat().double()
    setting = Setting.of("cufit", copy.deepcopy(start))
    assert isinstance(setting.reweighter, CUFIT)
    middle = copy.deepcopy(setting.reweighter._intermediate._problem.model)
    train = [(x.unsqueeze(1), y) for x, y in batches(6, n=10)]
    probe, last = copy.deepcopy(start), copy.deepcopy(start)
    slow_cufit(probe, list(probe.head.parameters()), middle, last, train)
    for batch in train:
        setting.step(batch)
        setting.optimizer.step()
        setting.optimizer.zero_grad()
    mine = setting.reweighter._probe
    assert mine is not None
    trained = mine._problem.model.state_dict()
    assert torch.equal(trained["body.weight"], start.body.weight)
    for name, value in probe.state_dict().items():
        torch.testing.assert_close(trained[name], value, rtol=1e-9, atol=1e-12)
    assert_close(list(setting.model.parameters()), list(last.parameters()), rtol=1e-9, atol=1e-12)


def test_labels_as_probabilities_are_their_largest_class() -> None:
    settings = Setting.of("cufit"), Setting.of("cufit")
    for (x, y), soft in zip(batches(5), (False, True, False, True, True), strict=True):
        for setting, as_given in zip(settings, (True, False), strict=True):
            target = y if as_given or not soft else nn.functional.one_hot(y, 3).double()
            setting.step((x, target))
            setting.optimizer.step()
            setting.optimizer.zero_grad()
    assert_close(settings[0].parameters(), settings[1].parameters())
