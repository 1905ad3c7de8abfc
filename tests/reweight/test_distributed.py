"""Two processes with half the batch each take the step of one process with the whole batch."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from gdw.hypergradient import Collective
from gdw.reweight import METHODS
from tests.reweight.setting import Setting, assert_close, batches

pytestmark = pytest.mark.skipif(
    not (dist.is_available() and dist.is_gloo_available()), reason="needs the gloo backend"
)


def network() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()


def setting(method: str) -> Setting:
    exact = {} if method == "plain" else {"hypergradient": "forward"}
    return Setting.of(method, network(), **exact)


def halves(pairs: list[tuple[Tensor, Tensor]], rank: int) -> list[tuple[Tensor, Tensor]]:
    """Rank 0 gets 3 examples of each batch, rank 1 the rest: the shares need not be equal."""
    cut = slice(0, 3) if rank == 0 else slice(3, None)
    return [(x[cut], y[cut]) for x, y in pairs]


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    summed = Collective().sum([torch.full((2,), rank + 1.0), torch.tensor(1), torch.ones(1) * rank])
    results: dict[str, list[Tensor]] = {"sum": summed}
    for method in METHODS:
        own = setting(method)
        own.train(halves(batches(10), rank), halves(batches(10, n=6, seed=1), rank))
        results[method] = own.parameters()
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


@pytest.mark.parametrize("method", METHODS)
def test_the_same_parameters_after_ten_steps(
    ranks: list[dict[str, list[Tensor]]], method: str
) -> None:
    alone = setting(method)
    alone.train(batches(10), batches(10, n=6, seed=1))
    assert_close(ranks[0][method], ranks[1][method])
    assert_close(ranks[0][method], alone.parameters(), atol=1e-10)
