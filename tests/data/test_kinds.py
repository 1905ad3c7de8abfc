"""What a file is about: texts beside identifiers, texts without spaces, and texts that tell rows apart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from gdw.data import load
from gdw.errors import DataError

N = 60
IDS = [f"u-{i:05x}" for i in range(N)]
WORDS = ["red", "green", "blue", "cold", "warm", "big", "small", "old", "new", "fast", "slow"]


def sentences(n: int = N) -> list[str]:
    rng = np.random.default_rng(0)
    return [" ".join(rng.choice(WORDS, 6)) for _ in range(n)]


def write(path: Path, columns: dict[str, list[Any]]) -> Path:
    columns = {**columns, "label": ["a", "b"] * (len(next(iter(columns.values()))) // 2)}
    if path.suffix == ".jsonl":
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        path.write_text("\n".join(map(json.dumps, rows)))
    elif path.suffix == ".parquet":
        pd.DataFrame(columns).to_parquet(path)
    else:
        pd.DataFrame(columns).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.parquet"])
@pytest.mark.parametrize("n", [8, N])
def test_identifiers_do_not_hide_a_text(tmp_path: Path, name: str, n: int) -> None:
    times = [f"2024-01-{1 + i % 28:02} 10:{i:02}:00" for i in range(n)]
    columns = {"id": IDS[:n], "when": times, "comment": sentences(n)}
    source = load(write(tmp_path / name, columns), label="label")
    assert (source.kind, source.feature_columns) == ("text", ("comment",))
    assert len(source.notes) == 1
    assert source.notes[0].startswith("learning from the texts of 'comment' alone, not from ")
    assert all(name in source.notes[0] for name in ("'id'", "'when'"))


@pytest.mark.parametrize(
    ("letters", "length", "kind"),
    [("今日は良い天気です東京", 12, "text"), ("我喜欢这个产品质量很好", 9, "text"),
     ("สวัสดีชาวโลก", 15, "text"), ("abcdef0123456789", 32, "table"), ("京都", 2, "table")],
)  # fmt: skip
def test_texts_without_spaces(tmp_path: Path, letters: str, length: int, kind: str) -> None:
    rng = np.random.default_rng(1)
    texts = ["".join(rng.choice(list(letters), length)) for _ in range(20)]
    source = load(write(tmp_path / "x.csv", {"t": texts}), label="label")
    assert source.kind == kind
    assert source.notes == ()


@pytest.mark.parametrize("name", ["x.csv", "x.jsonl", "x.parquet"])
def test_texts_that_hardly_repeat_are_no_categories(tmp_path: Path, name: str) -> None:
    columns = {"id": IDS, "age": list(range(N)), "city": ["Ulm", "Bonn", "Kiel"] * (N // 3)}
    path = write(tmp_path / name, {**columns, "remark": sentences()})
    source = load(path, label="label")
    assert (source.kind, source.feature_columns) == ("table", ("age", "city"))
    assert len(source.notes) == 1
    assert "twice: 'id', 'remark'; to use" in source.notes[0]
    assert source.select(np.arange(5)).notes == source.notes
    asked = load(path, label="label", features=["id", "age"])
    assert (asked.feature_columns, asked.notes) == (("id", "age"), ())
    assert load(path, label="label", text="remark").notes == ()


@pytest.mark.parametrize(("n", "repeats", "kept"), [(48, 0, True), (N, 6, True), (N, 2, False)])
def test_few_rows_or_some_repeats_leave_a_category(
    tmp_path: Path, n: int, repeats: int, kept: bool
) -> None:
    codes = [IDS[0]] * repeats + IDS[repeats:n] if repeats else IDS[:n]
    path = write(tmp_path / "x.csv", {"code": codes, "age": list(range(n))})
    assert ("code" in load(path, label="label").feature_columns) is kept


def test_missing_cells_are_no_repeats(tmp_path: Path) -> None:
    codes = [*IDS, *["", "?", "NA", "nan"] * 5]
    path = write(tmp_path / "x.csv", {"code": codes, "age": list(range(N + 20))})
    assert load(path, label="label").feature_columns == ("age",)


def test_nothing_but_identifiers(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", {"id": IDS})
    with pytest.raises(
        DataError, match=r"no column left .* 'id' occurs twice: .*--text.*--features"
    ):
        load(path, label="label")
