"""What means a missing value is alike in every format and in data frames, and is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gdw.data import load
from gdw.data.cells import MISSING_CELLS
from gdw.data.encode import fit_encoder
from gdw.data.source import Source
from gdw.estimator.sources import frame_source

N = 60
X = [round(0.1 * i * i % 7, 2) for i in range(N)]
LABELS = ["a", "b", "NA"] * (N // 3)
CITIES = [["Ulm", "Bonn", *MISSING_CELLS, None][i % (3 + len(MISSING_CELLS))] for i in range(N)]


def written(path: Path) -> Path:
    numbers = [None if i % 9 == 4 else x for i, x in enumerate(X)]
    frame = pd.DataFrame({"x": numbers, "city": CITIES, "gone": "NA", "label": LABELS})
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        rows = [
            {k: v for k, v in zip(frame, row, strict=True) if v == v} for row in frame.to_numpy()
        ]
        path.write_text("\n".join(map(json.dumps, rows)))
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def encoded(source: Source) -> np.ndarray:
    inputs = fit_encoder(source).encode(source)
    return np.asarray(inputs[np.arange(N)])


@pytest.mark.parametrize("name", ["x.tsv", "x.parquet", "x.jsonl", "frame", "polars"])
def test_missing_values_are_alike_in_all_formats(tmp_path: Path, name: str) -> None:
    source = load(written(tmp_path / "x.csv"), label="label")
    if name in ("frame", "polars"):
        from gdw.estimator.containers import unwrapped

        frame = pd.read_parquet(written(tmp_path / "x.parquet")).drop(columns="label")
        if name == "polars":
            frame = pytest.importorskip("polars").from_pandas(frame)
        assert source.labels is not None
        other = frame_source(unwrapped(frame, "X"), source.labels, source.label_names)
    else:
        other = load(written(tmp_path / name), label="label")
    assert other.column_types == {"x": "number", "city": "category", "gone": "missing"}
    np.testing.assert_array_equal(encoded(other), encoded(source))
    for note in (other.notes, source.notes):
        assert "not used, because all cells are empty: 'gone'" in note
        count = CITIES.count("NA")
        assert any(
            f"missing values, which are a category: {CITIES.count('?')} '?' in" in n for n in note
        )
        assert any(f"{count} 'NA' in 'city'" in n for n in note)


def test_a_label_is_missing_only_if_it_is_empty(tmp_path: Path) -> None:
    source = load(written(tmp_path / "x.csv"), label="label")
    assert source.label_names == ("NA", "a", "b")
    assert source.notes[0].startswith("taken as names of classes: 'NA' (20); a row without a label")


def test_numbers_that_stand_for_missing_values_are_said(tmp_path: Path) -> None:
    x = ["-999" if i % 5 == 0 else str(i * i % 31) for i in range(N)]
    below = ["-9" if i % 5 == 0 else str(i % 31 - 12) for i in range(N)]
    lines = [f"{a},{b},1,k,{label}" for a, b, label in zip(x, below, LABELS, strict=True)]
    (tmp_path / "x.csv").write_text("\n".join(["x,y,one,kind,label", *lines]))
    encoder = fit_encoder(load(tmp_path / "x.csv", label="label"))
    assert encoder.notes == (
        "nothing is learned from columns with one value in all rows: 'one', 'kind'",
        "read as numbers: 12 times -999 in 'x'; if they mean missing values, leave the cells empty",
    )
