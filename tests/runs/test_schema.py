"""The form of the training data, kept with a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gdw.data import load
from gdw.data.text_files import ReadOptions
from gdw.errors import DataError
from gdw.runs.schema import SCHEMA, Schema
from tests.data.files import parquet


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A parquet file with declared names, and a second file with numbers."""
    import datasets

    parquet(
        tmp_path / "x.parquet",
        {"v": [1.5, 2.5, 3.5], "label": [0, 1, 1]},
        {"v": datasets.Value("float64"), "label": datasets.ClassLabel(names=["zebra", "ant"])},
    )
    (tmp_path / "second.csv").write_text("v,label\n2.5,1\n1.5,0\n")
    return tmp_path


def test_declared_names_stay_declared_on_disk(folder: Path) -> None:
    written = Schema.of(load(folder / "x.parquet", label="label"))
    written.save(folder)
    schema = Schema.read(folder)
    assert schema == written
    source = schema.load(str(folder / "second.csv"), label="label", options=ReadOptions())
    assert source.label_names == ("zebra", "ant")
    assert source.labels is not None
    assert source.labels.tolist() == [1, 0]


def test_a_schema_of_before_declares_nothing(folder: Path) -> None:
    Schema.of(load(folder / "x.parquet", label="label")).save(folder)
    content = json.loads((folder / SCHEMA).read_text())
    assert content.pop("names_declared") is True
    (folder / SCHEMA).write_text(json.dumps(content))
    schema = Schema.read(folder)
    assert schema.label_names == ("zebra", "ant")
    with pytest.raises(DataError, match=r"row 1 of second.csv: the label '0'.*'zebra', 'ant'"):
        schema.load(str(folder / "second.csv"), label="label", options=ReadOptions())
