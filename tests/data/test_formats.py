"""The same rows from every format, and what each format is peculiar about."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gdw.data import load
from gdw.data.formats import FORMATS, CopyPlan, Format
from gdw.data.formats.delimited import (
    _csv_rows,
    _record_rows,
    read_careful,
    read_fast,
    trimmed,
)
from gdw.data.formats.records import find_layout
from gdw.data.rows import TableRows, format_of, open_rows, suffixes, suffixes_in_words
from gdw.data.text_files import ReadOptions
from gdw.errors import DataError

from .files import parquet

COLUMNS: dict[str, list[Any]] = {
    "age": [30, 40, 50, 60],
    "height": [1.5, 1.6, None, 1.8],
    "city": ["Ulm", None, "Köln, Süd", "Ulm"],
    "label": ["no", "yes", "yes", "no"],
}


def write(path: Path, columns: dict[str, list[Any]]) -> Path:
    frame = pd.DataFrame(columns)
    if path.suffix == ".parquet":
        return parquet(path, columns)
    if path.suffix == ".jsonl":
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        path.write_text("\n".join(json.dumps(row) for row in rows))
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix.lower() == ".tsv" else ",")
    return path


@pytest.mark.parametrize("name", ["x.csv", "x.CSV", "x.tsv", "x.parquet", "x.jsonl"])
def test_tables_are_the_same_in_every_format(tmp_path: Path, name: str) -> None:
    source = load(write(tmp_path / name, COLUMNS), label="label")
    assert (source.kind, source.label_names) == ("table", ("no", "yes"))
    assert source.labels is not None
    assert source.labels.tolist() == [0, 1, 1, 0]
    assert source.feature_columns == ("age", "height", "city")
    frame = source.frame()
    assert frame["age"].tolist() == [30, 40, 50, 60]
    assert frame["age"].dtype == np.int64
    assert frame["height"].fillna(-1).tolist() == [1.5, 1.6, -1, 1.8]
    assert frame["city"].fillna("-").tolist() == ["Ulm", "-", "Köln, Süd", "Ulm"]
    assert source.frame(np.array([3, 0]))["age"].tolist() == [60, 30]
    assert source.where(2) == f"row 2 of {name}"


def test_selections_keep_their_place(tmp_path: Path) -> None:
    source = load(write(tmp_path / "x.csv", COLUMNS), label="label")
    chosen = source.select(np.array([3, 1])).select(np.array([1]))
    assert (len(chosen), chosen.where(0)) == (1, "row 1 of x.csv")
    assert chosen.frame()["age"].tolist() == [40]
    assert chosen.column("label") == ["yes"]
    assert chosen.labels is not None
    with pytest.raises(ValueError, match="read-only"):
        chosen.labels[0] = 0
    relabelled = chosen.with_labels([1], ["a", "b"])
    assert (relabelled.label_names, relabelled.labels.tolist()) == (("a", "b"), [1])  # type: ignore[union-attr]
    with pytest.raises(DataError, match="expected labels from 0 to 1, found 2 to 2"):
        chosen.with_labels([2])
    with pytest.raises(DataError, match=r"expected 1 labels, found shape \(2,\)"):
        chosen.with_labels([0, 1])


def test_spaces_and_missing_cells(tmp_path: Path) -> None:
    path = tmp_path / "adult.csv"
    path.write_text(
        'age, work, zip, flag, "motto", income\n'
        '39, State-gov, 02139, True, "a, ""b""", <=50K\n'
        "?, ?, NA, False,, >50K\n"
        "+4e1,  ,, True, nan, <=50K\n\n"
    )
    source = load(path, label="income")
    assert source.label_names == ("<=50K", ">50K")
    assert source.column_types["age"] == source.column_types["zip"] == "number"
    frame = source.frame()
    assert frame["age"].fillna(-1).tolist() == [39, -1, 40]
    assert frame["work"].fillna("-").tolist() == ["State-gov", "-", "-"]
    assert frame["motto"].fillna("-").tolist() == ['a, "b"', "-", "-"]
    assert frame["flag"].tolist() == ["True", "False", "True"]
    assert source.column("zip") == ["02139", "NA", ""]


def test_quotes_after_a_space_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text('a, label\n1, "x y"\n2, "z"\n')
    assert load(path, label="label").label_names == ("x y", "z")


cells = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=6))
def test_both_readers_agree_with_what_was_written(
    tmp_path: Path, rows: list[tuple[str, ...]]
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("a", "b", "c"), *rows])
    path = tmp_path / "x.csv"
    path.write_text(text.getvalue(), encoding="utf-8", newline="")
    names = ["a", "b", "c"]
    expected = [[cell.strip() for cell in row] for row in rows]
    layout = find_layout(path, path.read_bytes(), ReadOptions(), ",")
    assert layout.names == names
    careful = trimmed(read_careful(layout, ReadOptions()))
    assert [list(row.values()) for row in careful.to_pylist()] == expected
    fast = trimmed(read_fast(layout, ReadOptions()))
    assert [list(row.values()) for row in fast.to_pylist()] == expected


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=400)
@given(
    text=st.text(st.sampled_from(' a,;"\n\r\t'), max_size=30),
    quoting=st.sampled_from(["double", "none"]),
    delimiter=st.sampled_from([",", " "]),
)
def test_all_readers_find_the_same_rows(
    tmp_path: Path, text: str, quoting: Any, delimiter: str
) -> None:
    path, options = tmp_path / "x.csv", ReadOptions(delimiter, quoting)
    path.write_bytes(f"l{delimiter}r\n{text}".encode())
    layout = find_layout(path, path.read_bytes(), options, ",")
    try:
        rows = list(_record_rows(layout))
    except DataError:
        with pytest.raises(DataError):
            open_rows(path, options)
        return
    expected = [[cell.decode().strip() for cell in row] for row in rows]
    with contextlib.suppress(csv.Error):
        assert [[cell.strip() for cell in row] for row in _csv_rows(layout, options)] == expected
    if expected:
        opened = open_rows(path, options)
        columns = [opened.values(name, np.arange(len(expected))) for name in ("l", "r")]
        assert [list(row) for row in zip(*columns, strict=True)] == expected


def test_a_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes("\ufeffa,label\r\n1,x\r\n2,y\r\n".encode())
    source = load(path, label="label")
    assert (source.columns, source.label_names) == (("a", "label"), ("x", "y"))


def test_row_indices_of_pandas_are_no_features(tmp_path: Path) -> None:
    frame = pd.DataFrame(COLUMNS, index=[3, 5, 7, 9])
    frame.to_csv(tmp_path / "x.csv")
    frame.to_parquet(tmp_path / "x.parquet")
    for name in ("x.csv", "x.parquet"):
        assert load(tmp_path / name, label="label").feature_columns == ("age", "height", "city")


def test_named_features_and_dropped_columns(tmp_path: Path) -> None:
    path = write(tmp_path / "x.csv", COLUMNS)
    assert load(path, label="label", features=["city", "age"]).feature_columns == ("city", "age")
    assert load(path, label="label", drop=["age"]).feature_columns == ("height", "city")


def test_dates_bools_categories_and_decimals(tmp_path: Path) -> None:
    import decimal

    columns = {
        "when": pa.array([0, 1, None], pa.date32()),
        "flag": pa.array([True, None, False]),
        "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
        "price": pa.array([decimal.Decimal("1.50"), None, decimal.Decimal("2.00")]),
        "empty": pa.nulls(3),
        "label": pa.array([True, False, True]),
    }
    source = load(parquet(tmp_path / "x.parquet", columns), label="label")
    assert source.column_types == {
        "when": "date",
        "flag": "category",
        "kind": "category",
        "price": "number",
        "empty": "missing",
    }
    frame = source.frame()
    assert frame["when"].dt.year.tolist()[:2] == [1970, 1970]
    assert frame["flag"].tolist() == [True, None, False]
    assert frame["kind"].tolist() == ["a", "b", "a"]
    assert frame["price"].fillna(0).tolist() == [1.5, 0, 2]
    assert frame["empty"].isna().all()
    assert source.label_names == ("False", "True")


def test_dates_in_json_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"v": 1, "label": "2020-01-01"}\n\n{"v": 2, "label": "2021-05-05"}\n')
    assert load(path, label="label").label_names == ("2020-01-01", "2021-05-05")


def test_features_read_as_the_types_of_another_file(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("zip,age,label\n007,?,a\n42,8,b\n")
    source = load(path, label="label")
    typed = source.typed({"age": "number", "zip": "category"})
    assert typed.feature_columns == ("age", "zip")
    assert typed.frame()["zip"].tolist() == ["007", "42"]
    path.write_text("zip,age,label\n1,2,a\n1,x,b\n")
    with pytest.raises(
        DataError, match=r"row 1 of x.csv: column 'age' should hold a number, found 'x'"
    ):
        load(path, label="label").typed({"age": "number"}).frame()


def test_infinite_cells(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,label\n1,a\n-inf,b\n")
    with pytest.raises(
        DataError, match=r"row 1 of x.csv: column 'a' should hold a number, found -inf"
    ):
        load(path, label="label").frame()


def test_text_is_recognised(tmp_path: Path) -> None:
    path = tmp_path / "x.tsv"
    path.write_text('id\twords\tlabel\n1\tgood day to you\tx\n2\tNA\ty\n3\tlong, "live"\tx\n')
    source = load(path, label="label")
    assert (source.kind, source.feature_columns) == ("text", ("words",))
    assert source.texts(np.array([2, 1])) == ['long, "live"', "NA"]
    assert load(path, label="label", features=["words"]).kind == "table"
    write(tmp_path / "y.jsonl", {"t": ["one", "two"], "label": ["a", "b"]})
    assert load(tmp_path / "y.jsonl", label="label").kind == "table"
    named = load(tmp_path / "y.jsonl", label="label", text="t")
    assert (named.kind, named.texts(np.array([1]))) == ("text", ["two"])
    parquet(tmp_path / "z.parquet", {"t": ["some words", None], "label": [0, 1]})
    assert load(tmp_path / "z.parquet", label="label").texts(np.array([1, 0])) == ["", "some words"]


def test_prediction_needs_no_labels(tmp_path: Path) -> None:
    source = load(write(tmp_path / "x.csv", COLUMNS), label=None, drop=["label"])
    assert (source.labels, source.label_names) == (None, ())
    assert source.feature_columns == ("age", "height", "city")


@pytest.mark.parametrize("label", ["label", "y"])
@pytest.mark.parametrize("y", [[3, 1, 3], ["b", "a", "b"], [1.0, 0.0, 1.0], [True, False, True]])
def test_npz(tmp_path: Path, label: str, y: list[Any]) -> None:
    X = np.arange(6, dtype=np.float32).reshape(3, 2)
    np.savez(tmp_path / "x.npz", X=X, y=np.array(y), trusted=[True, False, False], note="hi")
    source = load(tmp_path / "x.npz", label=label)
    assert source.kind == "array"
    assert source.labels is not None
    assert source.labels.tolist() == [1, 0, 1]
    assert source.select(np.array([2, 0])).array().tolist() == [[4, 5], [0, 1]]
    assert source.array(np.array([1])).tolist() == [[2, 3]]
    assert source.column("trusted") == [True, False, False]
    assert source.columns == ("X", "y", "trusted")


def test_a_limit_is_stratified_and_seeded(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,label\n" + "".join(f"{i},{'x' if i < 90 else 'y'}\n" for i in range(100)))
    chosen = load(path, label="label", limit=20, seed=1)
    assert chosen.labels is not None
    assert np.bincount(chosen.labels).tolist() == [18, 2]
    assert (np.diff(chosen.row_numbers) > 0).all()
    other = load(path, label="label", limit=20, seed=2)
    assert (chosen.row_numbers != other.row_numbers).any()
    first, second = (load(path, label=None, limit=20, seed=seed).row_numbers for seed in (1, 2))
    assert len(first) == 20
    assert (first != second).any()
    assert (np.diff(first) > 0).all()
    assert len(load(path, label="label", limit=1000)) == 100


def test_a_limit_below_the_number_of_classes_draws_at_random(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,label\n" + "".join(f"{i},c{i % 20}\n" for i in range(100)))
    draws = [load(path, label="label", limit=7, seed=seed) for seed in (1, 1, 2)]
    rows = [draw.row_numbers.tolist() for draw in draws]
    assert [len(draw) for draw in draws] == [7, 7, 7]
    assert rows[0] == sorted(rows[0])
    assert rows[0] == rows[1] != rows[2]
    assert len(draws[0].label_names) == 20


def test_large_parquet_is_memory_mapped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    import datasets

    columns = {"v": list(range(50)), "named": [0, 1] * 25}
    features = {"v": datasets.Value("int64"), "named": datasets.ClassLabel(names=["b", "a"])}
    path = parquet(tmp_path / "x.parquet", columns, features)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr("gdw.data.formats.parquet.IN_MEMORY_BYTES", 0)
    mapped = load(path, label="named")
    assert list((tmp_path / "cache").rglob("*.arrow"))
    monkeypatch.undo()
    direct = load(path, label="named")
    assert mapped.label_names == direct.label_names == ("b", "a")
    rows = np.array([40, 3, 3])
    assert mapped.frame(rows).equals(direct.frame(rows))
    assert capfd.readouterr().err == ""


def test_rows_from_many_chunks_come_in_order(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(
        pa.table({"v": range(100), "label": [0, 1] * 50}), tmp_path / "x.parquet", row_group_size=7
    )
    rows = open_rows(tmp_path / "x.parquet")
    order = np.random.default_rng(0).integers(0, 100, 300)
    assert rows.arrow("v", order).to_pylist() == order.tolist()
    assert rows.arrow("v", np.sort(order)).to_pylist() == np.sort(order).tolist()
    assert rows.arrow("v", order[:0]).to_pylist() == []


def test_importing_is_light() -> None:
    import subprocess
    import sys

    heavy = "datasets pyarrow pandas sklearn PIL"
    code = (
        "import sys, gdw.data; gdw.data.load, gdw.data.Source, gdw.data.noise, gdw.data.train_and_clean;"
        f"print([m for m in '{heavy}'.split() if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_format_is_one_object_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A toy format of lines `label value`: registered, it opens, and writes a cleaned copy."""

    def open_words(path: Path, options: ReadOptions) -> TableRows:
        label, value = zip(*(line.split() for line in path.read_text().splitlines()), strict=True)
        return TableRows(pa.table({"label": label, "value": value}), path, untyped=True)

    def copy_words(plan: CopyPlan, target: Path) -> None:
        lines = plan.source.read_text().splitlines()
        plan.require_all(len(lines))
        kept = [
            f"{plan.relabel.get(row, line.split()[0])} {line.split()[1]}\n"
            for row, line in enumerate(lines)
            if plan.keep[row]
        ]
        target.write_text("".join(kept))

    words = Format((".words", ".wrd"), open_words, copy_words)
    path = tmp_path / "x.WRD"
    path.write_text("cat 1\ndog 2\ncat 3\n")
    known = suffixes()
    with pytest.raises(
        DataError, match=rf"expected {re.escape(', '.join(known))} or a folder of images"
    ):
        load(path, label="label")
    monkeypatch.setattr("gdw.data.formats.FORMATS", (*FORMATS, words))
    source = load(path, label="label")
    assert (source.kind, source.label_names) == ("table", ("cat", "dog"))
    assert source.frame()["value"].tolist() == [1, 2, 3]
    assert suffixes_in_words() == f"{', '.join(known)}, .words or .wrd"
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(DataError, match=r"expected .*, \.words, \.wrd or a folder of images"):
        load(tmp_path / "x.txt", label="label")

    plan = CopyPlan(path, source.rows, "label", np.array([True, False, True]), {2: "dog"})
    format_of(path).write_copy(plan, tmp_path / "copy.wrd")
    assert (tmp_path / "copy.wrd").read_text() == "cat 1\ndog 3\n"
    path.write_text("cat 1\n")
    with pytest.raises(DataError, match="has 1 rows now, but it had 3 when it was opened"):
        format_of(path).write_copy(plan, tmp_path / "late.wrd")
    assert not (tmp_path / "late.wrd").exists()


def test_every_suffix_belongs_to_one_format() -> None:
    assert len(set(suffixes())) == len(suffixes())
    for suffix in suffixes():
        assert suffix in format_of(Path(f"x{suffix.upper()}")).suffixes
