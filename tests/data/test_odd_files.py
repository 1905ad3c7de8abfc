"""Files as other programs write and join them: the right values, or one line that says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gdw.data import fit_encoder, load
from gdw.data.formats import CopyPlan
from gdw.data.rows import format_of, open_rows
from gdw.errors import DataError

TEXT = (".csv", ",")
TABS = (".tsv", "\t")


def _lines(separator: str, *, rows: int = 12) -> list[str]:
    return [
        separator.join(line)
        for line in [
            ("x", "y", "label"),
            *((str(1.5 * k), str(k % 5), "ab"[k % 2]) for k in range(rows)),
        ]
    ]


def _values(path: Path, column: str) -> list[Any]:
    rows = open_rows(path)
    return rows.values(column, np.arange(len(rows)))


def _refused(path: Path) -> str:
    with pytest.raises(DataError) as raised:
        load(path, label="label")
    message = str(raised.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize(("suffix", "separator"), [TEXT, TABS])
def test_line_ends_marks_and_delimiters_at_the_end(
    tmp_path: Path, suffix: str, separator: str
) -> None:
    lines = _lines(separator)
    path = tmp_path / f"a{suffix}"
    mixed = "".join(line + ("\n", "\r\n", "\r")[k % 3] for k, line in enumerate(lines))
    marked = "\n".join(lines).replace(f"{separator}y", f"{separator}\ufeffy", 1)
    ended = f"{separator}\n".join(lines[1:]) + separator
    for text in ("\r".join(lines), mixed, marked, "\ufeff\ufeff" + marked, f"{lines[0]}\n{ended}"):
        path.write_bytes(text.encode())
        source = load(path, label="label")
        assert source.feature_columns == ("x", "y")
        assert _values(path, "y") == [str(k % 5) for k in range(12)]
        assert source.label_names == ("a", "b")
        assert source.notes == ()


@pytest.mark.parametrize(("suffix", "separator"), [TEXT, TABS])
def test_files_without_rows_or_with_wrong_rows(tmp_path: Path, suffix: str, separator: str) -> None:
    path = tmp_path / f"a{suffix}"
    header, *rows = _lines(separator)
    for text in (header, f"{header}\n", f"\ufeff{header}\r\n", "\ufeff"):
        path.write_text(text, newline="")
        assert "has no rows: expected" in _refused(path)
    for change, fault in (
        (rows[3] + separator + "z", f"line 5 of {path} has 4 values, but the header has 3"),
        (rows[3].rpartition(separator)[0], f"line 5 of {path} has 2 values"),
        ('"' + rows[3], f"line 5 of {path} is broken: its cell begins with a quote"),
    ):
        path.write_text("\n".join([header, *rows[:3], change, *rows[4:]]))
        assert fault in _refused(path)
    for names, fault in (("x,x,label", "more than one column named 'x'"), (",,label", "named ''")):
        path.write_text("\n".join([names.replace(",", separator), *rows]))
        assert fault in _refused(path)


def test_long_cells_and_zero_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    long = "w" * 10_000_000
    path.write_text("\n".join(_lines(",")).replace("\n3.0", f"\n{long}").replace("4.5", "4\0"))
    assert _values(path, "x")[2:4] == [long, "4\0"]
    (note,) = load(path, label="label").notes
    assert len(note) < 200


def _json(path: Path, change: tuple[str, str], end: str = "\n") -> Path:
    items = [{"x": 1.5 * k, "y": f"t{k % 3}", "label": "ab"[k % 2]} for k in range(12)]
    text = end.join(json.dumps(item) for item in items)
    path.write_bytes(text.replace(*change, 1).encode())
    return path


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (('"t2"', '"\\ud800t"'), "line 3 of .* has '.ud800', which is half of a character"),
        (('"y": "t1"', '"\\udc00": "t1"'), "line 2 of .* has '.udc00', which is half"),
        (('\n{"x": 3.0', '\n\ufeff{"x": 3.0'), "line 3 of .* begins with a byte order mark"),
        (('"x": 3.0', '"x": 3.0, "x": 1'), "line 3 of .* has the key 'x' twice"),
        (('"t2"', '"t\0"'), "line 3 of .* is not valid JSON: Invalid control character"),
        (("}\n", "},\n"), "line 1 of .* is not valid JSON: Extra data"),
    ],
)
def test_json_that_is_refused(tmp_path: Path, change: tuple[str, str], fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        load(_json(tmp_path / "a.jsonl", change), label="label")


def test_json_as_it_is_written(tmp_path: Path) -> None:
    for change, end, value in (
        (('"t2"', '"\\u0000\\ud83d\\ude00"'), "\n", "\0\U0001f600"),
        (("}\n", "}\r"), "\n", "t2"),
        (("", ""), "\r", "t2"),
        (("{", "\ufeff{"), "\r\n", "t2"),
    ):
        path = _json(tmp_path / "a.jsonl", change, end)
        assert _values(path, "y")[2] == value
        assert load(path, label="label").feature_columns == ("x", "y")


DAYS = [-719_162, -171_000, 193_659, 2_932_896]  # from 0001-01-01 to 9999-12-31


@pytest.mark.parametrize(
    "kind", [pa.date32(), pa.date64(), *(pa.timestamp(unit) for unit in ("s", "ms", "us"))]
)
def test_dates_of_all_years(tmp_path: Path, kind: pa.DataType) -> None:
    days = pa.array(DAYS * 3, pa.int32()).cast(pa.date32())
    pq.write_table(
        pa.table({"x": days.cast(kind), "label": ["a", "b"] * 6}), tmp_path / "a.parquet"
    )
    source = load(tmp_path / "a.parquet", label="label")
    encoded = fit_encoder(source).encode(source)
    spread = np.array(DAYS * 3, dtype=np.float64)
    expected = (spread - spread.mean()) / spread.std()
    assert np.allclose(np.asarray(encoded)[:, 0], expected, atol=1e-5)


def test_dates_beyond_the_year_9999(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    for kind in (pa.date32(), pa.timestamp("ms")):
        width = pa.int32() if kind == pa.date32() else pa.int64()
        far = pa.array([2 ** (width.bit_width - 1) - 1] * 12, width).cast(kind)
        pq.write_table(pa.table({"x": far, "label": ["a", "b"] * 6}), path)
        with pytest.raises(DataError, match=r"column 'x' of .* holds dates outside the years 1 to"):
            load(path, label="x")
        source = load(path, label="label")
        with pytest.raises(DataError, match=r"row 0 of a.parquet: column 'x' should hold a date"):
            fit_encoder(source).encode(source)


@pytest.mark.parametrize("label", [pa.string(), pa.string_view(), pa.large_string()], ids=str)
def test_copies_keep_columns_that_are_not_used(tmp_path: Path, label: pa.DataType) -> None:
    table = pa.table(
        {
            "bytes": pa.array([b"\xff%d" % k for k in range(6)]),
            "views": pa.array([f"text {k}" * 4 for k in range(6)], pa.string_view()),
            "byte views": pa.array([b"\xff%d" % k for k in range(6)], pa.binary_view()),
            "list": [[1.0, k] for k in range(6)],
            "in lists": pa.array([[b"%d" % k] for k in range(6)], pa.list_(pa.binary_view())),
            "struct": [{"a": k, "b": [str(k)]} for k in range(6)],
            "map": pa.array([[("k", k)] for k in range(6)], pa.map_(pa.string(), pa.int64())),
            "for": pa.array(range(6), pa.duration("ms")),
            "time": pa.array(range(6), pa.time64("us")),
            "label": pa.array(list("ababab"), label),
        }
    )
    path, target = tmp_path / "a.parquet", tmp_path / "copy.parquet"
    pq.write_table(table, path)
    keep = np.array([True, True, False, True, True, True])
    plan = CopyPlan(path, open_rows(path), "label", keep, {1: "c"})
    format_of(path).write_copy(plan, target)
    copy = pq.read_table(target)
    assert copy.schema.types == pq.read_schema(path).types
    rows = [dict(row) for row, kept in zip(table.to_pylist(), keep, strict=True) if kept]
    rows[1]["label"] = "c"
    assert copy.to_pylist() == rows


@pytest.mark.parametrize(
    "big", [2**63, 2**64 - 3, 2**64, -(2**63) - 2, 10**37, 10**50], ids=lambda n: f"{n:.0e}"
)
def test_large_integers_of_json_are_exact(tmp_path: Path, big: int) -> None:
    path = tmp_path / "a.jsonl"
    labels = [big, big + 1, 5, big + 2]
    rows = [{"x": k / 4, "id": label, "label": label} for k, label in enumerate(labels)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = load(path, label="label")
    assert source.label_names == tuple(map(str, sorted(labels)))
    assert source.rows.values("id", np.arange(4)) == labels
    (value,) = source.rows.values("label", np.array([0]))
    plan = CopyPlan(path, source.rows, "label", np.ones(4, bool), {2: value})
    format_of(path).write_copy(plan, tmp_path / "copy.jsonl")
    changed = path.read_text().replace('"label": 5', f'"label": {big}')
    assert (tmp_path / "copy.jsonl").read_text() == changed


def test_large_numbers_of_json_that_are_not_all_integers_stay_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(f'{{"a": {2**63 + 1}, "b": 1e300}}\n{{"a": 1.5, "b": -1e25}}\n')
    rows = open_rows(path)
    assert rows.values("a", np.arange(2)) == [2.0**63, 1.5]
    assert rows.values("b", np.arange(2)) == [1e300, -1e25]
