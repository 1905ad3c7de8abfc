"""The meta gradient kept over steps and averaged, against Jacobians and autograd."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdw.errors import ConfigError
from gdw.reweight import build
from tests import textbook

F64 = torch.float64
LR = 0.3


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)).double()


def batches(steps: int, seed: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(8, 5, dtype=F64, generator=generator),
            torch.randint(3, (8,), generator=generator),
        )
        for _ in range(steps)
    ]


class Run:
    """A model in training, with the gradient of the meta loss at its parameters."""

    def __init__(self, method: str = "gdw", **options: Any) -> None:
        self.model = network()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=LR)
        torch.manual_seed(3)
        self.reweighter = build(method, self.model, self.optimizer, **options)

    def step(self, batch: Any, meta: Any) -> Any:
        self.optimizer.zero_grad()
        result = self.reweighter.backward(batch, meta)
        self.optimizer.step()
        return result


def expected(model: nn.Module, batch: tuple[Tensor, Tensor], gradient: dict[str, Tensor]) -> Tensor:
    """`−(1/n) D1_ij Σ_p η ⟨∂z_ij/∂p, g_p⟩`, with whole Jacobians."""
    jacobian = textbook.jacobian_of_logits(model, batch[0])
    d1 = textbook.class_gradient(copy.deepcopy(model)(batch[0]).detach(), batch[1])
    u = torch.zeros_like(d1)
    for name, rows in jacobian.items():
        u += LR * (rows * gradient[name]).flatten(2).sum(2)
    return -d1 * u / len(d1)


def gradient_of_meta_loss(model: nn.Module, meta: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    twin = copy.deepcopy(model)
    loss = F.cross_entropy(twin(meta[0]), meta[1])
    names = [name for name, _ in twin.named_parameters()]
    return dict(zip(names, torch.autograd.grad(loss, list(twin.parameters())), strict=True))


@pytest.mark.parametrize(("every", "momentum"), [(1, 0.5), (2, 0.0), (2, 0.75), (3, 0.9)])
def test_equals_the_average_of_the_gradients_of_the_meta_steps(every: int, momentum: float) -> None:
    run = Run(meta_gradient_every=every, meta_gradient_momentum=momentum)
    found: list[dict[str, Tensor]] = []
    for t, (batch, meta) in enumerate(zip(batches(6, 1), batches(6, 2), strict=True)):
        before = copy.deepcopy(run.model)
        if t % every == 0:
            found.append(gradient_of_meta_loss(before, meta))
        shares = [momentum ** (len(found) - 1 - i) for i in range(len(found))]
        mean = {
            name: sum(s * g[name] for s, g in zip(shares, found, strict=True)) / sum(shares)
            for name in found[0]
        }
        result = run.step(batch, meta)
        g = expected(before, batch, mean)  # type: ignore[arg-type]
        assert (result.hypergradient - g).norm() < 1e-5 * g.norm()
        assert (result.meta_loss is None) == (t % every > 0)


def test_only_every_kth_step_runs_the_model_on_the_meta_batch() -> None:
    run, sizes = Run(meta_gradient_every=3), []
    run.model.register_forward_hook(lambda _, inputs, __: sizes.append(len(inputs[0])))
    counts = []
    for batch, (u, v) in zip(batches(4, 1), batches(4, 2), strict=True):
        sizes.clear()
        run.step(batch, (u[:5], v[:5]))
        counts.append((sizes.count(8), sizes.count(5)))
    # In float64 the first step measures the step of the difference too.
    assert counts == [(4, 1), (2, 0), (2, 0), (2, 1)]


@pytest.mark.parametrize("method", ["gdw", "mwn", "l2rw"])
def test_a_resumed_run_continues_with_the_same_gradient(method: str) -> None:
    options: dict[str, Any] = {"meta_gradient_every": 2, "meta_gradient_momentum": 0.5}
    train, meta = batches(5, 1), batches(5, 2)
    whole, part = Run(method, **options), Run(method, **options)
    for t in range(3):
        whole.step(train[t], meta[t])
        part.step(train[t], meta[t])
    again = Run(method, **options)
    again.model.load_state_dict(part.model.state_dict())
    again.reweighter.load_state_dict(copy.deepcopy(part.reweighter.state_dict()))
    for t in range(3, 5):
        a, b = (run.step(train[t], meta[t]) for run in (whole, again))
        assert torch.equal(a.hypergradient, b.hypergradient)
    for a, b in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_buffers_move_once_and_parameters_are_kept() -> None:
    run = Run(meta_gradient_every=2)
    for batch, meta in zip(batches(2, 1), batches(2, 2), strict=True):
        plain = copy.deepcopy(run.model)
        plain(batch[0])
        run.reweighter.backward(batch, meta)
        for a, b in zip(run.model.state_dict().values(), plain.state_dict().values(), strict=True):
            assert torch.equal(a, b)


def test_other_trained_parameters_make_a_new_gradient() -> None:
    run = Run(meta_gradient_every=10, meta_gradient_momentum=0.5)
    train, meta = batches(2, 1), batches(2, 2)
    run.step(train[0], meta[0])
    run.model[0].weight.requires_grad_(False)
    result = run.step(train[1], meta[1])
    assert result.meta_loss is not None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"meta_gradient_every": 2, "hypergradient": "head"}, r"meta_gradient_every=2 needs"),
        (
            {"meta_gradient_momentum": 0.5, "hypergradient": "reference"},
            r"meta_gradient_momentum=0.5 needs hypergradient='finite_difference'",
        ),
        ({"meta_gradient_every": 0}, r"meta_gradient_every"),
        ({"meta_gradient_momentum": 1.0}, r"meta_gradient_momentum"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Run(**options)
    assert "\n" not in str(caught.value)
