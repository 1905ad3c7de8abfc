"""Under bfloat16 autocast: how far the hypergradient is from that in float64, from the same state."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gdw import GDW
from gdw.functional.losses import resolve_loss
from gdw.hypergradient import ENGINES, Problem
from gdw.models.resnet_cifar import CifarResNet

F64 = torch.float64
Batch = tuple[Tensor, Tensor]


class Words(nn.Module):
    """Large embeddings under small layers: a step that suits the whole norm is too long for the layers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm = nn.Embedding(500, 16), nn.LayerNorm(16)
        self.body, self.head = nn.Linear(16, 32), nn.Linear(32, 4)
        self.embed.weight.data.mul_(100)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = torch.relu(self.body(self.norm(self.embed(tokens).mean(1))))
        logits: Tensor = self.head(hidden)
        return logits


def frozen_norms() -> nn.Module:
    model = CifarResNet(8, 4)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.requires_grad_(False)
    return model


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[int], Tensor]]] = {
    "resnet": (lambda: CifarResNet(8, 4), lambda n: torch.randn(n, 3, 8, 8)),
    "frozen_norms": (frozen_norms, lambda n: torch.randn(n, 3, 8, 8)),
    "words": (Words, lambda n: torch.randint(500, (n, 6))),
}


def bfloat16() -> AbstractContextManager[object]:
    return torch.autocast("cpu", torch.bfloat16)


def inside(model: nn.Module, inputs: Tensor) -> Tensor:
    with bfloat16():
        logits: Tensor = model(inputs)
    return logits


class Outside:
    """A `forward` for a caller that is itself under autocast."""

    def __call__(self, model: nn.Module, inputs: Tensor) -> Tensor:
        logits: Tensor = model(inputs)
        return logits


def state(name: str) -> tuple[nn.Module, Batch, Batch]:
    torch.manual_seed(0)
    build, inputs = MODELS[name]
    batch, meta = ((inputs(64), torch.randint(4, (64,))) for _ in range(2))
    return build(), batch, meta


def hypergradient(
    model: nn.Module,
    batch: Batch,
    meta: Batch,
    engine: str,
    *,
    forward: Callable[[nn.Module, Tensor], Tensor] | None = None,
    head: bool | str = False,
) -> Tensor:
    """G in float64, flat."""
    trained = [p for p in model.parameters() if p.requires_grad]
    problem = Problem.of(
        model, torch.optim.SGD(trained, lr=0.01), resolve_loss("cross_entropy"), forward, head=head
    )
    run = problem.training_pass(batch)
    weights = torch.full_like(run.class_gradient, 0.5)
    return ENGINES[engine](problem, run, weights, meta).values.double().flatten()


def exact(name: str, *, only: str = "") -> Tensor:
    """In float64 by double backward; of the module `only`, with the rest frozen."""
    model, *batches = state(name)
    model.double()
    if only:
        model.requires_grad_(False).get_submodule(only).requires_grad_(True)
    wide = [(x.double() if x.is_floating_point() else x, y) for x, y in batches]
    return hypergradient(model, wide[0], wide[1], "reference")


def cosine(a: Tensor, b: Tensor) -> float:
    # Not F.cosine_similarity, which takes norms under 1e-8 for 1e-8.
    return float(a / a.norm() @ (b / b.norm()))


@pytest.mark.parametrize("forward", [inside, Outside()])
@pytest.mark.parametrize("engine", ["finite_difference", "forward"])
@pytest.mark.parametrize("name", MODELS)
def test_bfloat16_autocast_points_as_float64_does(
    name: str, engine: str, forward: Callable[[nn.Module, Tensor], Tensor]
) -> None:
    model, batch, meta = state(name)
    with nullcontext() if forward is inside else bfloat16():
        g = hypergradient(model, batch, meta, engine, forward=forward)
    assert cosine(g, exact(name)) > 0.99


@pytest.mark.parametrize(
    ("name", "head"),
    [("resnet", "stages.2"), ("resnet", "head"), ("words", "body"), ("words", "head")],
)
def test_a_part_of_the_model_replayed_from_bfloat16(name: str, head: str) -> None:
    model, batch, meta = state(name)
    g = hypergradient(model, batch, meta, "head", forward=inside, head=head)
    assert cosine(g, exact(name, only=head)) > 0.99


def test_the_difference_is_taken_without_autocast_and_training_with_it() -> None:
    model, batch, meta = state("resnet")
    seen: list[torch.dtype] = []
    model.get_submodule("conv").register_forward_hook(lambda _, __, out: seen.append(out.dtype))
    hypergradient(model, batch, meta, "finite_difference", forward=inside)
    # Training pass, meta pass; a trial in the first step; then unmoved and moved.
    assert seen == [torch.bfloat16] * 2 + [torch.float32] * 3
    seen.clear()
    hypergradient(model, batch, meta, "finite_difference")
    assert seen == [torch.float32] * 3


class Own(nn.Module):
    """Enters autocast in its own `forward`; logits in float32."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return inside(self.inner, x).float()


class Functional(nn.Module):
    """Layers as functions, so that no module is called under autocast."""

    def __init__(self, autocast: bool = True) -> None:
        super().__init__()
        shapes = [(32, 16), (32, 32), (4, 32)]
        self.weights = nn.ParameterList([torch.randn(shape) / 4 for shape in shapes])
        self.autocast = autocast

    def forward(self, x: Tensor) -> Tensor:
        first, second, last = self.weights
        with torch.autocast("cpu", torch.bfloat16, enabled=self.autocast):
            hidden = F.relu(F.linear(F.relu(F.linear(x, first)), second))
            logits = F.linear(hidden, last)
        return logits.to(x.dtype)


class Converting(Functional):
    """The second layer converts to bfloat16 by itself."""

    def forward(self, x: Tensor) -> Tensor:
        first, second, last = self.weights
        kind = torch.bfloat16 if self.autocast else x.dtype
        hidden = F.linear(F.relu(F.linear(x, first)).to(kind), second.to(kind))
        return F.linear(F.relu(hidden).to(x.dtype), last)


def vectors(kind: type[Functional], *, wide: bool) -> tuple[nn.Module, Batch, Batch]:
    torch.manual_seed(0)
    model = kind(autocast=not wide)
    batches = [(torch.randn(64, 16), torch.randint(4, (64,))) for _ in range(2)]
    if not wide:
        return model, batches[0], batches[1]
    first, second = ((x.double(), y) for x, y in batches)
    return model.double(), first, second


def error(g: Tensor, reference: Tensor) -> float:
    return float((g - reference).norm() / reference.norm())


@pytest.mark.parametrize("name", MODELS)
def test_autocast_that_the_model_enters_is_avoided_too(name: str) -> None:
    model, batch, meta = state(name)
    around = hypergradient(state(name)[0], batch, meta, "finite_difference", forward=inside)
    own = hypergradient(Own(model), batch, meta, "finite_difference")
    # At the coarse step, which 8 bits of mantissa need, the relative error of "words" is 3.5.
    assert error(own, exact(name)) < 0.06
    torch.testing.assert_close(own, around)


@pytest.mark.parametrize(
    ("kind", "largest"), [(Functional, 0.02), (Converting, 0.02)]
)  # at the step of float32: 1.0 and 0.7
@pytest.mark.parametrize("compiled", [False, True])
def test_sixteen_bits_inside_a_model_of_functions(
    kind: type[Functional], largest: float, compiled: bool
) -> None:
    reference = hypergradient(*vectors(kind, wide=True), "reference")
    model, batch, meta = vectors(kind, wide=False)
    coarse = compiled and kind is Functional
    if compiled:
        model.compile(backend="eager")
    with (
        pytest.warns(UserWarning, match="compiled model enters autocast in its own forward")
        if coarse
        else nullcontext()
    ):
        g = hypergradient(model, batch, meta, "finite_difference")
    assert error(g, reference) < (0.15 if coarse else largest)


class ByHand(Functional):
    """Converts everything to bfloat16, in several ways, and changes the results in place."""

    def forward(self, x: Tensor) -> Tensor:
        first, second, last = self.weights
        if not self.autocast:
            return F.linear(torch.tanh(F.linear(torch.tanh(F.linear(x, first)), second)), last)
        hidden = F.linear(x.bfloat16().mul_(1), first.type(torch.bfloat16)).tanh_()
        hidden = F.linear(hidden, second.type_as(hidden)).tanh()
        return F.linear(hidden, last.to(dtype=torch.bfloat16)).float()


class Stubborn(Functional):
    """Needs bfloat16: a tensor that is not converted meets its inputs."""

    def forward(self, x: Tensor) -> Tensor:
        first, second, last = self.weights
        kind = torch.bfloat16 if self.autocast else x.dtype
        hidden = F.linear(x, first).to(kind) @ torch.eye(32, dtype=kind)
        return F.linear(F.linear(hidden, second.to(kind)).tanh(), last.to(kind)).to(x.dtype)


def test_conversions_by_hand_are_left_out_of_the_difference() -> None:
    reference = hypergradient(*vectors(ByHand, wide=True), "reference")
    model, batch, meta = vectors(ByHand, wide=False)
    inputs = batch[0].clone()
    g = hypergradient(model, batch, meta, "finite_difference")
    # In bfloat16, at its coarse step, the error is 0.22.
    assert error(g, reference) < 0.03
    assert torch.equal(batch[0], inputs)
    assert model(batch[0]).dtype == torch.float32


def test_conversions_that_cannot_be_left_out_are_said_once() -> None:
    reference = hypergradient(*vectors(Stubborn, wide=True), "reference")
    model, batch, meta = vectors(Stubborn, wide=False)
    reweighter = GDW(model, torch.optim.SGD(model.parameters(), lr=0.01))
    with pytest.warns(UserWarning, match=r"about 10 %: use torch.autocast .*'reference'") as said:
        reweighter.backward(batch, meta)
    assert len(said) == 1
    reweighter.backward(batch, meta)  # a second warning would be an error
    with pytest.warns(UserWarning, match="converts to bfloat16"):
        g = hypergradient(model, batch, meta, "finite_difference")
    assert error(g, reference) < 0.3
    narrow = vectors(Functional, wide=True)[0].bfloat16()  # has no other precision: no warning
    narrow.autocast = False  # type: ignore[assignment]
    hypergradient(
        narrow, (batch[0].bfloat16(), batch[1]), (meta[0].bfloat16(), meta[1]), "finite_difference"
    )


def test_sixteen_bit_inputs_do_not_make_the_step_coarse() -> None:
    model, (x, y), meta = vectors(Functional, wide=False)
    assert isinstance(model, Functional)
    model.autocast = False
    narrow = x.bfloat16()

    def forward(model: nn.Module, inputs: Tensor) -> Tensor:
        logits: Tensor = model((inputs * 2).float())
        return logits

    wide = hypergradient(model, (2 * narrow.float(), y), meta, "finite_difference")
    assert meta[0].dtype == torch.float32
    g = hypergradient(
        model, (narrow, y), (meta[0] / 2, meta[1]), "finite_difference", forward=forward
    )
    assert torch.equal(g, wide)


def test_autocast_is_as_before_though_the_model_fails_in_the_difference() -> None:
    model, batch, meta = state("words")
    calls = 0

    def fail(_: nn.Module, __: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise ValueError("the third pass")

    handle = model.get_submodule("body").register_forward_pre_hook(fail)
    before = copy.deepcopy(model.state_dict())
    with bfloat16():
        with pytest.raises(ValueError, match="the third pass"):
            hypergradient(model, batch, meta, "finite_difference")
        assert torch.is_autocast_enabled("cpu")
        assert model(batch[0]).dtype == torch.bfloat16
    handle.remove()
    assert not torch.is_autocast_enabled("cpu")
    assert all(torch.equal(model.state_dict()[k], v) for k, v in before.items())
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


class InFloat32(nn.Module):
    """Computes in float32 inside, in a way that is seen or not."""

    def __init__(self, *, seen: bool) -> None:
        super().__init__()
        self.first, self.last, self.seen = nn.Linear(5, 16), nn.Linear(16, 4), seen

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x)
        tanh = torch.tanh(hidden.float()).double() if self.seen else Tanh32.apply(hidden)
        logits: Tensor = self.last(tanh)
        return logits


class Tanh32(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(x)
        return torch.tanh(x.float()).double()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        (x,) = ctx.saved_tensors
        return gradient * (1 - torch.tanh(x) ** 2)


def of_float64(model: nn.Module, engine: str, forward: Any = None) -> Tensor:
    """G of a model in float64."""
    draw = torch.Generator().manual_seed(3)
    x = torch.randn(64, 5, dtype=F64, generator=draw)
    y = torch.randint(4, (64,), generator=draw)
    torch.manual_seed(1)  # for the weighting network
    reweighter = GDW(
        model, torch.optim.SGD(model.parameters(), lr=0.1), hypergradient=engine, forward=forward
    )
    return reweighter.backward((x[:32], y[:32]), (x[32:], y[32:])).hypergradient


@pytest.mark.parametrize("seen", [True, False])
def test_a_model_in_float64_that_computes_in_float32(seen: bool) -> None:
    torch.manual_seed(0)
    model = InFloat32(seen=seen).double()
    exact = nn.Sequential(copy.deepcopy(model.first), nn.Tanh(), copy.deepcopy(model.last))
    expected = of_float64(exact, "forward")
    found = of_float64(model, "finite_difference")
    # With the step of float64, rounding makes the error larger than the value itself.
    assert (found - expected).norm() < 0.03 * expected.norm()


def test_the_step_of_float64_is_kept_where_it_suits() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 4)).double()
    expected = of_float64(copy.deepcopy(model), "forward")
    found = of_float64(model, "finite_difference")
    assert (found - expected).norm() < 1e-5 * expected.norm()


def test_logits_that_jump_are_warned_of() -> None:
    model = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 4)).double()

    def jumping(model: nn.Module, x: Tensor) -> Tensor:
        logits = model(x)
        return logits + (logits.detach() * 1e12).sin()

    with pytest.warns(UserWarning, match="the finite difference depends on its step"):
        of_float64(model, "finite_difference", jumping)
