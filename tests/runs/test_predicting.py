"""`gdw.runs.predict` takes a run or its folder, and data as users have them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import gdw
from gdw.data import from_arrays
from gdw.errors import ConfigError, DataError, RunError
from gdw.runs import DataConfig, ModelConfig, RunConfig, Training
from gdw.train.config import TrainConfig
from tests.runs.conftest import write


def trained(folder: Path, path: Path) -> gdw.Run:
    config = RunConfig(
        DataConfig(path=str(path)),
        ModelConfig(name="mlp:4"),
        TrainConfig(method="plain", epochs=1, accelerator="cpu", progress="none"),
    )
    training = Training(config, folder)
    prepared = training.prepare()
    training.fit(prepared, training.build_model(prepared))
    return gdw.load(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> gdw.Run:
    folder = tmp_path_factory.mktemp("table")
    return trained(folder / "run", write(folder / "train.csv", 40, seed=1))


def test_a_path_and_each_frame_have_the_same_predictions(run: gdw.Run, tmp_path: Path) -> None:
    new = write(tmp_path / "new.csv", 8, seed=2)
    frame = pd.read_csv(new).drop(columns="label")
    wanted = gdw.runs.predict(run, run.read(str(new)))
    assert list(wanted) == ["row", "prediction", "confidence", "p(cat)", "p(dog)"]
    data: tuple[Any, ...] = (new, str(new), frame, pl.from_pandas(frame), pa.table(frame))
    for given in data:
        for which in (run, run.path, str(run.path)):
            pd.testing.assert_frame_equal(gdw.runs.predict(which, given), wanted)
        np.testing.assert_array_equal(
            gdw.runs.predict_proba(run, given), wanted[["p(cat)", "p(dog)"]]
        )


def test_a_frame_of_other_columns_keeps_its_index_and_keys(run: gdw.Run) -> None:
    numbers = {"height": [20.5, None, 50], "weight": ["4", "20", "?"], "visit_id": [7, 8, 9]}
    frame = pd.DataFrame(numbers | {"note": [{"a": 1}, None, {}]}, index=["x", "y", "x"])
    found = gdw.runs.predict(run, frame)
    assert list(found.index) == ["x", "y", "x"]
    assert found["row"].tolist() == [0, 1, 2]
    assert found["visit_id"].tolist() == [7, 8, 9]
    assert found["confidence"].between(0.5, 1).all()


def test_texts_and_arrays(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = [f"the {('cat', 'dog')[i % 2]} said {i} things to me" for i in range(40)]
    table = pd.DataFrame({"said": words, "label": ["cat", "dog"] * 20})
    table.to_csv(tmp_path / "texts.csv", index=False)
    run = trained(tmp_path / "texts", tmp_path / "texts.csv")
    assert len(gdw.runs.predict(run, table[["said"]][:3])) == 3
    X = rng.normal(size=(40, 3))
    np.savez(tmp_path / "arrays.npz", X=X, y=np.arange(40) % 2)
    run = trained(tmp_path / "arrays", tmp_path / "arrays.npz")
    wanted = gdw.runs.predict_proba(run, from_arrays(X))
    np.testing.assert_array_equal(gdw.runs.predict_proba(run, X), wanted)
    with pytest.raises(DataError, match=r"^expected an array, a path or .* found DataFrame"):
        gdw.runs.predict(run, pd.DataFrame(X))


def test_what_cannot_be_predicted_is_one_line(run: gdw.Run) -> None:
    cases: dict[str, Any] = {
        "expected a data frame, a path or a Source (Run.read) of table data, on which the run was "
        "trained, found ndarray": np.eye(2),
        "the data frame has no column 'weight'. Did you mean 'weigth'?": pd.DataFrame(
            {"weigth": [1.0], "height": [2.0]}
        ),
        "the data frame has no rows": pd.DataFrame({"weight": [], "height": []}),
        "row 1 of the data frame: column 'weight' should hold a number, found": pd.DataFrame(
            {"weight": ["1", "heavy"], "height": [2.0, 3.0]}
        ),
        "there is no file or folder 'none.csv'": "none.csv",
    }
    for message, data in cases.items():
        with pytest.raises(DataError, match=re.escape(message)):
            gdw.runs.predict(run, data)
    with pytest.raises(ConfigError, match="the folder of a run, or a Run, found NoneType"):
        gdw.runs.predict(None, "new.csv")  # type: ignore[arg-type]
    with pytest.raises(RunError, match="no run folder"):
        gdw.runs.predict("none", "new.csv")
