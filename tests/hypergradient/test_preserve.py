"""What a step must leave behind: exactly what one plain forward pass would have left."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from gdw.hypergradient import ENGINES, MovableParameters, RandomState, preserved_buffers
from gdw.reweight import MetaWeightNet, Plain
from tests.hypergradient.cases import CASES, F64, make

ENGINE_NAMES = ["reference", "forward", "finite_difference"]


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("engine", ENGINE_NAMES)
@pytest.mark.parametrize("name", CASES)
def test_a_step_leaves_what_one_forward_pass_leaves(name: str, engine: str) -> None:
    case, twin = make(name), make(name)
    flags = [p.requires_grad for p in case.model.parameters()]
    torch.manual_seed(5)
    run = case.problem.training_pass(case.batch)
    ENGINES[engine](case.problem, run, torch.ones_like(run.class_gradient), case.meta)
    after = torch.rand(3)

    torch.manual_seed(5)
    twin.problem.logits(twin.batch[0])
    with preserved_buffers(twin.model):
        twin.problem.logits(twin.meta[0])  # the meta pass draws its own dropout masks, once
    assert same(snapshot(case.model), snapshot(twin.model))
    assert torch.equal(after, torch.rand(3))
    assert [p.requires_grad for p in case.model.parameters()] == flags
    assert all(p.grad is None for p in case.model.parameters())
    assert case.model.training


class Fails(nn.Module):
    """Raises at its k-th forward pass."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at, self.calls = at, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        if self.calls == self.at:
            raise RuntimeError("boom")
        return x


@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("engine", ["forward", "finite_difference"])
def test_a_model_that_raises_in_any_pass_is_left_whole(engine: str, at: int) -> None:
    case = make("batch_norm")
    model = case.model
    assert isinstance(model, nn.Sequential)
    model.insert(2, Fails(at))
    parameters = {k: p.detach().clone() for k, p in model.named_parameters()}
    plain = copy.deepcopy(model)
    plain[2].at = 0
    if at > 1:
        plain(case.batch[0])  # the training pass happened: statistics moved once
    reweighter = MetaWeightNet(model, case.problem.optimizer, hypergradient=engine)
    with pytest.raises(RuntimeError, match="boom"):
        reweighter.backward(case.batch, case.meta)
    assert same({k: p.detach() for k, p in model.named_parameters()}, parameters)
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    if at > 1:
        assert same(snapshot(model), snapshot(plain))


def test_moved_restores_bit_for_bit_and_keeps_the_training_graph_usable() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(4, 3)
    x = torch.randn(5, 4, requires_grad=True)
    out = layer(x).square().sum()
    before = snapshot(layer)
    storage = [p.data_ptr() for p in layer.parameters()]
    point = MovableParameters({"weight": (layer.weight, 0.5), "bias": (layer.bias, 0.1)})
    ones = [torch.ones_like(p) for p in layer.parameters()]
    for factor in (1.0, -2.0):
        with point.moved(ones, factor):
            torch.testing.assert_close(layer.weight.detach(), before["weight"] + 0.5 * factor)
            torch.testing.assert_close(layer.bias.detach(), before["bias"] + 0.1 * factor)
        assert same(snapshot(layer), before)
    weight, bias = (float(before[name].square().sum()) for name in ("weight", "bias"))
    assert point.norms(ones) == pytest.approx(
        ((12 * 0.25 + 3 * 0.01) ** 0.5, (weight + bias) ** 0.5)
    )
    assert [p.data_ptr() for p in layer.parameters()] == storage
    out.backward()
    expected = 2 * (x.detach() @ before["weight"].T + before["bias"]) @ before["weight"]
    torch.testing.assert_close(x.grad, expected)


def test_preserved_buffers_also_undoes_a_buffer_that_was_replaced() -> None:
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(1))
            self.register_buffer("nothing", None)

        def forward(self) -> None:
            self.count += 1
            self.count = self.count + 1

    model = Counter()
    original = model.count
    with preserved_buffers(model):
        model()
    assert model.count is original
    assert model.count == 0


DRAWS: dict[str, Callable[[], float]] = {
    "python": random.random,
    "numpy": lambda: float(np.random.rand()),  # noqa: NPY002
    "torch": lambda: float(torch.rand(1)),
}


@pytest.mark.parametrize("source", DRAWS)
def test_every_generator_repeats_and_then_goes_on(source: str) -> None:
    draw = DRAWS[source]
    state = RandomState.capture()
    first, second = draw(), draw()
    with state.replayed():
        assert draw() == first
    third = draw()
    state.restore()
    assert [draw(), draw(), draw()] == [first, second, third]


def test_random_layers_draw_the_same_in_the_passes_that_must_agree() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 3)
            self.seen: list[float] = []

        def forward(self, x: Tensor) -> Tensor:
            self.seen.append(random.random() + float(torch.rand(1)))
            return self.layer(x) * self.seen[-1]

    model = Noisy().double()
    case = make("batch_norm")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    problem = type(case.problem).of(model, optimizer, case.problem.loss)
    run = problem.training_pass(case.batch)
    g = ENGINES["finite_difference"](problem, run, torch.ones(6, 3, dtype=F64), case.meta).values
    training, meta, *replays = model.seen  # the first step measures the step of the difference too
    assert set(replays) == {training} != {meta}
    assert g.isfinite().all()


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_activation_checkpointing_moves_statistics_no_more_than_plain_training(engine: str) -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh())
            self.head = nn.Linear(6, 3)

        def forward(self, x: Tensor) -> Tensor:
            hidden = checkpoint(self.body, x, use_reentrant=False)
            logits: Tensor = self.head(hidden)
            return logits

    torch.manual_seed(0)
    model = Checkpointed().double()
    twin = copy.deepcopy(model)
    case = make("batch_norm")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    MetaWeightNet(model, optimizer, hypergradient=engine).backward(case.batch, case.meta)
    Plain(twin, torch.optim.SGD(twin.parameters(), lr=0.1)).backward(case.batch)
    assert same(dict(model.named_buffers()), dict(twin.named_buffers()))


def test_a_move_is_seen_under_autocast_and_undone_there() -> None:
    # Autocast keeps low-precision copies of parameters: they must not outlive a move, either way.
    model, x = nn.Linear(4, 3), torch.ones(2, 4)
    theta = MovableParameters({"weight": (model.weight, 1.0)})
    with torch.autocast("cpu", torch.bfloat16):
        before = model(x)
        with theta.moved([torch.ones_like(model.weight)], 1.0):
            moved = model(x)
        after = model(x)
    torch.testing.assert_close(moved, before + 4, rtol=0.05, atol=0.05)
    assert torch.equal(after, before)
