"""Grids in which a person verifies some rows of the training data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gdw.errors import ConfigError
from gdw.experiments.answers import Answers
from gdw.experiments.cell_settings import differences
from gdw.runs.config import DataConfig
from gdw.runs.prepare import prepare
from tests.experiments.conftest import MakeGrid, silent


def test_the_verified_rows_have_their_true_labels_and_are_not_trained_on(files: Path) -> None:
    config = DataConfig(path=str(files / "train.npz"), label="y", noise="uniform:0.4")
    prepared = prepare(config, seed=0)
    true = np.arange(80) % 2
    for strategy in ("random", "balanced", "doubtful", "mixed"):
        found = Answers(rows=20, strategy=strategy).given(prepared, config, truth=None, seed=1)  # type: ignore[arg-type]
        assert found.meta is not None
        assert found.clean is not None
        rows = found.clean.row_numbers
        assert found.meta.targets.tolist() == true[rows].tolist()
        same = prepared.train.inputs[rows.copy()]
        assert found.meta.inputs[np.arange(20)].tolist() == same.tolist()
        assert sorted([*rows, *found.source.row_numbers]) == list(range(80))
        assert len(found.train) == len(found.source) == 60
        assert found.source.known_labels.tolist() == found.train.targets.tolist()
    wrong = Answers(rows=20, wrong=1.0).given(prepared, config, truth=None, seed=1)
    assert wrong.meta is not None
    assert wrong.clean is not None
    assert (wrong.meta.targets.numpy() != true[wrong.clean.row_numbers]).all()


def test_a_class_without_an_answer_gets_an_example(files: Path) -> None:
    config = DataConfig(path=str(files / "train.npz"), label="y", noise="uniform:0.2")
    found = Answers(rows=1).given(prepare(config, seed=0), config, truth=None, seed=0)
    assert found.meta is not None
    assert sorted(found.meta.targets.tolist()) == [0, 1]


def test_answers_need_true_labels_and_no_other_clean_set(files: Path) -> None:
    config = DataConfig(path=str(files / "train.npz"), label="y")
    with pytest.raises(ConfigError, match="answers are the true labels"):
        Answers(rows=5).given(prepare(config, seed=0), config, truth=None, seed=0)


def test_a_grid_compares_strategies(make_grid: MakeGrid, tmp_path: Path) -> None:
    methods = {
        "none": {"method": "plain"},
        "mixed": {"method": "l2rw", "answers": {"strategy": "mixed"}},
    }
    grid = make_grid(
        data={"blobs": {"answers": 10}}, methods=methods, data_options={"meta_size": None}
    )
    assert grid.run(jobs=1, log=silent) == 0
    found = {
        cell.method: json.loads((grid.folder.cell(cell) / "result.json").read_text())
        for cell in grid.cells
    }
    assert found["none"]["clean_examples"] == 0
    assert found["mixed"]["clean_examples"] == 10
    assert found["mixed"]["train_examples"] == 70
    settings = [settings.written for settings in grid.cells.values()]
    assert settings[1]["answers"] == {"rows": 10, "strategy": "mixed", "wrong": 0.0}
    assert any(text.startswith("answers") for text in differences(settings[0], settings[1]))
    with pytest.raises(ConfigError, match=r"methods\.mixed\.answers: .*strategy"):
        make_grid(
            data={"blobs": {"answers": 9}},
            methods={"mixed": {"method": "l2rw", "answers": {"strategy": "x"}}},
        )
