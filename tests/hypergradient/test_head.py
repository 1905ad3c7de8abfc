"""The head-only hypergradient: equal to the reference with all other parameters frozen."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdw.errors import ConfigError, ModelError
from gdw.functional.losses import resolve_loss
from gdw.hypergradient import ENGINES, Problem, head_only
from gdw.reweight import GDW
from tests.hypergradient.cases import F64, batch_norm_mlp, conv, with_dropout

Batch = tuple[Tensor, Tensor]


class Scaled(nn.Module):
    """Computes between its modules and after its linear layer: no closed form."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Dropout(0.3))
        self.middle = nn.Linear(6, 6)
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.body(x))
        return self.last(hidden + torch.tanh(self.middle(hidden))) * 0.7


class Blocks(nn.Module):
    """Nested blocks with statistics and dropout on both sides of the head."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(with_dropout_block() for _ in range(3))
        self.out = nn.Sequential(nn.Dropout(0.2), nn.Linear(5, 3))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return self.out(x)


def with_dropout_block() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Dropout(0.2))


def without_bias() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3, bias=False))


MODELS: dict[str, tuple[Callable[[], nn.Module], str | None, tuple[int, ...], bool]] = {
    "linear": (lambda: nn.Linear(5, 3), None, (5,), True),
    "mlp": (batch_norm_mlp, None, (5,), True),
    "no_bias": (without_bias, None, (5,), True),
    "conv": (conv, None, (2, 6, 6), True),
    "dropout": (with_dropout, None, (5,), True),
    "scaled": (Scaled, None, (5,), False),
    "scaled_middle": (Scaled, "middle", (5,), False),
    "block": (Blocks, "blocks.2", (5,), False),
    "inner": (Blocks, "blocks.1.0", (5,), False),
    "container": (Blocks, "out", (5,), False),
}  # fmt: skip


def setting(name: str, *, frozen: bool) -> tuple[Problem, Batch, Batch]:
    build, head, shape, _ = MODELS[name]
    torch.manual_seed(0)
    model = build().double()
    part = Problem.of(
        model,
        torch.optim.SGD(model.parameters(), lr=0.3),
        resolve_loss("cross_entropy"),
        head=head or True,
    )
    assert part.head is not None
    own = list(part.head.module.parameters())
    groups = [{"params": own[:1], "lr": 0.3}, {"params": own[1:], "lr": 0.1}]
    if frozen:
        for p in model.parameters():
            p.requires_grad_(any(p is q for q in own))
        problem = Problem.of(model, torch.optim.SGD(groups, lr=1.0), part.loss)
    else:
        others = [p for p in model.parameters() if not any(p is q for q in own)]
        groups += [{"params": others, "lr": 0.2}] if others else []
        problem = Problem.of(model, torch.optim.SGD(groups, lr=1.0), part.loss, head=head or True)
    batch = torch.randn(7, *shape, dtype=F64), torch.randint(3, (7,))
    meta = torch.randn(6, *shape, dtype=F64), torch.randint(3, (6,))
    return problem, batch, meta


def hypergradient(
    problem: Problem, batch: Batch, meta: Batch, engine: str, weights: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """G, the meta loss, and what the next random number is."""
    torch.manual_seed(3)
    run = problem.training_pass(batch)
    g, loss, _ = ENGINES[engine](problem, run, weights, meta)
    return g, loss, torch.rand(1)


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("way", [True, False])
def test_both_ways_through_a_linear_head_equal_the_reference(
    way: bool, zero: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_only, "_few_examples", lambda *_: way)
    weights = None if zero else 2 * torch.rand(7, 3, dtype=F64)
    expected, loss, _ = hypergradient(*setting("mlp", frozen=True), "reference", weights)
    g, got, _ = hypergradient(*setting("mlp", frozen=False), "head", weights)
    torch.testing.assert_close(g, expected, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(got, loss, rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("n", "f", "c", "few"), [(100, 512, 20_000, True), (100, 64, 10, False), (512, 64, 10, False)]
)
def test_the_cheaper_way_is_taken(n: int, f: int, c: int, few: bool) -> None:
    part = head_only._Linear(torch.empty(c, f, device="meta"), None, 0.1, 0.0)
    features = torch.empty(n, f, device="meta")
    assert head_only._few_examples(part, features, features, features) == few


@pytest.mark.parametrize("zero", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_equals_the_reference_with_the_rest_frozen(name: str, zero: bool) -> None:
    weights = None if zero else 2 * torch.rand(7, 3, dtype=F64)
    expected, loss, after = hypergradient(*setting(name, frozen=True), "reference", weights)
    problem, batch, meta = setting(name, frozen=False)
    before = copy.deepcopy(problem.model.state_dict())
    for _ in range(2):  # the first step checks what the second one trusts
        problem.model.load_state_dict(before)
        g, got, then = hypergradient(problem, batch, meta, "head", weights)
        closed_form = MODELS[name][3]
        assert problem.head is not None
        assert problem.head.closed_form == closed_form
        assert float((g - expected).norm() / expected.norm()) < (1e-9 if closed_form else 1e-5)
        torch.testing.assert_close(got, loss, rtol=1e-9, atol=0)
        assert torch.equal(then, after)
    assert expected.abs().max() > 1e-5


@pytest.mark.parametrize("name", MODELS)
def test_it_leaves_what_one_forward_pass_leaves(name: str) -> None:
    problem, batch, meta = setting(name, frozen=False)
    twin = copy.deepcopy(problem.model)
    hypergradient(problem, batch, meta, "head", torch.ones(7, 3, dtype=F64))
    torch.manual_seed(3)
    twin(batch[0])
    for key, value in twin.state_dict().items():
        assert torch.equal(problem.model.state_dict()[key], value), key
    for module in problem.model.modules():
        assert "forward" not in module.__dict__
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert all(p.grad is None for p in problem.model.parameters())


def test_a_tied_head_moves_in_the_head_alone() -> None:
    class Model(nn.Module):
        def __init__(self, tied: bool) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.embed, self.head = nn.Embedding(4, 6), nn.Linear(6, 4)
            if tied:
                self.head.weight = self.embed.weight
            else:
                self.head.weight.data.copy_(self.embed.weight)

        def forward(self, ids: Tensor) -> Tensor:
            return self.head(torch.tanh(self.embed(ids).mean(1)))

    results = []
    for tied, engine in ((True, "head"), (False, "head")):
        model = Model(tied).double()
        problem = Problem.of(
            model,
            torch.optim.SGD(model.parameters(), lr=0.2),
            resolve_loss("cross_entropy"),
            head=True,
        )
        torch.manual_seed(1)
        batch, meta = ((torch.randint(4, (6, 3)), torch.randint(4, (6,))) for _ in range(2))
        results.append(hypergradient(problem, batch, meta, engine, torch.ones(6, 4, dtype=F64))[0])
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=0)


@pytest.mark.parametrize("autocast", [False, True])
def test_float32_and_bfloat16_point_the_same_way(autocast: bool) -> None:
    def g(dtype: torch.dtype, engine: str) -> Tensor:
        problem, (x, y), (u, v) = setting("conv", frozen=engine == "reference")
        problem.model.to(dtype)
        weights = torch.ones(7, 3, dtype=dtype)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast and dtype == torch.float32):
            return hypergradient(problem, (x.to(dtype), y), (u.to(dtype), v), engine, weights)[
                0
            ].double()

    got, expected = g(torch.float32, "head"), g(F64, "reference")
    cosine = F.cosine_similarity(got.flatten(), expected.flatten(), dim=0)
    assert cosine > (0.99 if autocast else 0.99999)


def gdw(model: nn.Module, **options: object) -> GDW:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return GDW(model, optimizer, hypergradient="head", **options)  # type: ignore[arg-type]


def test_a_model_that_cannot_be_split_is_refused_with_the_way_out() -> None:
    class Random(Scaled):
        def forward(self, x: Tensor) -> Tensor:
            hidden = F.dropout(self.body(x), 0.5)  # drawn outside of a module, before the head
            return self.last(self.middle(hidden))

    class Twice(Scaled):
        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.tanh(self.last(self.body(x)) @ torch.ones(3, 6)))

    batch = torch.randn(8, 5), torch.randint(3, (8,))
    with pytest.raises(ModelError, match=r"called 2 times.*finite_difference"):
        gdw(Twice()).backward(batch, batch)
    model = Random()
    with pytest.raises(ModelError, match=r"cannot be split at 'middle'.*finite_difference"):
        gdw(model, head="middle").backward(batch, batch)
    assert all(p.grad is None for p in model.parameters())


def test_heads_that_do_not_exist_or_do_not_train() -> None:
    with pytest.raises(
        ConfigError, match=r"no module 'lsat'.*Did you mean 'last'.*Its children: body"
    ):
        gdw(Scaled(), head="lsat")
    with pytest.raises(ConfigError, match="no linear layer to be the head"):
        gdw(nn.Sequential(nn.Conv1d(2, 3, 1)))
    with pytest.raises(ConfigError, match="has no parameters"):
        gdw(with_dropout(), head="1")
    model = with_dropout()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ConfigError, match="needs hypergradient='head'"):
        GDW(model, optimizer, head="3")
    model[3].requires_grad_(False)
    batch = torch.randn(8, 5), torch.randint(3, (8,))
    with pytest.raises(ConfigError, match="trains no parameter of the head '3'"):
        gdw(model).backward(batch, batch)


class NoisyInput(nn.Module):
    """Draws a random number before any of its modules, and more inside a module before the head."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 6), nn.Dropout(0.5))
        self.skip, self.head = nn.Linear(5, 6, bias=False), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.rand(len(x), 1, dtype=x.dtype)
        return torch.tanh(self.head(torch.tanh(self.body(x)) + noise * self.skip(x)))


def test_a_replay_starts_from_the_random_state_of_the_pass() -> None:
    torch.manual_seed(0)
    model = NoisyInput().double()
    problem = Problem.of(
        model,
        torch.optim.SGD(model.parameters(), lr=0.3),
        resolve_loss("cross_entropy"),
        head="head",
    )
    batch = torch.randn(7, 5, dtype=F64), torch.randint(3, (7,))
    # Raises if the repeated head gives other logits than the pass: then the noise was another.
    g, _, _ = hypergradient(problem, batch, batch, "head", torch.ones(7, 3, dtype=F64))
    assert g.abs().sum() > 0


def test_the_product_of_the_head_is_left_out_of_the_meta_pass() -> None:
    model = without_bias()
    head, rows = model[2], []
    compute = head.forward
    head.forward = lambda x: rows.append(len(x)) or compute(x)
    given = vars(head)["forward"]
    batch, meta = ((torch.randn(n, 5), torch.randint(3, (n,))) for n in (8, 6))
    reweighter = gdw(model)
    for _ in range(2):
        reweighter.backward(batch, meta)
    assert rows == [8, 8]
    assert vars(head)["forward"] is given
