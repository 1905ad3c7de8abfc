"""A grid that may run for some minutes: its runs stop with a checkpoint, and the next call goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import pytest

from gdw.experiments import cell_run, worker_pool
from gdw.experiments.cost import Stopwatch, cost
from gdw.experiments.grid import Grid
from gdw.experiments.result_tables import group_tables
from gdw.experiments.results import Results
from tests.experiments.conftest import MakeGrid, silent
from tests.experiments.test_grid import figures

EPOCHS = {"epochs": 120}


def over_after_an_epoch(grid: Grid) -> Any:
    """In place of `multiprocessing.connection.wait`: the time is over when a run has finished two epochs."""

    def wait(connections: Sequence[Any], timeout: float | None) -> list[Any]:
        assert timeout is not None
        last = time.monotonic() + 120
        history = next(iter(grid.folder.path.glob("cells/*"))) / "history.jsonl"
        while not (history.is_file() and history.read_bytes().count(b"\n") >= 2):
            assert time.monotonic() < last, "the run has not begun"
            time.sleep(0.01)
        return []

    return wait


def test_runs_stop_when_the_time_is_over_and_go_on_from_there(
    make_grid: MakeGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    only: Any = {"only": ("method=l2rw",), "training": EPOCHS}
    straight, grid = make_grid("straight", **only), make_grid(**only)
    straight.run(jobs=1, log=silent)
    with monkeypatch.context() as patch:
        patch.setattr(worker_pool, "wait", over_after_an_epoch(grid))
        assert grid.run(jobs=1, log=silent, minutes=1) == 0
    (cell,) = grid.cells
    assert grid.folder.state(cell) == "started"
    part = grid.folder.progress(cell)
    assert part is not None
    assert 2 <= len(part.curve) < EPOCHS["epochs"]
    assert list(grid.folder.cell(cell).glob("checkpoints/*.pt"))
    again = make_grid(**only)
    assert again.run(jobs=1, log=silent) == 0
    assert figures(again) == figures(straight)
    result = again.folder.result(cell)
    assert result["sittings"] == 2
    assert straight.folder.result(cell)["sittings"] == 1
    assert result["step_milliseconds"] > 0
    assert result["peak_memory"] is None
    tables = {
        t.title: t
        for g in Results(again.folder).groups()
        for t in group_tables(Results(again.folder), g)
    }
    assert "Sittings per run" in tables
    assert not any("GPU" in title for title in tables)


def test_a_grid_that_was_moved_goes_on(
    make_grid: MakeGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(Stopwatch):
        def on_epoch(self, record: dict[str, Any]) -> None:
            if record["epoch"] == 3:
                raise KeyboardInterrupt
            super().on_epoch(record)

    only: Any = {"only": ("method=plain",)}
    only["data"] = {"digits": {"prepare": {"how": "digits", "flat": True}}}
    training = {"epochs": 4, "batch_size": 100, "accelerator": "cpu"}
    only["base"] = {"data": {"meta_size": 20}, "model": {"name": "mlp:8"}, "training": training}
    grid = make_grid("before", **only)
    with monkeypatch.context() as patch:
        patch.setattr(cell_run, "Stopwatch", Killed)
        with pytest.raises(KeyboardInterrupt):
            grid.run(jobs=1, log=silent)
    grid.folder.path.rename(grid.folder.path.with_name("after"))
    moved = make_grid("after", **only)
    assert moved.run(jobs=1, log=silent) == 0
    straight = make_grid("straight", **only)
    straight.run(jobs=1, log=silent)
    assert figures(moved) == figures(straight)


def test_a_grid_with_enough_time_ends_as_without_a_limit(make_grid: MakeGrid) -> None:
    only: Any = {"only": ("method=l2rw",)}
    straight, grid = make_grid("straight", **only), make_grid(**only)
    straight.run(jobs=1, log=silent)
    assert grid.run(jobs=1, log=silent, minutes=30) == 0
    assert figures(grid) == figures(straight)


def test_cost_of_a_run_of_several_sittings() -> None:
    history = [
        {"seconds": 2.0, "wall_seconds": 3.0, "step": 10, "peak_memory": 5},
        {"seconds": 4.0, "wall_seconds": 5.0, "step": 20, "peak_memory": 9},
        {"seconds": 3.0, "wall_seconds": 4.0, "step": 30},
    ]
    assert cost(history, 2) == {
        "training_seconds": 9.0,
        "seconds": 12.0,
        "step_milliseconds": 300.0,
        "peak_memory": 9,
        "sittings": 2,
    }
    stopwatch = Stopwatch()
    stopwatch.load_state_dict({})  # of an earlier version
    assert stopwatch.sittings == 2
