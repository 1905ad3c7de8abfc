"""Transformers: fused attention, tied embeddings, adapters on a frozen base, activation checkpointing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.checkpoint import checkpoint

from gdw.functional.losses import resolve_loss
from gdw.hypergradient import ENGINES, Problem
from gdw.reweight import GDW

F64 = torch.float64
VOCABULARY, WIDTH = 5, 8
FUSED = {
    "aten._scaled_dot_product_flash_attention_for_cpu.default",
    "aten._scaled_dot_product_flash_attention_for_cpu_backward.default",
}


class Encoder(nn.Module):
    """Token ids `(N, T)` to logits over the vocabulary, by PyTorch's own encoder layers."""

    nested = False

    def __init__(
        self, *, tied: bool = False, dropout: float = 0.0, recompute: bool = False
    ) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(WIDTH, 2, 16, dropout=dropout, batch_first=True)
        self.embed = nn.Embedding(VOCABULARY, WIDTH)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=self.nested)
        self.top = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY))
        self.recompute = recompute
        last = self.top[1]
        assert isinstance(last, nn.Linear)
        for p in self.encoder.parameters():  # the layers of an encoder start out as copies of one
            p.data.add_(0.2 * torch.randn(p.shape))
        last.weight.data.copy_(self.embed.weight)
        if tied:
            last.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for layer in self.encoder.layers:
            x = checkpoint(layer, x, use_reentrant=False) if self.recompute else layer(x)
        logits: Tensor = self.top(x.mean(1))
        return logits


class Padded(Encoder):
    """Knows token 0 as padding at the end, but averages over all positions."""

    nested = True

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.encoder(self.embed(tokens), src_key_padding_mask=tokens == 0)
        logits: Tensor = self.top(x.mean(1))
        return logits


class Adapter(nn.Module):
    """A frozen linear layer plus a trainable product of two thin matrices (LoRA)."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(2, base.in_features, dtype=F64) / 2)
        self.up = nn.Parameter(torch.randn(base.out_features, 2, dtype=F64) / 2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.base(x) + x @ self.down.T @ self.up.T
        return y


class Seen(TorchDispatchMode):
    """The names of the operations that were run: all, and those that were handed a watched storage."""

    def __init__(self, watched: list[nn.Parameter] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.all: set[str] = set()
        self.on_watched: list[str] = []
        self._storages = {p.untyped_storage().data_ptr() for p in watched or []}

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.all.add(str(op))
        given = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        if any(t.untyped_storage().data_ptr() in self._storages for t in given):
            self.on_watched.append(str(op))
        return op(*args, **(kwargs or {}))

    def attention(self) -> set[str]:
        return {name for name in self.all if "attention" in name or "encoder_layer" in name}


def encoder(**options: bool | float) -> Encoder:
    torch.manual_seed(0)
    return Encoder(**options).double()  # type: ignore[arg-type]


def batches(padded: bool = False) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)

    def draw(*shape: int) -> Tensor:
        return torch.randint(VOCABULARY, shape, generator=generator)

    def tokens(n: int) -> Tensor:
        drawn, lengths = draw(n, 4), draw(n, 1).clamp(min=1)
        return torch.where(torch.arange(4) < lengths, drawn.clamp(min=1), 0) if padded else drawn

    return (tokens(7), draw(7)), (tokens(6), draw(6))


WEIGHTS = 2 * torch.rand(7, VOCABULARY, dtype=F64, generator=torch.Generator().manual_seed(2))


def hypergradient(
    model: nn.Module,
    engine: str,
    *,
    head: bool | str = False,
    train: list[nn.Parameter] | None = None,
    padded: bool = False,
) -> Tensor:
    """G by that engine from a fixed random state; `train` is what the optimizer holds, by default all."""
    optimizer = torch.optim.SGD(train or model.parameters(), lr=0.3)
    problem = Problem.of(model, optimizer, resolve_loss("cross_entropy"), head=head)
    batch, meta = batches(padded)
    torch.manual_seed(3)
    return ENGINES[engine](problem, problem.training_pass(batch), WEIGHTS, meta).values


def relative(a: Tensor, b: Tensor) -> float:
    assert b.abs().max() > 1e-5
    return float((a - b).norm() / b.norm())


def reference_of(part: str, **options: bool | float) -> Tensor:
    """The double-backward G with everything frozen but the module of that name ("" for all)."""
    model = encoder(**options)
    return hypergradient(model, "reference", train=list(model.get_submodule(part).parameters()))


@pytest.mark.parametrize(
    ("engine", "head", "part", "tolerance"),
    [
        ("finite_difference", False, "", 1e-5),
        ("head", True, "top.1", 1e-9),
        ("head", "top", "top", 1e-5),
        ("head", "encoder.layers.1", "encoder.layers.1", 1e-5),
        ("head", "encoder.layers.0.self_attn", "encoder.layers.0.self_attn", 1e-5),
    ],
)
def test_the_fused_kernel_is_enough(
    engine: str, head: bool | str, part: str, tolerance: float
) -> None:
    with sdpa_kernel([SDPBackend.FLASH_ATTENTION]), Seen() as seen:
        g = hypergradient(encoder(), engine, head=head)
    assert relative(g, reference_of(part)) < tolerance
    assert {min(FUSED)} <= seen.attention() <= FUSED
    assert (seen.attention() == FUSED) == (part not in ("top", "top.1"))


@pytest.mark.filterwarnings("ignore:(Flash attention kernel not used|Both fused kernels)")
def test_allowing_the_fused_kernel_alone_forbids_the_plain_one() -> None:
    x = torch.randn(2, 2, 4, 4, dtype=F64)
    with (
        sdpa_kernel([SDPBackend.FLASH_ATTENTION]),
        pytest.raises(RuntimeError, match="No available kernel"),
    ):
        F.scaled_dot_product_attention(x, x, x, dropout_p=0.5)


def test_what_needs_the_plain_kernel_takes_it_whatever_is_allowed_outside() -> None:
    for engine in ("reference", "forward"):
        expected = hypergradient(encoder(), engine)
        with sdpa_kernel([SDPBackend.FLASH_ATTENTION]):
            g = hypergradient(encoder(), engine)
        assert relative(g, expected) < 1e-12


@pytest.mark.parametrize(
    ("engine", "head", "part"),
    [
        ("finite_difference", False, ""),
        ("forward", False, ""),
        ("head", True, "top.1"),
        ("head", "encoder.layers.1", "encoder.layers.1"),
    ],
)
def test_eval_mode_computes_as_if_gradients_were_asked_for(
    engine: str, head: bool | str, part: str
) -> None:
    # Without gradients, encoder layers in eval mode give padded positions other values.
    def model() -> Encoder:
        torch.manual_seed(0)
        return Padded().double().eval()

    g = hypergradient(model(), engine, head=head, padded=True)
    whole = model()
    train = list(whole.get_submodule(part).parameters())
    assert relative(g, hypergradient(whole, "reference", train=train, padded=True)) < 1e-5
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("engine", ["finite_difference", "forward"])
def test_tied_embeddings_move_in_both_places(engine: str, dropout: float) -> None:
    g = hypergradient(encoder(tied=True, dropout=dropout), engine)
    expected = hypergradient(encoder(tied=True, dropout=dropout), "reference")
    assert relative(g, expected) < 1e-5
    assert relative(g, hypergradient(encoder(dropout=dropout), "reference")) > 1e-2


@pytest.mark.parametrize(
    ("head", "part", "tolerance"), [(True, "top.1", 1e-9), ("top", "top", 1e-5)]
)
def test_a_tied_head_moves_in_the_head_alone(head: bool | str, part: str, tolerance: float) -> None:
    g = hypergradient(encoder(tied=True), "head", head=head)
    assert relative(g, reference_of(part, tied=False)) < tolerance


def with_adapters() -> tuple[Encoder, list[nn.Parameter], list[nn.Parameter]]:
    """A frozen encoder with adapters after attention; then the adapters' parameters, and the rest."""
    model = encoder().requires_grad_(False)
    for layer in model.encoder.layers:
        layer.linear1, layer.linear2 = Adapter(layer.linear1), Adapter(layer.linear2)
    trained = [p for p in model.parameters() if p.requires_grad]
    return model, trained, [p for p in model.parameters() if not p.requires_grad]


@pytest.mark.parametrize("engine", ["finite_difference", "forward"])
@pytest.mark.parametrize("by", ["requires_grad", "optimizer"])
def test_adapters_alone(engine: str, by: str) -> None:
    model, trained, frozen = with_adapters()
    if by == "optimizer":
        model.requires_grad_(True)
    g = hypergradient(model, engine, train=trained if by == "optimizer" else None)
    assert relative(g, hypergradient(with_adapters()[0], "reference")) < 1e-5
    assert all(p.grad is None for p in (*trained, *frozen))


def test_head_mode_on_a_layer_of_which_only_the_adapters_train() -> None:
    g = hypergradient(with_adapters()[0], "head", head="encoder.layers.1")
    model, _, _ = with_adapters()
    last = [p for p in model.encoder.layers[1].parameters() if p.requires_grad]
    assert relative(g, hypergradient(model, "reference", train=last)) < 1e-5


def test_the_frozen_base_is_neither_moved_nor_copied_nor_given_a_gradient() -> None:
    model, trained, frozen = with_adapters()
    twin, _, base_of_twin = with_adapters()
    batch, meta = batches()
    with Seen(base_of_twin) as plain:
        F.cross_entropy(twin(batch[0]), batch[1]).backward()

    before, versions = [p.detach().clone() for p in frozen], [p._version for p in frozen]
    passes: list[tuple[bool, bool]] = []
    start = [p.detach().clone() for p in trained]

    def note(_: nn.Module, __: Any) -> None:
        still = [all(map(torch.equal, *pair)) for pair in ((frozen, before), (trained, start))]
        passes.append((still[0], still[1]))

    gdw = GDW(model, torch.optim.SGD(trained, lr=0.3))
    gdw.backward(batch, meta)  # in float64 the first one measures the step of the difference too
    with Seen(frozen) as ours:
        gdw.backward(batch, meta)
    model.register_forward_pre_hook(note)
    gdw.backward(batch, meta)
    # Training pass, meta pass at the virtual step, pass for the finite difference.
    assert passes == [(True, True), (True, False), (True, False)]
    assert [p._version for p in frozen] == versions
    assert all((p.grad is None) != p.requires_grad for p in model.parameters())
    # Whatever reads the base (a copy too would) is an operation of plain training, three times at most.
    assert plain.on_watched
    for name in set(ours.on_watched):
        assert ours.on_watched.count(name) <= 3 * plain.on_watched.count(name), name


def test_activation_checkpointing_with_dropout_changes_nothing() -> None:
    def step(recompute: bool) -> tuple[Tensor, list[Tensor], Tensor]:
        model = encoder(dropout=0.3, recompute=recompute)
        gdw = GDW(model, torch.optim.SGD(model.parameters(), lr=0.3))
        torch.manual_seed(3)
        batch, meta = batches()
        gdw.backward(batch, meta)
        g = hypergradient(model, "finite_difference")
        return g, [p.grad for p in model.parameters() if p.grad is not None], torch.rand(1)

    (g, gradients, after), (again, same, then) = step(False), step(True)
    torch.testing.assert_close(again, g, rtol=1e-6, atol=1e-12)
    torch.testing.assert_close(same, gradients, rtol=1e-6, atol=1e-12)
    assert torch.equal(after, then)
