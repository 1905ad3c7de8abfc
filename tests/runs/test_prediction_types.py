"""Predictions in Parquet and JSON Lines carry labels in the type of the label column."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gdw.data import load
from gdw.runs.predicting import write_predictions
from gdw.runs.schema import Schema, label_type

BIG = 2**63 + 5


def written(
    tmp_path: Path, labels: list[Any], name: str, kind: Any = None
) -> tuple[Schema, Any, list[Any]]:
    """The schema of a file with these labels, the Arrow column of predictions, and those of JSON Lines."""
    path = tmp_path / name
    x = np.arange(len(labels)) / 7
    if path.suffix == ".csv":
        lines = [f"{value},{label}" for value, label in zip(x, labels, strict=True)]
        path.write_text("\n".join(["x,label", *lines]))
    elif path.suffix == ".jsonl":
        rows = [{"x": value, "label": label} for value, label in zip(x, labels, strict=True)]
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        pq.write_table(pa.table({"x": x, "label": pa.array(labels, kind)}), path)
    source = load(path, label="label")
    Schema.of(source, "label").save(tmp_path)
    schema = Schema.read(tmp_path)
    assert source.labels is not None
    predicted = [source.label_names[k] for k in source.labels]
    frame = pd.DataFrame({"row": range(len(labels)), "prediction": predicted, "confidence": 0.5})
    for suffix in (".parquet", ".jsonl", ".csv"):
        write_predictions(frame, tmp_path / f"out{suffix}", label_type=schema.label_type)
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    column = pq.read_table(tmp_path / "out.parquet")["prediction"]
    assert (
        pd.read_csv(tmp_path / "out.csv", dtype=str, keep_default_na=False)["prediction"].tolist()
        == predicted
    )
    return schema, column, [json.loads(line)["prediction"] for line in lines]


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        (pa.int64(), [3, 1, 3]),
        (pa.int8(), [3, 1, 3]),
        (pa.uint64(), [BIG, 1, BIG]),
        (pa.float64(), [1.0, 2.5, 1.0]),
        (pa.float64(), [1.0, 2.0, 1.0]),
        (pa.bool_(), [True, False, True]),
        (pa.string(), ["1", "0", "1"]),
        (pa.string(), ["007", "008", "007"]),
    ],
)
def test_labels_of_parquet(tmp_path: Path, kind: Any, labels: list[Any]) -> None:
    _, column, rows = written(tmp_path, labels, "a.parquet", kind)
    assert column.to_pylist() == rows == labels
    assert [type(value) for value in rows] == [type(value) for value in labels]
    assert column.type == kind or pa.types.is_large_string(column.type)


def test_dates_are_dates_in_parquet_and_text_in_json(tmp_path: Path) -> None:
    days = [dt.date(2024, 1, 1), dt.date(2024, 1, 2)]
    _, column, rows = written(tmp_path, days, "a.parquet", pa.date32())
    assert column.to_pylist() == days
    assert rows == ["2024-01-01", "2024-01-02"]


UTC, D = dt.UTC, Decimal


@pytest.mark.parametrize(
    ("kind", "labels", "in_json"),
    [
        (pa.decimal128(10, 2), [D("1.50"), D("2.00")], [1.5, 2.0]),
        (pa.decimal128(3, 0), [D(1), D(2)], [1, 2]),
        (pa.decimal256(50, 0), [D(10**40), D(10**40 + 1)], [10**40, 10**40 + 1]),
        (
            pa.decimal128(30, 20),
            [D(1) + D(10) ** -20, D(1)],
            ["1.00000000000000000001", "1.00000000000000000000"],
        ),
        (
            pa.timestamp("us", "Europe/Berlin"),
            [dt.datetime(2024, 1, 1, tzinfo=UTC), dt.datetime(2024, 7, 1, 0, 0, 0, 5, tzinfo=UTC)],
            ["2024-01-01 01:00:00+01:00", "2024-07-01 02:00:00.000005+02:00"],
        ),
        (
            pa.timestamp("ms", "+02:00"),
            [dt.datetime(2024, 1, 1, tzinfo=UTC), dt.datetime(2024, 7, 1, tzinfo=UTC)],
            ["2024-01-01 02:00:00+02:00", "2024-07-01 02:00:00+02:00"],
        ),
        (
            pa.time64("us"),
            [dt.time(1, 2), dt.time(1, 2, 3, 5)],
            ["01:02:00", "01:02:03.000005"],
        ),
        (pa.time32("ms"), [dt.time(1, 2), dt.time(3)], ["01:02:00", "03:00:00"]),
        (pa.float16(), [1.0, 2.5], [1.0, 2.5]),
        (pa.float32(), [1.0, 0.25], [1.0, 0.25]),
        (
            pa.float64(),
            [0.1234567890123456, 0.1234567890123457],
            [0.1234567890123456, 0.1234567890123457],
        ),
    ],
    ids=str,
)
def test_other_types_of_parquet(
    tmp_path: Path, kind: Any, labels: list[Any], in_json: list[Any]
) -> None:
    values = pa.array(np.array(labels, np.float16) if kind == pa.float16() else labels, kind)
    _, column, rows = written(tmp_path, values, "a.parquet")
    assert column.type == kind
    assert column.to_pylist() == values.to_pylist()
    assert rows == in_json
    assert [type(value) for value in rows] == [type(value) for value in in_json]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["1", "0"], [1, 0]),
        ([str(BIG), "0"], [BIG, 0]),
        (["007", "008"], ["007", "008"]),
        (["1.5", "2"], [1.5, 2.0]),
        (["1.10", "1.1"], ["1.10", "1.1"]),
        (["True", "False"], [True, False]),
        (["yes", "no"], ["yes", "no"]),
        (["NA", "0"], ["NA", "0"]),
    ],
)
def test_labels_of_csv(tmp_path: Path, labels: list[str], expected: list[Any]) -> None:
    _, column, rows = written(tmp_path, labels, "a.csv")
    assert column.to_pylist() == rows == expected
    assert [type(value) for value in rows] == [type(value) for value in expected]


@pytest.mark.parametrize(
    "labels",
    [[1, 0], [True, False], [1.5, 2.0], ["1", "0"], ["a", "b"], [BIG, 0], [2**64, 2**64 + 1]],
)
def test_labels_of_jsonl(tmp_path: Path, labels: list[Any]) -> None:
    _, column, rows = written(tmp_path, labels, "a.jsonl")
    assert column.to_pylist() == rows == labels
    assert [type(value) for value in rows] == [type(value) for value in labels]


def test_runs_without_a_type_write_text(tmp_path: Path) -> None:
    schema, _, _ = written(tmp_path, [1, 0], "a.jsonl")
    assert schema.label_type == "int64"
    content = json.loads((tmp_path / "schema.json").read_text())
    del content["label_type"]
    (tmp_path / "schema.json").write_text(json.dumps(content))
    assert Schema.read(tmp_path).label_type == "string"


@pytest.mark.parametrize(
    "kind", [pa.decimal128(5, 2), pa.timestamp("us", "UTC"), pa.binary(), pa.large_string()]
)
def test_types_without_an_exact_way_back_are_text(kind: Any) -> None:
    assert label_type(kind, ["1.10", "x"], untyped=False) == "string"
