"""Parameters that `fully_shard` spreads over two and three processes take the steps of one process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import ColwiseParallel, parallelize_module

import gdw
from gdw.errors import ConfigError
from gdw.hypergradient import engines
from gdw.reweight import build
from tests.reweight.setting import Labels, Setting, assert_close, batches

pytestmark = pytest.mark.skipif(not dist.is_gloo_available(), reason="needs the gloo backend")


class Mixed(nn.Module):
    """Layers of uneven sizes, one weight used twice, one frozen, and a parameter that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.twice = nn.Linear(5, 7), nn.LayerNorm(7), nn.Linear(7, 7)
        self.tail = nn.Sequential(nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, 3))
        self.norm.bias.requires_grad_(False)
        self.spare = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.norm(self.first(x)))
        return self.tail(torch.tanh(self.twice(torch.tanh(self.twice(x)))))


def whole(model: Any) -> None:
    """The root keeps its parameters gathered between passes, the layers inside do not."""
    fully_shard(model.first)
    fully_shard(model.twice)
    fully_shard(model)


def in_parts(model: Any) -> None:
    """Some layers only: the parameters of the others are whole on every process."""
    fully_shard(model.twice)
    fully_shard(model.tail[2])


def divided_by_hand(model: Any) -> None:
    """With factors of the user by which gradients are divided."""
    whole(model)
    model.set_gradient_divide_factor(3.0)
    model.twice.set_gradient_divide_factor(0.5)


def replicated(model: Any) -> None:
    """Each process has all parts, as far as the mesh goes; PyTorch calls that hybrid."""
    names = ("replicate", "shard")
    mesh = init_device_mesh("cpu", (dist.get_world_size(), 1), mesh_dim_names=names)
    fully_shard(model.twice, mesh=mesh)
    fully_shard(model, mesh=mesh)


Run = tuple[str, dict[str, Any], Callable[[Any], None]]
DIFFERENCE = {"hypergradient": "finite_difference"}
HEAD = {"hypergradient": "head"}
KEPT = {"meta_gradient_every": 2, "meta_gradient_momentum": 0.5}
RUNS: dict[str, Run] = {
    "gdw": ("gdw", DIFFERENCE, whole),
    "gdw, in parts": ("gdw", DIFFERENCE, in_parts),
    "gdw, replicated": ("gdw", DIFFERENCE, replicated),
    "gdw, graph kept": ("gdw", {"retain_graph": True, **DIFFERENCE}, divided_by_hand),
    "gdw, gradient kept": ("gdw", {**KEPT, **DIFFERENCE}, in_parts),
    "gdw, head": ("gdw", HEAD, whole),
    "gdw, head, in parts": ("gdw", HEAD, in_parts),
    "gdw, head of two layers": ("gdw", {"head": "tail", **HEAD}, whole),
    "mwn": ("mwn", DIFFERENCE, whole),
    "l2rw": ("l2rw", DIFFERENCE, whole),
    "plain": ("plain", {}, whole),
    "robust": ("robust", {}, whole),
}


def share(batch: tuple[Tensor, Tensor], rank: int, size: int) -> tuple[Tensor, Tensor]:
    """A part of a batch: the shares need not be equal."""
    return batch[0].tensor_split(size)[rank], batch[1].tensor_split(size)[rank]


def whole_of(parameter: Tensor) -> Tensor:
    parameter = parameter.detach()
    return parameter.full_tensor() if isinstance(parameter, DTensor) else parameter.clone()


def setting(run: Run, *, sharded: bool) -> Setting:
    method, options, shard = run
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Mixed().double()
    if sharded:
        shard(model)
    first, *rest = [p for p in model.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [{"params": [first], "lr": 0.1}, {"params": rest}]
    optimizer = torch.optim.SGD(groups, lr=0.2, momentum=0.9, weight_decay=1e-3)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        own = Setting(model, optimizer, build(method, model, optimizer, **options))
    own.reweighter.prepare(Labels())
    return own


def steps(run: Run, rank: int = 0, size: int = 1, *, sharded: bool) -> list[list[Tensor]]:
    """G of each of three steps, and the meta losses and parameters."""
    # With the usual step of 1e-10 the difference would enlarge the rounding of two orders of summation.
    engines.relative_step = lambda *_: 1e-3
    own, g, rest = setting(run, sharded=sharded), [], []
    for batch, meta in zip(batches(3, n=11), batches(3, n=7, seed=1), strict=True):
        parts, places = (share(b, rank, size) for b in (batch, meta)), torch.arange(11)
        step = own.reweighter.backward(*parts, indices=places.tensor_split(size)[rank])
        g += [step.weights if step.hypergradient is None else step.hypergradient]
        rest += [] if step.meta_loss is None else [step.meta_loss]
        own.optimizer.step()
        own.optimizer.zero_grad()
    return [g, rest + [whole_of(p) for p in own.model.parameters()]]


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    for size in (3, 2):
        if rank >= size:
            return
        store = f"file://{folder}/store{size}"
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=size)
        found = {name: steps(run, rank, size, sharded=True) for name, run in RUNS.items()}
        torch.save(found, f"{folder}/{size}-{rank}.pt")
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharded")
    mp.spawn(worker, (str(folder),), nprocs=3)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize("name", RUNS)
def test_sharded_parameters_take_the_steps_of_one_process(
    folder: Path, name: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engines, "relative_step", engines.relative_step)
    g, rest = steps(RUNS[name], sharded=False)
    for rank in range(size):
        own_g, own_rest = torch.load(folder / f"{size}-{rank}.pt", weights_only=True)[name]
        assert_close(own_g, [one.tensor_split(size)[rank] for one in g], atol=1e-10)
        assert_close(own_rest, rest, atol=1e-10)


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[None]:
    """A group of this process alone, in which PyTorch shards all the same."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


BATCH, CLEAN = batches(1, n=11)[0], batches(1, n=7, seed=1)[0]


def local_of(model: nn.Module) -> list[Tensor]:
    return [
        p.to_local().clone() if isinstance(p, DTensor) else p.detach().clone()
        for p in model.parameters()
    ]


@pytest.mark.usefixtures("alone")
def test_a_step_leaves_parameters_to_the_bit_and_adds_to_gradients() -> None:
    own = setting(("gdw", DIFFERENCE, whole), sharded=True)
    before = local_of(own.model)
    own.reweighter.backward(BATCH, CLEAN)
    once = [None if p.grad is None else whole_of(p.grad) for p in own.model.parameters()]
    own.reweighter.load_state_dict(
        setting(("gdw", DIFFERENCE, whole), sharded=True).reweighter.state_dict()
    )
    own.reweighter.backward(BATCH, CLEAN)
    assert_close(local_of(own.model), before)
    for p, gradient in zip(own.model.parameters(), once, strict=True):
        assert (p.grad is None) == (gradient is None)
        if gradient is not None:
            torch.testing.assert_close(whole_of(p.grad), 2 * gradient, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("alone")
def test_an_error_in_a_moved_pass_leaves_a_model_that_trains_on() -> None:
    own, other = (setting(("gdw", DIFFERENCE, whole), sharded=True) for _ in range(2))
    before, passes = local_of(own.model), 0

    def fail(*_: Any) -> None:
        nonlocal passes
        passes += 1
        if passes == 2:  # the meta pass, with the parameters of the virtual step
            raise ValueError("no")

    handle = own.model.tail.register_forward_hook(fail)
    with pytest.raises(ValueError, match="no"):
        own.reweighter.backward(BATCH, CLEAN)
    handle.remove()
    assert_close(local_of(own.model), before)
    steps = [one.reweighter.backward(BATCH, CLEAN) for one in (own, other)]
    assert torch.equal(steps[0].hypergradient, steps[1].hypergradient)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("engine", ["forward", "reference"])
def test_engines_that_need_whole_parameters_name_those_that_do_not(engine: str) -> None:
    with pytest.raises(ConfigError, match="use hypergradient='finite_difference' or 'head'"):
        setting(("gdw", {"hypergradient": engine}, whole), sharded=True)


@pytest.mark.usefixtures("alone")
def test_gradients_that_are_not_summed_are_refused() -> None:
    own = setting(("gdw", HEAD, whole), sharded=True)
    own.model.set_requires_gradient_sync(False)
    with pytest.raises(ConfigError, match=r"leave out set_requires_gradient_sync\(False\)"):
        own.reweighter.backward(BATCH, CLEAN)
    own.model.set_requires_gradient_sync(True)
    own.reweighter.backward(BATCH, CLEAN)


@pytest.mark.usefixtures("alone")
def test_other_ways_to_shard_are_refused() -> None:
    model = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3))
    mesh = init_device_mesh("cpu", (1,))
    tensor_parallel = parallelize_module(model, mesh, {"0": ColwiseParallel()})
    with pytest.raises(ConfigError, match=r"'0\.weight' is placed as .* with fully_shard alone"):
        gdw.GDW(tensor_parallel, torch.optim.SGD(tensor_parallel.parameters(), lr=0.1))
    with pytest.raises(ConfigError, match=r"gdw\.Trainer and gdw\.prepare train whole models"):
        gdw.Trainer(epochs=1).fit(tensor_parallel, BATCH, CLEAN)


@pytest.mark.usefixtures("alone")
def test_a_policy_of_16_bits_is_warned_of() -> None:
    def shard(model: Any) -> None:
        fully_shard(model, mp_policy=MixedPrecisionPolicy(param_dtype=torch.bfloat16))

    with pytest.warns(UserWarning, match="use torch.autocast in its place"):
        own = setting(("gdw", DIFFERENCE, shard), sharded=True)
    exact = setting(("gdw", {"hypergradient": "forward"}, shard), sharded=False)
    found, expected = (
        one.reweighter.backward(BATCH, CLEAN).hypergradient.flatten().double()
        for one in (own, exact)
    )
    assert torch.cosine_similarity(found, expected, dim=0) > 0.9


@pytest.mark.usefixtures("alone")
def test_what_was_prepared_with_the_whole_model_goes_over() -> None:
    first = setting(("robust", {}, whole), sharded=False)
    own = setting(("robust", {}, whole), sharded=True)
    own.reweighter.load_state_dict(first.reweighter.state_dict())
    a, b = (one.reweighter.backward(BATCH, CLEAN, indices=range(11)) for one in (first, own))
    assert torch.equal(a.weights, b.weights)
