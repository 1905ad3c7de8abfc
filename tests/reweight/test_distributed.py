"""Two processes with half the batch each take the step of one process with the whole batch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from gdw.hypergradient import Collective
from gdw.reweight import METHODS, build
from gdw.reweight.robust.targets import PosteriorTargets
from tests.reweight.setting import Setting, assert_close, batches

pytestmark = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="needs the gloo backend"
)


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()


RUNS = (*METHODS, "gdw, head only")


def setting(name: str) -> Setting:
    method, _, restricted = name.partition(", ")
    exact: dict[str, Any] = {}
    if "hypergradient" in METHODS[method].Options.model_fields:
        exact = {"hypergradient": "head" if restricted else "forward"}
    if method == "co_teaching":
        exact = {"forget_rate": 0.0}  # each process chooses among its own examples
    return Setting.of(method, network(), **exact)


def halves(pairs: list[tuple[Tensor, Tensor]], rank: int) -> list[tuple[Tensor, Tensor]]:
    """Rank 0 gets 3 examples of each batch, rank 1 the rest: the shares need not be equal."""
    cut = slice(0, 3) if rank == 0 else slice(3, None)
    return [(x[cut], y[cut]) for x, y in pairs]


def unused_after_decay(rank: int | None) -> Tensor:
    """A trained parameter that no batch uses, after steps with weight decay."""
    model = network()
    model.register_parameter("spare", nn.Parameter(torch.ones(2, dtype=torch.float64)))
    own = Setting.of("plain", model)
    data = batches(3) if rank is None else halves(batches(3), rank)
    own.train(data, data)
    return own.model.spare.detach().clone()


def network_drawn_apart(rank: int) -> list[Tensor]:
    """The weighting network after steps, though each process drew it from a seed of its own."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2)
    torch.manual_seed(rank)
    own = Setting(model, optimizer, build("mwn", model, optimizer))
    own.train(halves(batches(3), rank), halves(batches(3, n=6, seed=1), rank))
    return list(own.reweighter.state_dict()["learned_weights"]["network"].values())


def posterior_steps(rank: int | None) -> list[Tensor]:
    """Parameters after steps on prepared labels of which some count in part, clean rows among them."""
    own = Setting.of("robust", network(), labels=None)
    draw = torch.Generator().manual_seed(4)
    train, meta = batches(3), batches(3, n=6, seed=1)
    size = len(train[0][1])
    own.reweighter._targets = PosteriorTargets(
        labels=torch.rand(size, 3, generator=draw).softmax(1),
        offset=torch.randn(3, generator=draw),
        weight=torch.tensor([1.0, 0.0, 0.3, 1.0, 0.3, 0.0, 1.0, 1.0])[:size],
        clean=torch.eye(3),  # for the trainer, which this loop does without
        share=1.0,
        noise=torch.rand(3, 3, generator=draw).softmax(1),
        trust=0.3,
    )
    places = list(range(size))
    if rank is not None:
        train, meta = halves(train, rank), halves(meta, rank)
        places = places[:3] if rank == 0 else places[3:]
    for batch, clean in zip(train, meta, strict=True):
        own.reweighter.backward(batch, clean, indices=places)
        own.optimizer.step()
        own.optimizer.zero_grad()
    return own.parameters()


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    summed = Collective().sum([torch.full((2,), rank + 1.0), torch.tensor(1), torch.ones(1) * rank])
    results: dict[str, list[Tensor]] = {"sum": summed}
    for method in RUNS:
        own = setting(method)
        own.train(halves(batches(10), rank), halves(batches(10, n=6, seed=1), rank))
        results[method] = own.parameters()
    results["unused"] = [unused_after_decay(rank)]
    results["prepared labels"] = posterior_steps(rank)
    results["drawn_apart"] = network_drawn_apart(rank)
    torch.save(results, f"{folder}/rank{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, list[Tensor]]]:
    folder = tmp_path_factory.mktemp("gloo")
    mp.spawn(worker, (str(folder),), nprocs=2)
    return [torch.load(Path(folder, f"rank{r}.pt"), weights_only=True) for r in range(2)]


def test_sums_travel_by_dtype_and_keep_their_shapes(ranks: list[dict[str, list[Tensor]]]) -> None:
    for result in ranks:
        assert_close(result["sum"], [torch.full((2,), 3.0), torch.tensor(2), torch.ones(1)], atol=0)


@pytest.mark.parametrize("method", RUNS)
def test_the_same_parameters_after_ten_steps(
    ranks: list[dict[str, list[Tensor]]], method: str
) -> None:
    alone = setting(method)
    alone.train(batches(10), batches(10, n=6, seed=1))
    assert_close(ranks[0][method], ranks[1][method])
    assert_close(ranks[0][method], alone.parameters(), atol=1e-10)


def test_prepared_labels_are_weighed_over_all_processes(
    ranks: list[dict[str, list[Tensor]]],
) -> None:
    alone = posterior_steps(None)
    for result in ranks:
        assert_close(result["prepared labels"], alone, rtol=1e-6, atol=1e-8)


def test_an_unused_parameter_does_not_decay_on_many_processes_either(
    ranks: list[dict[str, list[Tensor]]],
) -> None:
    assert_close([unused_after_decay(None)], [torch.ones(2, dtype=torch.float64)])
    for result in ranks:
        assert_close(result["unused"], [torch.ones(2, dtype=torch.float64)])


def test_processes_share_one_weighting_network(ranks: list[dict[str, list[Tensor]]]) -> None:
    assert_close(ranks[0]["drawn_apart"], ranks[1]["drawn_apart"])
