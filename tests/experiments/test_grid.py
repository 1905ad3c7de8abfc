"""The runner: what is skipped, resumed, refused, and what one bad cell costs."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from gdw.audit import Recorder
from gdw.errors import ConfigError, RunError
from gdw.experiments import cell_run
from gdw.experiments.cells import Cell
from gdw.experiments.grid import Grid
from gdw.experiments.results import Results
from gdw.runs import evaluate, load
from tests.experiments.conftest import MakeGrid, silent

FIGURES = (
    "accuracy",
    "balanced_accuracy",
    "nll",
    "ece",
    "curve",
    "detection_auroc",
    "detection_precision",
    "wrong_labels",
)


def results(grid: Grid) -> dict[Cell, dict[str, Any]]:
    return {cell: grid.folder.result(cell) for cell in grid.cells}


def figures(grid: Grid) -> dict[Cell, list[Any]]:
    return {cell: [r[name] for name in FIGURES] for cell, r in results(grid).items()}


def test_a_grid_leaves_runs_that_can_be_used(make_grid: MakeGrid, files: Path) -> None:
    grid = make_grid()
    said: list[str] = []
    assert grid.run(jobs=1, log=said.append) == 0
    for cell, result in results(grid).items():
        run = load(grid.folder.cell(cell))
        test = run.read(str(files / "test.npz"), label="label")
        assert evaluate(run, test)["accuracy"] == pytest.approx(result["curve"][-1])
        assert sum(result["curve"]) / 4 == pytest.approx(result["accuracy"])
        assert 0.05 < result["wrong_labels"] < 0.35
        assert not (grid.folder.cell(cell) / "checkpoints").exists()
    assert [line.partition(":")[0] for line in said] == [
        "[1/2] blobs, uniform 0.4",
        "[2/2] blobs, uniform 0.4",
    ]


def test_all_methods_of_a_seed_see_the_same_data(make_grid: MakeGrid) -> None:
    grid = make_grid(seeds=[0, 1])
    grid.run(jobs=1, log=silent)
    sums = {
        cell: (grid.folder.cell(cell) / "encoder" / "data.json").read_text() for cell in grid.cells
    }
    by_seed = {seed: {text for cell, text in sums.items() if cell.seed == seed} for seed in (0, 1)}
    # The clean examples are in the sums of methods that need some.
    training = {
        s: {json.loads(t)["sha256"]["training"] for t in texts} for s, texts in by_seed.items()
    }
    assert len(training[0]) == len(training[1]) == 1
    assert training[0] != training[1]


def test_finished_cells_are_skipped_and_new_ones_added(make_grid: MakeGrid) -> None:
    make_grid().run(jobs=1, log=silent)
    grid = make_grid(methods={"plain": {}, "l2rw": {}, "mwn": {}})
    assert [cell.method for cell in grid.pending] == ["mwn"]
    before = {
        cell: (grid.folder.cell(cell) / "result.json").stat().st_mtime_ns
        for cell in list(grid.cells)[:2]
    }
    said: list[str] = []
    assert grid.run(jobs=1, log=said.append) == 0
    assert len(said) == 1
    assert "[3/3]" in said[0]
    assert all(
        (grid.folder.cell(c) / "result.json").stat().st_mtime_ns == t for c, t in before.items()
    )
    assert sum(sitting["cells"] for sitting in grid.folder.sittings()[0]) == 3


def test_a_cell_killed_in_the_middle_ends_as_if_it_had_not_been(
    make_grid: MakeGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = make_grid("straight")
    straight.run(jobs=1, log=silent)
    grid = make_grid()

    class Killed(cell_run.Stopwatch):
        def on_epoch(self, record: dict[str, Any]) -> None:
            if record["epoch"] == 3:
                raise KeyboardInterrupt
            super().on_epoch(record)

    with monkeypatch.context() as patch:
        patch.setattr(cell_run, "Stopwatch", Killed)
        with pytest.raises(KeyboardInterrupt):
            grid.run(jobs=1, log=silent)
    first = next(iter(grid.cells))
    assert grid.folder.state(first) == "started"
    assert len((grid.folder.cell(first) / "history.jsonl").read_text().splitlines()) == 2
    again = make_grid()
    assert again.run(jobs=1, log=silent) == 0
    assert figures(again) == figures(straight)


def test_ctrl_c_stops_within_an_epoch_and_the_same_call_goes_on(
    make_grid: MakeGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = make_grid("straight")
    straight.run(jobs=1, log=silent)
    grid = make_grid()
    original = Recorder.on_batch

    def interrupted(self: Recorder, epoch: int, indices: Any, result: Any) -> None:
        original(self, epoch, indices, result)
        if epoch == 4:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "on_batch", interrupted)
        with pytest.raises(KeyboardInterrupt):
            grid.run(jobs=1, log=silent)
    first = next(iter(grid.cells))
    assert grid.folder.state(first) == "started"
    assert len((grid.folder.cell(first) / "history.jsonl").read_text().splitlines()) == 3
    assert make_grid().run(jobs=1, log=silent) == 0
    assert figures(make_grid()) == figures(straight)


def test_a_failed_cell_is_recorded_and_the_others_go_on(make_grid: MakeGrid) -> None:
    methods = {"bad": {"method": "plain", "training": {"lr": 1e30}}, "plain": {}}
    grid = make_grid(methods=methods)
    assert grid.run(jobs=1, log=silent) == 1
    bad, plain = grid.cells
    assert (grid.folder.state(bad), grid.folder.state(plain)) == ("failed", "done")
    assert grid.folder.failure(bad).startswith("training diverged")
    assert make_grid(methods=methods).pending == [bad]
    methods["bad"]["training"] = {"lr": 0.1}
    right = make_grid(methods=methods)
    assert right.run(jobs=1, log=silent) == 0
    assert right.folder.state(bad) == "done"


def test_data_that_cannot_be_made_fail_only_their_cells(make_grid: MakeGrid, files: Path) -> None:
    lost = {"prepare": {"how": "subset", "train": "no.parquet", "test": "no.parquet"}}
    grid = make_grid(data={"lost": lost, "gone": {"path": "gone.npz"}, "blobs": {}})
    assert grid.run(jobs=1, log=silent) == 4
    why = {cell.data: grid.folder.failure(cell) for cell in grid.cells if cell.data != "blobs"}
    assert "no.parquet" in why["lost"]
    assert "gone.npz" in why["gone"]


def test_an_unexpected_error_is_one_cells_own(
    make_grid: MakeGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(folder: Path) -> bool:
        raise RuntimeError("out of\nmemory")

    monkeypatch.setattr(cell_run, "train_cell", broken)
    grid = make_grid()
    assert grid.run(jobs=1, log=silent) == 2
    cell = next(iter(grid.cells))
    assert grid.folder.failure(cell) == "RuntimeError: out of memory"
    assert "in broken" in (grid.folder.cell(cell) / "failed.json").read_text()


def test_a_changed_protocol_is_refused_with_what_changed(make_grid: MakeGrid) -> None:
    make_grid().run(jobs=1, log=silent)
    with pytest.raises(RunError, match=r"epochs \(was 4, now 5\); restore them"):
        make_grid(training={"epochs": 5})
    with pytest.raises(RunError, match=r"meta_size \(was 8, now 10\)"):
        make_grid(data_options={"meta_size": 10})
    with pytest.raises(RunError, match=r"truth \(was None, now 'y'\)"):
        make_grid(data={"blobs": {"truth": "y"}})
    make_grid(training={"progress": "lines", "checkpoint_every": 3})
    make_grid(training={"epochs": 5}, only=("method=plain",), output="other")


def test_a_grid_of_010_goes_on_under_the_new_names(make_grid: MakeGrid) -> None:
    before = make_grid(methods={"gdw_robust": {"method": "robust", "method_options": {"folds": 0}}})
    before.run(jobs=1, log=silent)
    (old,) = before.cells
    path = before.folder.cell(old) / "cell.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["gdw_version"]
    for section in (content["settings"], content["config"]):
        options = {"preset": "robust", "posterior": {"folds": 0}}
        section["training"] |= {"method": "gdw", "method_options": options}
    path.write_text(json.dumps(content), encoding="utf-8")
    entry = {"formerly": "gdw_robust", "method_options": {"folds": 0}}
    grid = make_grid(methods={"robust": entry, "plain": {}})
    assert [cell.method for cell in grid.pending] == ["plain"]
    assert grid.run(jobs=1, log=silent) == 0
    assert grid.folder.unknown_cells(grid.cells) == []
    assert {path.name.split("__")[2] for path in (grid.folder.path / "cells").iterdir()} == {
        "gdw_robust",
        "plain",
    }
    assert set(Results(grid.folder).results) == set(grid.cells)
    with pytest.raises(
        RunError, match=r"folds.*with other settings|other settings: method_options"
    ):
        make_grid(methods={"robust": {"formerly": "gdw_robust"}})


def test_nothing_is_written_before_all_cells_fit(make_grid: MakeGrid, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown method 'gwd'"):
        make_grid(methods={"plain": {}, "gwd": {}})
    assert not (tmp_path / "grid").exists()


def test_human_labels_beside_the_true_ones(make_grid: MakeGrid, files: Path) -> None:
    import numpy as np

    with np.load(files / "train.npz") as arrays:
        X, y = arrays["X"], arrays["y"]
    human = y.copy()
    human[:10] = 1 - human[:10]
    np.savez(files / "train.npz", X=X, label=y, human=human)
    np.savez(files / "test.npz", X=X, label=y)
    entry = {"truth": "label", "label": "human", "meta_label": "label"}
    grid = make_grid(data={"blobs": entry}, noise=[None], methods={"plain": {}, "clean_only": {}})
    assert grid.run(jobs=1, log=silent) == 0
    for result in results(grid).values():
        assert 0.05 < result["wrong_labels"] <= 10 / 72
        assert result["detection_auroc"] > 0.9


@pytest.mark.slow
def test_cells_side_by_side_and_a_worker_that_dies(make_grid: MakeGrid) -> None:
    straight = make_grid("straight", seeds=[0, 1])
    straight.run(jobs=1, log=silent)
    import multiprocessing

    grid = make_grid(seeds=[0, 1])
    killed: list[int] = []

    def kill_one(text: str) -> None:
        for child in multiprocessing.active_children():
            if not killed and child.pid is not None:
                killed.append(child.pid)
                os.kill(child.pid, signal.SIGKILL)

    failed = grid.run(jobs=2, log=kill_one)
    assert killed
    states = [grid.folder.state(cell) for cell in grid.cells]
    assert states.count("failed") == failed <= 1
    assert states.count("done") == 4 - failed
    expected, found = figures(straight), results(grid) if not failed else {}
    for cell, result in found.items():
        assert result["curve"] == pytest.approx(expected[cell][4])


def test_two_processes_do_not_work_on_one_grid(make_grid: MakeGrid) -> None:
    fcntl = pytest.importorskip("fcntl")
    grid = make_grid()
    grid.folder.keep_protocol(grid.protocol)
    with (grid.folder.path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="another process"):
            grid.run(jobs=1, log=silent)
