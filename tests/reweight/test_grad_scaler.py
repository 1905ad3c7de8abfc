"""`torch.amp.GradScaler` in a loop of one's own: training as without it, or an error."""

from __future__ import annotations

import copy
import gc
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from gdw.errors import ConfigError, ModelError
from gdw.reweight import GDW, build
from tests.reweight.setting import batches

METHODS: list[tuple[str, dict[str, Any]]] = [
    ("gdw", {}),
    ("gdw", {"preset": "short", "hypergradient": "head"}),
    ("gdw", {"hypergradient": "forward"}),
    ("mwn", {}),
    ("l2rw", {"retain_graph": False}),
    ("plain", {}),
    ("gce", {}),
    ("co_teaching", {}),
]


def train(
    method: str,
    options: dict[str, Any],
    scaler: GradScaler | None,
    *,
    clip: float | None = None,
    accumulate: int = 1,
    scales_the_loss: bool = False,
) -> Tensor:
    """Parameters after 20 steps in float32, flat."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    reweighter = build(method, model, optimizer, **options)
    train, meta = (batches(20 * accumulate, seed=s) for s in range(2))
    pairs = [tuple((x.float(), y) for x, y in pair) for pair in zip(train, meta, strict=True)]
    for number, (batch, meta_batch) in enumerate(pairs, start=1):
        step = reweighter.backward(batch, meta_batch, scaler=scaler)
        if number % accumulate:
            continue
        if scaler is not None and scales_the_loss:
            scaler.scale(step.loss)
        if clip is not None:
            if scaler is not None:
                scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        if scaler is None:
            optimizer.step()
        else:
            scaler.step(optimizer)
            scaler.update()
        optimizer.zero_grad()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize(("method", "options"), METHODS)
def test_twenty_steps_with_a_scaler_are_twenty_steps_without(
    method: str, options: dict[str, Any]
) -> None:
    plain = train(method, options, None)
    for scaler in (GradScaler("cpu"), GradScaler("cpu", enabled=False)):
        torch.testing.assert_close(train(method, options, scaler), plain, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "loop",
    [{"clip": 0.1}, {"accumulate": 3}, {"scales_the_loss": True}, {"clip": 0.1, "accumulate": 2}],
)
def test_the_usual_loops(loop: dict[str, Any]) -> None:
    scaler = GradScaler("cpu", growth_interval=4)  # the scale grows five times
    plain, scaled = (train("gdw", {}, s, **loop) for s in (None, scaler))
    torch.testing.assert_close(scaled, plain, rtol=0, atol=1e-6)
    assert scaler.get_scale() > 2**16


def setting() -> tuple[nn.Module, torch.optim.Optimizer, GDW, tuple[Any, Any]]:
    torch.manual_seed(0)
    model = nn.Linear(5, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    batch = torch.randn(8, 5), torch.arange(8) % 3
    return model, optimizer, GDW(model, optimizer), (batch, batch)


def test_a_scaler_that_backward_does_not_know_is_refused() -> None:
    model, optimizer, reweighter, pair = setting()
    before = copy.deepcopy(model.state_dict())
    scaler = GradScaler("cpu")
    step = reweighter.backward(*pair)
    scaler.scale(step.loss)
    with pytest.raises(ConfigError, match=r"backward\(batch, meta_batch, scaler=scaler\)"):
        scaler.step(optimizer)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    # The loop is mended and goes on with the same scaler.
    optimizer.zero_grad()
    reweighter.backward(*pair, scaler=scaler)
    gradient = [
        p.grad.clone() / scaler.get_scale() for p in model.parameters() if p.grad is not None
    ]
    scaler.step(optimizer)
    for p, g, was in zip(model.parameters(), gradient, before.values(), strict=True):
        torch.testing.assert_close(p.detach(), was - 0.1 * g)


def test_a_part_of_the_accumulated_gradients_without_the_scaler_is_refused() -> None:
    _, optimizer, reweighter, pair = setting()
    scaler = GradScaler("cpu")
    reweighter.backward(*pair)
    reweighter.backward(*pair, scaler=scaler)
    with pytest.raises(ConfigError, match="backward did not multiply by it"):
        scaler.step(optimizer)


def test_a_step_without_the_scaler_is_refused_unless_the_gradients_were_unscaled() -> None:
    _, optimizer, reweighter, pair = setting()
    scaler = GradScaler("cpu")
    reweighter.backward(*pair, scaler=scaler)
    with pytest.raises(ConfigError, match=r"call scaler.step\(optimizer\)"):
        optimizer.step()
    reweighter.backward(*pair, scaler=scaler)
    scaler.unscale_(optimizer)
    optimizer.step()


def test_where_gradients_overflow_the_scaler_skips_the_step() -> None:
    model, optimizer, reweighter, ((x, y), _) = setting()
    before = copy.deepcopy(model.state_dict())
    scaler = GradScaler("cpu", init_scale=2.0**127)
    reweighter.backward((1e3 * x, y), (1e3 * x, y), scaler=scaler)
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 2.0**126
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert reweighter.weighting_network is not None
    assert all(p.isfinite().all() for p in reweighter.weighting_network.parameters())


def test_other_optimizers_and_scalers_are_left_alone() -> None:
    model, optimizer, reweighter, pair = setting()
    other = nn.Linear(2, 1)
    scaler, theirs = GradScaler("cpu"), torch.optim.SGD(other.parameters(), lr=0.1)
    reweighter.backward(*pair)
    scaler.scale(other(torch.ones(3, 2)).sum()).backward()
    scaler.step(theirs)
    scaler.update()
    optimizer.step()
    # The optimizer does not keep a reweighter that is gone.
    del reweighter
    gc.collect()
    GDW(model, optimizer)
    gc.collect()
    assert not optimizer._optimizer_step_pre_hooks


def test_fabric_in_float16_and_its_own_backward() -> None:
    from lightning_fabric import Fabric
    from lightning_fabric.plugins import MixedPrecision

    precision = MixedPrecision("16-mixed", device="cpu", scaler=GradScaler("cpu"))
    fabric = Fabric(accelerator="cpu", devices=1, plugins=[precision])
    model, optimizer, _, pair = setting()
    wrapped, stepping = fabric.setup(model, optimizer)
    with pytest.raises(ModelError, match=r"inside `with fabric.autocast\(\):`"):
        GDW(wrapped, stepping).backward(*pair)
    before = [p.detach().clone() for p in model.parameters()]
    reweighter = GDW(model, stepping)
    with fabric.autocast():
        reweighter.backward(*pair, scaler=precision.scaler)
    stepping.step()
    moved = torch.cat([(p - b).flatten() for p, b in zip(model.parameters(), before, strict=True)])
    assert 1e-4 < moved.abs().max() < 1e-1
    stepping.zero_grad()
    with fabric.autocast():
        reweighter.backward(*pair)
    with pytest.raises(ConfigError, match="scaler=scaler"):
        stepping.step()
