"""No step waits for the device: a GPU computes the next one while Python still prepares it.

Tensors on the device "meta" have no data, so they cannot be read; `OperationCounter` counts every attempt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gdw.bench.operations import OperationCounter
from gdw.hypergradient import Collective
from gdw.reweight import Reweighter, build, learned_weights
from gdw.reweight.learned_weights import LearnedWeights, WeightingNetwork
from gdw.reweight.robust.method import CorrectedPlain
from gdw.reweight.robust.targets import PosteriorTargets
from gdw.reweight.step_result import StepResult
from gdw.train.monitoring import EpochSums
from tests.reweight.setting import batch_norm_network

MODELS: dict[str, Callable[[], nn.Module]] = {
    "batch norm": batch_norm_network,
    "dropout": lambda: nn.Sequential(nn.Linear(5, 6), nn.Dropout(), nn.Tanh(), nn.Linear(6, 3)),
}


def posterior(device: str) -> PosteriorTargets:
    tensors = {"labels": (40, 3), "offset": (3,), "weight": (40,), "clean": (6, 3), "noise": (3, 3)}
    made: dict[str, Any] = {k: torch.ones(shape, device=device) for k, shape in tensors.items()}
    return PosteriorTargets(**made, share=0.5, trust=0.5)


def make(method: str, model: nn.Module, options: dict[str, Any]) -> Reweighter:
    groups: list[dict[str, Any]] = [
        {"params": [p], "lr": 0.1 + k} for k, p in enumerate(model.parameters())
    ]
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    if method == "corrected":
        doubtful, offset = torch.ones(40, dtype=torch.bool), torch.ones(3)
        return CorrectedPlain(
            model, optimizer, doubtful=doubtful, offset=offset, noise=torch.eye(3)
        )
    reweighter = build(method, model, optimizer, **options)
    if method == "robust":
        reweighter._targets = posterior("cpu")  # type: ignore[attr-defined]
    return reweighter


STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "gdw": ("gdw", {}),
    "short": ("gdw", {"preset": "short"}),
    "graph kept": ("gdw", {"retain_graph": True}),
    "head": ("gdw", {"hypergradient": "head"}),
    "every other": ("gdw", {"meta_every": 2}),
    "mwn": ("mwn", {}),
    "l2rw": ("l2rw", {}),
    "l2rw, head": ("l2rw", {"hypergradient": "head"}),
    "robust": ("robust", {}),
    "corrected": ("corrected", {}),
    "plain": ("plain", {}),
}


@pytest.mark.parametrize("counted", [False, True], ids=["", "sample weights"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("step", STEPS)
def test_a_step_and_its_sums_fetch_nothing_and_send_nothing(
    step: str, model: str, counted: bool
) -> None:
    method, options = STEPS[step]
    reweighter = make(method, MODELS[model]().to("meta"), options)
    reweighter.names_rows = False
    if counted:
        reweighter.count_examples_as(torch.ones(40))
    dtype = next(reweighter.model.parameters()).dtype
    x, y = torch.randn(8, 5, dtype=dtype).to("meta"), torch.zeros(8, dtype=torch.int64).to("meta")
    indices: Any = torch.arange(8).to("meta")
    sums = EpochSums()
    for _ in range(3):
        with OperationCounter() as counter:
            result = reweighter.backward((x, y), (x, y), indices=indices)
            sums.add(result, y)
            assert sums.are_finite(7, 100)
        assert result.weights.device.type == "meta"
        for parameter in reweighter.model.parameters():
            parameter.grad = None
    assert (counter.reads, counter.uploads) == (0, 0)
    assert counter.clones == 0


def test_the_counter_counts() -> None:
    x = torch.ones(3, device="meta")
    with OperationCounter() as counter:
        x.sum().item()
        bool((x > 0).all())
        x.cpu()
        torch.ones(3).to("meta")
        x.clone()
    assert (counter.reads, counter.uploads, counter.clones) == (3, 1, 1)


@pytest.mark.parametrize("bad_step", [0, 2])
def test_a_bad_gradient_leaves_the_weighting_network_as_it_was(
    bad_step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU the step is undone without knowing; that way and the simple one give the same."""

    def trained(simple: bool) -> list[Tensor]:
        monkeypatch.setattr(learned_weights, "_is_read_at_once", lambda _: simple)
        torch.manual_seed(0)
        learned = LearnedWeights(WeightingNetwork(), lr=0.1)
        for step in range(5):
            losses = torch.linspace(0, 2, 6)
            gradient = torch.linspace(-1, 1, 6)
            if step == bad_step:
                gradient[3] = torch.nan
            learned.learn(learned.propose(losses), gradient, Collective())
        return [*learned.network.parameters(), *learned.tensors()]

    simple, undone = trained(True), trained(False)
    assert all(torch.equal(a, b) for a, b in zip(simple, undone, strict=True))
    assert all(bool(t.isfinite().all()) for t in undone)


def test_sums_of_an_epoch_are_read_when_they_are_asked_for() -> None:
    def result(loss: float, meta_loss: float | None) -> StepResult:
        logits = torch.eye(2)
        return StepResult(
            loss=torch.tensor(loss),
            meta_loss=None if meta_loss is None else torch.tensor(meta_loss),
            logits=logits,
            hypergradient=None,
            first_stage_weights=None,
            weights=logits,
        )

    sums = EpochSums()
    sums.add(result(0.5, 0.25), torch.tensor([0, 0]))
    state = sums.state_dict()
    again = EpochSums.from_states([state])
    again.add(result(1.5, None), torch.tensor([0, 1]))
    assert again.state_dict() == {
        "examples": 4.0, "meta_batches": 1.0, "correct": 3.0, "loss": 4.0, "weight": 2.0,
        "label_weight": 3.0, "other_weight": 1.0, "meta_loss": 0.25, "seconds": 0.0,
    }  # fmt: skip
    assert again.mean_loss() == 1.0
    assert again.are_finite(1, 3)
    again.add(result(float("nan"), 1.0), torch.tensor([0, 1]))
    assert not again.are_finite(2, 3)
    assert again.checked == 1
