"""Files that cannot be used: one clear line each."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gdw.data import from_arrays, load
from gdw.errors import ConfigError, DataError

from .files import parquet, png


def check(path: Path, message: str, **options: object) -> None:
    with pytest.raises(DataError, match=message) as raised:
        load(path, **{"label": "label", **options})  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


def test_paths_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a,label\n1,x\n")
    check(
        tmp_path / "trian.csv",
        r"there is no file or folder .*trian.csv'. Did you mean .*train.csv'\?",
    )
    check(tmp_path / "zzz.parquet", r"there is no file or folder .*zzz.parquet'\.$")
    check(tmp_path / "none/train.csv", "there is no folder .*none: check the path")


def test_unsupported_and_empty_files(tmp_path: Path) -> None:
    for name, message in [
        (
            "x.xlsx",
            "has the suffix '.xlsx': expected .csv, .*, .npz.* or a folder",
        ),
        ("x", "which has no suffix: expected .csv"),
    ]:
        (tmp_path / name).write_text("x")
        check(tmp_path / name, message)
    for suffix in (".csv", ".tsv", ".jsonl", ".parquet", ".npz"):
        path = tmp_path / f"empty{suffix}"
        path.write_bytes(b"")
        check(path, f"empty{suffix} is an empty file")
    (tmp_path / "header.csv").write_text("a,label\n")
    check(tmp_path / "header.csv", "header.csv has no rows")
    parquet(tmp_path / "none.parquet", {"a": np.array([], dtype=float), "label": np.array([], str)})
    check(tmp_path / "none.parquet", "none.parquet has no rows")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,label\n1,x\n2,y,z\n", r"line 3 of .*x.csv has 3 values, but the header has 2"),
        ("a,label\n1,x\n2\n", r"line 3 of .*x.csv has 1 values, but the header has 2"),
        ('a,label\n"1\n2",x\n3\n', r"line 4 of .*x.csv has 1 values"),
        (
            'a,label\n1,x\n2,"y\n',
            "line 3 of .*x.csv is broken: its cell begins with a quote that is never closed",
        ),
        ("a;label\n1 x\n", r"should be separated by ',', but its header has ';'"),
        ("a\tlabel\n1 x\n", r"should be separated by ',', but its header has '\\t'"),
        ("a,a,label\n1,2,x\n", r"more than one column named 'a': rename them"),
        ("\n\n", r"has no rows: expected a header line"),
    ],
)
def test_broken_csv(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    check(path, message)


@pytest.mark.parametrize("rows_before", [0, 30_000])
def test_csv_that_is_not_utf8(tmp_path: Path, rows_before: int) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(("a,label\n" + "Ulm,y\n" * rows_before + "Köln,x\n").encode("latin-1"))
    line = rows_before + 2
    check(
        path,
        rf"is not UTF-8 text, line {line} has the byte 0xf6: the line would read 'Köln,x' in windows-1252, "
        r".*; name the encoding that reads right \(--encoding windows-1252, encoding=\), or save the file",
    )
    path.write_bytes("a,label\nKöln,x\n".encode("utf-16"))
    check(
        path,
        "is not UTF-8 text, it begins with the mark of UTF-16: its first line would read 'a,label'; "
        r"name the encoding \(--encoding utf-16, encoding=\)",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "label": 1}\n{"a": 1,\n', "line 2 of .*x.jsonl is not valid JSON"),
        ('{"a": 1, "label": 1}\n[1, 2]\n', "line 2 of .*x.jsonl should be a JSON object"),
        (
            '{"a": 1, "label": 1}\n{"a": null, "label": 2}\n{"a": "x", "label": 2}\n',
            "line 3 of .*x.jsonl has text under 'a', but line 1 has a number: use one type in all lines",
        ),
    ],
)
def test_broken_jsonl(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    check(path, message)


def test_damaged_parquet_and_npz(tmp_path: Path) -> None:
    for suffix in (".parquet", ".npz"):
        path = tmp_path / f"x{suffix}"
        path.write_bytes(b"PAR1 or PK, but damaged")
        check(path, f"x{suffix} is damaged, or no")
    np.savez(path, X=np.arange(5000.0)[:, None], y=np.zeros(5000))
    content = bytearray(path.read_bytes())
    content[1000] ^= 255
    path.write_bytes(content)
    check(path, "x.npz is damaged, or not a NumPy archive: Bad CRC")


def test_missing_columns(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("age,text,label\n1,a b,x\n2,c d,y\n")
    check(
        path, r"has no column 'lable'. Did you mean 'label'\? Its columns: 'age', 't", label="lable"
    )
    check(path, "has no column 'aeg'. Did you mean 'age'", features=["aeg"])
    check(path, "has no column 'txet'. Did you mean 'text'", text="txet")
    check(path, "has no column left for the inputs", drop=["age", "text"])
    path.write_text("label\nx\ny\n")
    check(path, "has no column left for the inputs. Its columns: 'label'")


def test_contradicting_options(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b,label\n1,u,x\n2,v,y\n")
    for options, message in [
        ({"text": "b", "features": ["a"]}, "'text', 'features' exclude each other"),
        ({"features": []}, "the list of feature columns is empty"),
        ({"features": ["label"]}, "the label column 'label' cannot be an input"),
        ({"limit": 0}, r"limit \(--limit, limit=\) must be at least 1, found 0"),
    ]:
        with pytest.raises(ConfigError, match=message):
            load(path, label="label", **options)  # type: ignore[arg-type]
    np.savez(tmp_path / "x.npz", X=np.zeros((2, 1)), y=[0, 1])
    with pytest.raises(ConfigError, match="holds array data: 'text' columns cannot be chosen"):
        load(tmp_path / "x.npz", label="y", text="X")


def test_columns_of_the_wrong_kind(tmp_path: Path) -> None:
    columns = {"list": [[1], [2]], "n": [1, 2], "label": [0, 1]}
    path = parquet(tmp_path / "x.parquet", columns)
    fault = "column 'list' of .* holds list<.*> values, which cannot be a feature"
    check(path, fault, features=["list", "n"])
    source = load(path, label="label")
    assert source.feature_columns == ("n",)
    unused = (
        "not used, because a table has no features of these types: 'list' (list<element: int64>)"
    )
    assert source.notes == (unused,)
    assert load(path, label="label", drop=["list"]).notes == ()
    check(path, "no column left .* a table has no features of these types: 'list'", drop=["n"])
    check(path, "text column 'n' of .* does not hold text", text="n")
    check(path, "image column 'n' of .* should hold bytes, paths", image="n")
    check(path, "column 'list' of .* but a label is a single name or number", label="list")
    sums = {"sum": [b"\x00\x01" * 8, b"\xff" * 16], "n": [1, 2], "label": [0, 1]}
    path = parquet(tmp_path / "sums.parquet", sums)
    source = load(path, label="label")
    assert source.feature_columns == ("n",)
    assert source.notes[0].endswith("these types: 'sum' (binary)")
    two = parquet(tmp_path / "two.parquet", {"a": [png()] * 2, "b": [png()] * 2, "label": [0, 1]})
    check(two, "has several image columns, 'a', 'b': name the one to use")


def test_sources_are_read_as_their_kind(tmp_path: Path) -> None:
    source = from_arrays(np.zeros((2, 1)), [0, 1], origin="arrays")
    with pytest.raises(DataError, match="arrays is read as array data, not as table data"):
        source.frame()
    with pytest.raises(DataError, match="not as image data"):
        source.images(np.array([0]))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": [1]}, "has no array 'X'.*it has 'y'"),
        ({"X": np.zeros((3, 2)), "y": [0, 1]}, "'y' of .* has 2 rows, but 'X' has 3"),
        ({"X": np.zeros(3), "y": [0, 1, 0]}, r"should have the shape .*, found \(3,\)"),
        ({"X": np.zeros((2, 3, 4, 4)), "y": [0, 1]}, r"move the channels last: X.transpose"),
        ({"X": np.array([["a"]]), "y": [0]}, "'X' of .* should hold numbers, found the type <U1"),
        ({"X": np.zeros((1, 1)), "y": [[0]]}, r"'y' of .* should have the shape \(N,\)"),
        ({"X": np.array([[{}]], dtype=object), "y": [0]}, "holds Python objects"),
        (
            {"X": np.array([[0, 0], [1, np.nan]]), "y": [0, 1]},
            r"row 1 of x.npz, column 1: X\[1, 1\] is nan, not a finite number",
        ),
        (
            {"X": np.full((1, 2, 2), np.inf), "y": [0]},
            r"row 0 of x.npz: X\[0, 0, 0\] is inf, not a finite number",
        ),
        ({"X": np.zeros((2, 1)), "y": [0.0, np.nan]}, "row 1 of x.npz has no label in column 'y'"),
    ],
)
def test_arrays_that_cannot_be_used(
    tmp_path: Path, arrays: dict[str, object], message: str
) -> None:
    np.savez(tmp_path / "x.npz", **arrays)  # type: ignore[arg-type]
    check(tmp_path / "x.npz", message)


def test_bad_values_far_into_an_array(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gdw.data.arrays._ROWS_AT_ONCE", 3)
    X = np.zeros((10, 2))
    X[7, 1] = -np.inf
    with pytest.raises(DataError, match=r"row 7 of arrays, column 1: X\[7, 1\] is -inf"):
        from_arrays(X, np.zeros(10))


def test_a_line_null_is_named(tmp_path):
    # Arrow takes it for a row without values, and at the beginning it ends the process.
    path = tmp_path / "a.jsonl"
    for text, line in (("null", 1), (' \n null\n{"x": 1, "label": "a"}', 2), ("null: 1", 1)):
        path.write_text(text)
        with pytest.raises(
            DataError, match=rf"line {line} of .*a.jsonl (should be a JSON object|is not)"
        ):
            load(path, label="label")


def test_a_key_that_is_not_utf8(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"x": 0.5, "\xff\xff": 1, "label": "a"}\n')
    with pytest.raises(DataError, match=r"a.jsonl is not UTF-8 text, line 1 has the byte 0xff"):
        load(path, label="label")


def test_views_of_text_in_parquet(tmp_path):
    table = pa.table({"x": pa.array(["a", "b"] * 3, pa.string_view()), "label": ["u", "v"] * 3})
    pq.write_table(table, tmp_path / "a.parquet")
    source = load(tmp_path / "a.parquet", label="label")
    assert source.frame()["x"].tolist() == ["a", "b"] * 3
