"""Cheaper steps: the training graph given up early, and features of a meta batch for several steps."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from gdw.bench.memory import peak_bytes
from gdw.errors import ConfigError
from gdw.reweight import build
from tests.reweight.setting import Setting, assert_close, batch_norm_network, batches


@pytest.mark.parametrize("method", ["gdw", "mwn", "l2rw"])
def test_without_the_training_graph_a_step_is_the_same(method: str) -> None:
    (batch,), (meta,) = batches(1), batches(1, seed=1)
    kept, freed = (Setting.of(method, retain_graph=r) for r in (True, False))
    first, second = (s.reweighter.backward(batch, meta) for s in (kept, freed))
    assert torch.equal(first.logits, second.logits)
    assert first.hypergradient is not None
    assert second.hypergradient is not None
    torch.testing.assert_close(first.hypergradient, second.hypergradient, rtol=1e-9, atol=1e-12)
    assert_close(kept.gradient(), freed.gradient(), rtol=1e-6, atol=1e-9)
    for key, value in kept.model.state_dict().items():
        assert torch.equal(freed.model.state_dict()[key], value), key


def test_dropout_repeats_where_the_graph_is_made_anew() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(5, 40), nn.Dropout(0.5), nn.Linear(40, 3)).double()
    (batch,), (meta,) = batches(1), batches(1, seed=1)
    gradients = []
    for retain in (True, False):
        setting = Setting.of("gdw", copy.deepcopy(network), retain_graph=retain)
        torch.manual_seed(5)
        setting.reweighter.backward(batch, meta)
        gradients.append(setting.gradient())
    assert_close(*gradients, rtol=1e-6, atol=1e-9)


def _peak(method: str, **options: Any) -> int:
    layers = [m for _ in range(6) for m in (nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    reweighter = build(method, model, optimizer, **options)
    batch, meta = ((torch.randn(16, 8, 16, 16), torch.arange(16) % 4) for _ in range(2))

    def step() -> None:
        reweighter.backward(batch, None if method == "plain" else meta)
        optimizer.step()
        optimizer.zero_grad()

    step()
    return peak_bytes(step)


def test_memory_of_a_step_beside_plain_training() -> None:
    # Activations far outweigh the parameters, as for images; ratios of counted bytes, not of time.
    plain = _peak("plain")
    assert _peak("gdw") < 1.2 * plain
    assert _peak("l2rw") < 1.2 * plain
    assert _peak("gdw", hypergradient="head") < 1.15 * plain
    assert _peak("gdw", retain_graph=True) > 1.7 * plain


def test_features_of_a_meta_batch_serve_as_many_steps_as_asked() -> None:
    train, meta = batches(3), batches(3, seed=1)
    setting = Setting.of("gdw", hypergradient="head", meta_features_every=2)
    setting.reweighter.backward(train[0], meta[0])
    kept = setting.reweighter.backward(train[1], meta[1])
    renewed = setting.reweighter.backward(train[2], meta[2])
    fresh = Setting.of("gdw", hypergradient="head")
    expected = [
        fresh.reweighter.backward(t, meta[k]) for t, k in zip(train, (0, 0, 2), strict=True)
    ]
    for got, want in ((kept, expected[1]), (renewed, expected[2])):
        torch.testing.assert_close(got.hypergradient, want.hypergradient, rtol=1e-10, atol=0)


def test_kept_features_are_part_of_the_state() -> None:
    train, meta = batches(4), batches(4, seed=1)
    options: dict[str, Any] = {"hypergradient": "head", "meta_features_every": 3}
    straight, stopped = Setting.of("gdw", **options), Setting.of("gdw", **options)
    straight.train(train, meta)
    stopped.train(train[:2], meta[:2])
    resumed = Setting.of("gdw", copy.deepcopy(stopped.model), **options)
    resumed.optimizer.load_state_dict(stopped.optimizer.state_dict())
    resumed.reweighter.load_state_dict(stopped.reweighter.state_dict())
    resumed.train(train[2:], meta[2:])
    assert_close(resumed.parameters(), straight.parameters())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"retain_graph": False, "hypergradient": "head"},
            "retain_graph=False needs hypergradient",
        ),
        ({"meta_features_every": 2}, "needs hypergradient='head'"),
        ({"meta_features_every": 0, "hypergradient": "head"}, "meta_features_every: .* 1, found 0"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Setting.of("gdw", **options)


def test_only_a_linear_head_keeps_features() -> None:
    setting = Setting.of(
        "gdw", batch_norm_network(), hypergradient="head", head="0", meta_features_every=2
    )
    with pytest.raises(ConfigError, match="linear head"):
        setting.train(batches(1), batches(1))


@pytest.mark.parametrize(("autocast", "kept"), [(False, False), (True, True)])
def test_the_graph_is_kept_where_the_difference_is_coarse(autocast: bool, kept: bool) -> None:
    def forward(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            logits: torch.Tensor = model(x)
        return logits

    setting = Setting.of("gdw", batch_norm_network().float(), forward=forward)
    (x, y), problem = batches(1)[0], setting.reweighter._problem
    run = problem.training_pass((x.float(), y))
    assert problem.keeps_graph(run) == kept
