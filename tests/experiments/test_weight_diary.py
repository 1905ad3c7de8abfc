"""The weights over a training, against sums made by hand; and the pictures of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from gdw.experiments import weight_plots
from gdw.experiments.plots import pictures
from gdw.experiments.results import Results
from gdw.experiments.weight_diary import LOSSES, MEANS, WeightDiary, diary_of
from gdw.reweight import StepResult
from gdw.reweight.learned_weights import WeightingNetwork
from tests.experiments.conftest import MakeGrid, silent


def result_of(weights: Tensor) -> StepResult:
    return StepResult(weights.mean(), None, weights, None, None, weights)


def started(given: list[int], *, network: Any = None) -> WeightDiary:
    """A diary for examples whose true labels are 0, 1, 2, unknown, 1, 0."""
    diary = WeightDiary(np.array([0, 1, 2, 4, 5]), np.array([0, 1, 2, 1, 0]))
    view: Any = SimpleNamespace(
        targets=lambda: torch.tensor(given), weighting_network=lambda: network
    )
    diary.on_start(view)
    return diary


def test_means_of_right_and_wrong_labels() -> None:
    diary = started([0, 2, 2, 0, 1, 1])
    generator = torch.Generator().manual_seed(0)
    by_hand: dict[str, list[float]] = {name: [] for name in MEANS}
    truth = {0: 0, 1: 1, 2: 2, 4: 1, 5: 0}
    given = [0, 2, 2, 0, 1, 1]
    for rows in ([5, 0, 3], [1, 2, 6], [4, 7, 1]):  # 6 and 7 are clean examples that were appended
        weights = torch.rand(3, 3, generator=generator)
        diary.on_batch(1, rows, result_of(weights))
        for row, values in zip(rows, weights.tolist(), strict=True):
            if row not in truth:
                continue
            y, t = given[row], truth[row]
            others = [w for c, w in enumerate(values) if c not in (y, t)]
            if y == t:
                by_hand["right_given"].append(values[y])
                by_hand["right_other"].append(sum(others) / len(others))
            else:
                by_hand["wrong_given"].append(values[y])
                by_hand["wrong_true"].append(values[t])
                by_hand["wrong_other"].append(sum(others) / len(others))
    stopped = started([0, 2, 2, 0, 1, 1])
    stopped.load_state_dict(diary.state_dict())
    record: dict[str, Any] = {}
    for one in (diary, stopped):
        one.on_epoch(record := {})
        expected = {f"weight_{k}": sum(v) / len(v) for k, v in by_hand.items()}
        assert record == pytest.approx(expected)
    assert diary.state_dict() == {}


def test_the_weighting_function_is_recorded_at_the_losses() -> None:
    network = WeightingNetwork(5)
    diary = started([0] * 6, network=network)
    diary.on_batch(1, [0], result_of(torch.ones(1, 3)))
    diary.on_epoch(record := {"epoch": 1})
    with torch.no_grad():
        expected = [network(torch.tensor([[loss]])).item() for loss in LOSSES]
    assert record["weighting_function"] == pytest.approx(expected)
    assert record["weight_wrong_true"] is None, "no label in the batch is wrong"
    found = diary_of([{**record, "epoch": epoch} for epoch in range(1, 31)])
    assert found["weighting_functions"]["epochs"] == [1, 4, 8, 11, 15, 19, 22, 26, 30]
    assert len(found["weights_over_training"]["right_given"]) == 30
    assert diary_of([{"epoch": 1}]) == {}


def test_a_grid_records_and_shows_the_weights(make_grid: MakeGrid) -> None:
    methods = {"plain": {}, "mwn": {}}
    grid = make_grid(records_weights=True, methods=methods, training={"epochs": 2})
    assert grid.run(jobs=1, log=silent) == 0
    results = Results(grid.folder)
    (group,) = results.groups()
    (setting,) = group.settings
    assert weight_plots.recorded(results, group, setting, weight_plots.WEIGHTS) == ["mwn"]
    names = [name for name, _, _ in pictures(results)]
    assert names[-2:] == [f"weights-{setting.slug}", f"functions-{setting.slug}"]
    for _, title, svg in list(pictures(results, width=3.4))[-2:]:
        assert str(setting) in title
        assert svg.startswith("<svg")
