"""MLPs in closed form: exact where the graph is one of an MLP; other models get a finite difference."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import gdw
from gdw.bench.operations import OperationCounter
from gdw.functional.losses import resolve_loss
from gdw.hypergradient import ENGINES, Problem
from gdw.hypergradient.layers import Linear, WideLinear
from gdw.models.mlp import MLP
from tests import textbook
from tests.hypergradient.cases import F64

WIDTH, CLASSES = 40, 3


def _used_in_eval_mode() -> nn.Module:
    model = MLP(WIDTH, CLASSES, hidden=[12]).double()
    model(torch.randn(20, WIDTH, dtype=F64))
    return model.eval()


def _activations() -> nn.Module:
    chosen = (
        nn.ReLU(inplace=True),
        nn.GELU(),
        nn.GELU("tanh"),
        nn.SiLU(),
        nn.LeakyReLU(0.2),
        nn.ELU(0.7),
        nn.SELU(),
        nn.Tanh(),
        nn.Sigmoid(),
    )
    layers = [nn.Linear(WIDTH, 9), *(part for f in chosen for part in (f, nn.Linear(9, 9)))]
    return nn.Sequential(*layers, nn.Linear(9, CLASSES))


MLPS: dict[str, Callable[[], nn.Module]] = {
    "blocks": lambda: MLP(WIDTH, CLASSES, hidden=[12, 8]),
    "wide": lambda: MLP(WIDTH, CLASSES, hidden=[90, 70]),
    "in eval mode": _used_in_eval_mode,
    "linear": lambda: nn.Linear(WIDTH, CLASSES),
    "activations": _activations,
    "normalised inputs": lambda: nn.Sequential(
        nn.BatchNorm1d(WIDTH), nn.Linear(WIDTH, 60, bias=False), nn.ReLU(), nn.Linear(60, CLASSES)
    ),
    "without scale": lambda: nn.Sequential(
        nn.Linear(WIDTH, 60),
        nn.BatchNorm1d(60, affine=False),
        nn.Tanh(),
        nn.BatchNorm1d(60, track_running_stats=False),
        nn.Linear(60, CLASSES),
    ),
}


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x + self.inner(x))


class Scaled(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x / 2)


def _sharing() -> nn.Module:
    layer = nn.Linear(WIDTH, WIDTH)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Linear(WIDTH, CLASSES))


def _hooked() -> nn.Module:
    model = nn.Linear(WIDTH, CLASSES)
    model.weight.register_hook(lambda g: 2 * g)
    return model


def _frozen() -> nn.Module:
    model = MLP(WIDTH, CLASSES, hidden=[12, 8])
    model.body[3].weight.requires_grad_(False)
    return model


OTHERS: dict[str, Callable[[], nn.Module]] = {
    "dropout": lambda: MLP(WIDTH, CLASSES, hidden=[12], dropout=0.3),
    "residual": Residual,
    "scaled inputs": lambda: Scaled(nn.Linear(WIDTH, CLASSES)),
    "shared layer": _sharing,
    "hook on a gradient": _hooked,
    "frozen in between": _frozen,
    "layer norm": lambda: nn.Sequential(
        nn.Linear(WIDTH, 8), nn.LayerNorm(8), nn.Linear(8, CLASSES)
    ),
}


def problem_of(model: nn.Module, *, closed_form: bool = True) -> Problem:
    """With another learning rate for each parameter."""
    groups = [{"params": [p], "lr": 0.1 + 0.05 * i} for i, p in enumerate(model.parameters())]
    optimizer = torch.optim.SGD(groups)
    return Problem.of(model, optimizer, resolve_loss("cross_entropy"), closed_form=closed_form)


def batches(n: int = 20, m: int = 14) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    train, meta = (
        (
            torch.randn(k, WIDTH, dtype=F64, generator=generator),
            torch.randint(CLASSES, (k,), generator=generator),
        )
        for k in (n, m)
    )
    return train, meta


def weights() -> Tensor:
    return 2 * torch.rand(20, CLASSES, dtype=F64, generator=torch.Generator().manual_seed(2))


def built(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make().double()


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("name", MLPS)
def test_equals_double_backward(name: str, zero: bool) -> None:
    train, meta = batches()
    omega = None if zero else weights()
    results = {}
    for engine in ("auto", "reference"):
        problem = problem_of(built(MLPS[name]))
        run = problem.training_pass(train)
        assert run.chain is not None
        results[engine] = ENGINES[engine](problem, run, omega, meta)
    (values, loss, logits), expected = results["auto"], results["reference"]
    assert expected.values.abs().max() > 1e-6
    torch.testing.assert_close(values, expected.values, rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(loss, expected.meta_loss, rtol=1e-12, atol=0)
    assert logits.requires_grad


def test_equals_the_textbook() -> None:
    model, (train, meta) = built(lambda: MLP(WIDTH, CLASSES, hidden=[30])), batches()
    problem = Problem.of(
        model,
        torch.optim.SGD(model.parameters(), lr=0.3),
        resolve_loss("cross_entropy"),
        closed_form=True,
    )
    twin, run = copy.deepcopy(model), problem.training_pass(train)
    found = ENGINES["auto"](problem, run, weights(), meta)
    expected, loss = textbook.hypergradient(twin, train, meta, weights(), lr=0.3)
    torch.testing.assert_close(found.values, expected, rtol=1e-9, atol=1e-15)
    torch.testing.assert_close(found.meta_loss, loss, rtol=1e-12, atol=0)


def test_wide_layers_are_computed_by_examples() -> None:
    kinds = {}
    for name in ("blocks", "wide"):
        run = problem_of(built(MLPS[name])).training_pass(batches()[0])
        assert run.chain is not None
        kinds[name] = [type(layer) for layer in run.chain if isinstance(layer, Linear)]
    assert kinds == {"blocks": [Linear] * 3, "wide": [WideLinear, WideLinear, Linear]}


@pytest.mark.parametrize("name", OTHERS)
def test_any_other_model_is_left_to_the_finite_difference(name: str) -> None:
    train, meta = batches()
    results = []
    for engine in ("auto", "finite_difference"):
        problem = problem_of(built(OTHERS[name]))
        run = problem.training_pass(train)
        assert run.chain is None
        results.append(ENGINES[engine](problem, run, weights(), meta).values)
    assert torch.equal(*results)


def test_images_are_flattened_and_ignored_examples_are_not_counted() -> None:
    (x, y), (u, v) = batches()
    y[3] = v[5] = -100
    found = []
    for engine in ("auto", "reference"):
        problem = problem_of(built(MLPS["blocks"]))
        run = problem.training_pass((x.view(20, 2, 4, 5), y))
        assert run.chain is not None
        found.append(ENGINES[engine](problem, run, weights(), (u.view(14, 2, 4, 5), v)).values)
    torch.testing.assert_close(*found, rtol=1e-9, atol=1e-15)
    assert found[0][3].abs().max() == 0


class Branching(nn.Module):
    """Treats the larger batch, the training batch, otherwise than the meta batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(WIDTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        z = self.layer(x)
        return z if len(x) > 15 else z * 2


def test_a_model_that_treats_the_meta_batch_otherwise_is_refused() -> None:
    train, meta = batches()
    problem, other = problem_of(built(Branching)), problem_of(built(Branching), closed_form=False)
    for step in range(2):
        run = problem.training_pass(train)
        assert (run.chain is not None) == (step == 0)
        found = ENGINES["auto"](problem, run, weights(), meta).values
        expected = ENGINES["finite_difference"](other, other.training_pass(train), weights(), meta)
        assert torch.equal(found, expected.values)


def test_a_pass_that_is_no_chain_after_all_is_undone() -> None:
    train, meta = batches()
    model = built(lambda: MLP(WIDTH, CLASSES, hidden=[12], dropout=0.5))
    model.body[3].eval()  # without dropout it is a chain
    problem = problem_of(model)
    ENGINES["auto"](problem, problem.training_pass(train), weights(), meta)
    assert problem.training_pass(train).before is None
    plain = copy.deepcopy(model).train()
    model.train()
    torch.manual_seed(5)
    run = problem.training_pass(train)
    assert run.chain is None
    ENGINES["auto"](problem, run, weights(), meta)
    state = torch.get_rng_state()
    torch.manual_seed(5)
    assert torch.equal(run.logits, plain(train[0]))
    for a, b in zip(model.buffers(), plain.buffers(), strict=True):
        assert torch.equal(a, b)
    plain(meta[0])
    assert torch.equal(state, torch.get_rng_state())


def steps(method: str, **options: object) -> tuple[list[Tensor], nn.Module]:
    """The gradients of three steps of training, and the model after them."""
    model, gradients = built(MLPS["wide"]), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    torch.manual_seed(3)
    reweighter = gdw.reweight.build(method, model, optimizer, **options)
    train, meta = batches()
    for _ in range(3):
        optimizer.zero_grad()
        reweighter.backward(train, meta)
        gradients += [p.grad.clone() for p in model.parameters() if p.grad is not None]
        optimizer.step()
    return gradients, model


@pytest.mark.parametrize("method", ["gdw", "mwn", "l2rw"])
def test_training_equals_that_by_double_backward(method: str) -> None:
    found, model = steps(method)
    expected, other = steps(method, hypergradient="reference")
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-12)
    for a, b in zip(model.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-12)


def test_the_step_calls_fewer_operations() -> None:
    counts = {}
    for engine in ("auto", "finite_difference"):
        problem = problem_of(built(MLPS["wide"]))
        train, meta = batches()
        ENGINES[engine](problem, problem.training_pass(train), weights(), meta)
        run = problem.training_pass(train)
        with OperationCounter() as counter:
            ENGINES[engine](problem, run, weights(), meta)
        counts[engine] = counter.operations
    assert counts["auto"] < 0.8 * counts["finite_difference"]
