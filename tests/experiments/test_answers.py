"""Grids in which a person verifies some rows of the training data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gdw.errors import ConfigError
from gdw.experiments.answers import Answers
from gdw.experiments.cell_settings import differences
from gdw.runs.config import DataConfig, RunConfig
from gdw.runs.model_config import ModelConfig
from gdw.runs.prepare import prepare
from gdw.train.config import TrainConfig
from tests.experiments.conftest import MakeGrid, silent


def test_the_verified_rows_have_their_true_labels_and_are_not_trained_on(files: Path) -> None:
    config = DataConfig(path=str(files / "train.npz"), label="y", noise="uniform:0.4")
    prepared = prepare(config, seed=0)
    true = np.arange(80) % 2
    for strategy in ("random", "balanced", "doubtful", "mixed"):
        found, bad = Answers(rows=20, strategy=strategy).given(prepared, config, truth=None, seed=1)  # type: ignore[arg-type]
        assert not bad.any()
        assert found.meta is not None
        assert found.clean is not None
        rows = found.clean.row_numbers
        assert found.meta.targets.tolist() == true[rows].tolist()
        same = prepared.train.inputs[rows.copy()]
        assert found.meta.inputs[np.arange(20)].tolist() == same.tolist()
        assert sorted([*rows, *found.source.row_numbers]) == list(range(80))
        assert len(found.train) == len(found.source) == 60
        assert found.source.known_labels.tolist() == found.train.targets.tolist()
    wrong, bad = Answers(rows=20, wrong=1.0).given(prepared, config, truth=None, seed=1)
    assert bad.all()
    assert wrong.meta is not None
    assert wrong.clean is not None
    assert (wrong.meta.targets.numpy() != true[wrong.clean.row_numbers]).all()


def test_classes_with_few_answers_get_examples_in_training(files: Path) -> None:
    data = DataConfig(path=str(files / "train.npz"), label="y", noise="uniform:0.2")
    found, _ = Answers(rows=1).given(prepare(data, seed=0), data, truth=None, seed=0)
    config = RunConfig(data, ModelConfig(), TrainConfig(method="robust"))
    assert (found.lacking(config) > 0).all()


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


def test_answers_in_doubt_are_counted(make_grid: MakeGrid) -> None:
    wrong = {"method": "robust", "answers": {"wrong": 0.2}}
    right = {"method": "robust", "answers": {}}
    grid = make_grid(
        data={"blobs": {"answers": 20}},
        methods={"wrong": wrong, "right": right},
        data_options={"meta_size": None},
    )
    assert grid.run(jobs=1, log=silent) == 0
    found = {
        cell.method: json.loads((grid.folder.cell(cell) / "result.json").read_text())
        for cell in grid.cells
    }
    assert found["wrong"]["wrong_answers_doubted"] > found["wrong"]["right_answers_doubted"]
    assert found["right"]["wrong_answers_doubted"] is None
    assert found["right"]["right_answers_doubted"] < 0.2
