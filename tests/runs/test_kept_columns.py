"""Predictions have the user's own columns, with the values and types of the user's file."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gdw.data import load
from gdw.errors import ConfigError, DataError
from gdw.runs.kept_columns import KeptColumns, keep_columns
from gdw.runs.predicting import write_predictions

BIG = 2**62 + 1
TAKEN = ("row", "path", "prediction", "confidence", "p(a)")
TABLE = pa.table(
    {
        "customer_id": pa.array([BIG, None, 3], pa.uint64()),
        "code": ["007", "-x", None],
        "row": pa.array([7, 8, 9], pa.int8()),
        "day": [dt.date(2024, 1, 2), None, dt.date(2024, 1, 3)],
        "size": [0.1, float("nan"), 1e300],
        "bytes": [b"a", b"b", b"c"],
        "prediction": ["x", "y", "z"],
    }
)
FRAME = pd.DataFrame({"row": [0, 1, 2], "prediction": ["a", "b", "a"], "confidence": 0.5})


def kept(path: Path, keep: list[str] | None = None, keys: tuple[str, ...] = ()) -> KeptColumns:
    source = load(path, label=None, features=["size"])
    return keep_columns(source, keep, keys=keys, taken=TAKEN)


@pytest.fixture
def parquet(tmp_path: Path) -> Path:
    pq.write_table(TABLE, tmp_path / "new.parquet")
    return tmp_path / "new.parquet"


def test_keys_are_kept_and_other_columns_if_asked_for(parquet: Path) -> None:
    assert kept(parquet).table.column_names == ["customer_id", "input_row"]
    assert kept(parquet, keys=("code",)).table.column_names == ["customer_id", "code", "input_row"]
    assert kept(parquet, ["day"]).table.column_names == ["day"]
    assert kept(parquet, ["none"]).table.column_names == []
    every = kept(parquet, ["all"])
    assert every.table.column_names == [
        "customer_id", "code", "input_row", "day", "size", "input_prediction"
    ]  # fmt: skip
    assert every.notes == (
        "columns of images and other bytes are not written: 'bytes'",
        "the predictions have columns of the same names: yours are written 'row' as 'input_row', "
        "'prediction' as 'input_prediction'",
    )
    with pytest.raises(DataError, match=r"no column 'dya'\. Did you mean 'day'"):
        kept(parquet, ["dya"])


def test_parquet_has_the_types_of_the_file(tmp_path: Path, parquet: Path) -> None:
    write_predictions(FRAME, tmp_path / "p.parquet", own=kept(parquet, ["all"]))
    written = pq.read_table(tmp_path / "p.parquet")
    assert written.column_names[:3] == ["row", "customer_id", "code"]
    for name in ("customer_id", "code", "day", "size"):
        assert written[name].type == TABLE[name].type
        assert repr(written[name].to_pylist()) == repr(TABLE[name].to_pylist())
    assert written["prediction"].to_pylist() == ["a", "b", "a"]


def test_json_has_the_values_of_the_file(tmp_path: Path, parquet: Path) -> None:
    write_predictions(FRAME, tmp_path / "p.jsonl", own=kept(parquet, ["all"]))
    first, second, third = map(json.loads, (tmp_path / "p.jsonl").read_text().splitlines())
    assert first == {
        "row": 0, "customer_id": BIG, "code": "007", "input_row": 7, "day": "2024-01-02", "size": 0.1,
        "input_prediction": "x", "prediction": "a", "confidence": 0.5,
    }  # fmt: skip
    assert (second["customer_id"], second["size"], second["prediction"]) == (None, None, "b")
    assert third["size"] == 1e300


def test_csv_has_the_cells_of_the_file_and_no_formulas(tmp_path: Path) -> None:
    new = tmp_path / "new.csv"
    new.write_text("id,=code,day,size\n007,=1+2,02.01.2024,1\n18446744073709551616,,x,2\n")
    write_predictions(FRAME[:2], tmp_path / "p.csv", own=kept(new, ["all"]))
    assert (tmp_path / "p.csv").read_text().splitlines() == [
        "row,id,'=code,day,size,prediction,confidence",
        "0,007,'=1+2,02.01.2024,1,a,0.5",
        "1,18446744073709551616,,x,2,b,0.5",
    ]


def test_a_label_that_looks_like_json_stays_in_its_place(tmp_path: Path) -> None:
    frame = FRAME[:2].assign(path=['{"prediction":0}', ',"prediction":1,'])
    write_predictions(frame, tmp_path / "p.jsonl", own=KeptColumns(pa.table({"id": ["x", "y"]})))
    rows = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert [(r["id"], r["path"], r["prediction"]) for r in rows] == [
        ("x", '{"prediction":0}', "a"), ("y", ',"prediction":1,', "b")
    ]  # fmt: skip


def test_arrays_and_folders(tmp_path: Path) -> None:
    from PIL import Image

    np.savez(tmp_path / "x.npz", X=np.eye(3), id=[5, 6, 7], y=[0, 1, 0])
    source = load(tmp_path / "x.npz", label=None)
    assert keep_columns(source, None, keys=(), taken=TAKEN).values("id") == [5, 6, 7]
    assert keep_columns(source, ["all"], keys=(), taken=TAKEN).table.column_names == ["id", "y"]
    (tmp_path / "d" / "cat").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "d" / "cat" / "1.png")
    folder = load(tmp_path / "d", label=None)
    assert keep_columns(folder, None, keys=(), taken=TAKEN).table.column_names == []
    with pytest.raises(ConfigError, match="folder of images, which has no columns to keep"):
        keep_columns(folder, ["id"], keys=(), taken=TAKEN)
