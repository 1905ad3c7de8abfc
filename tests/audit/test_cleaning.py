"""Cleaned copies in every format: what is not touched stays as it was, byte by byte where it can."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gdw.audit import Evidence
from gdw.audit.cleaning import Cleaned, apply, check_output
from gdw.audit.data_rows import TrainingRows, training_rows
from gdw.errors import ConfigError, DataError
from tests.audit.made import evidence
from tests.data.files import image_folder, parquet, png

NAMES = ("cat", "dog")


def about(given: list[int], rows: list[int] | None = None) -> Evidence:
    more: dict[str, Any] = {} if rows is None else {"rows": np.array(rows)}
    return evidence(np.full((len(given), 2), 0.5), given, **more)


def opened(
    path: Path,
    given: list[int],
    *,
    rows: list[int] | None = None,
    label: str = "label",
    **more: Any,
) -> TrainingRows:
    options = {"label_names": NAMES, "names_declared": False, "spoiled": False, **more}
    return training_rows(path, about(given, rows), label=label, **options)


def cleaned(
    mode: Any,
    data: TrainingRows,
    wrong: list[int],
    output: Path,
    names: tuple[str, ...] = NAMES,
    removed: tuple[int, ...] = (),
) -> Cleaned:
    """The examples `wrong` are issues, and the other class is suggested for every example."""
    at = data.numbers
    return apply(
        mode,
        data,
        wrong=np.isin(np.arange(len(at)), wrong),
        suggested=1 - data.codes[at],
        removed=np.isin(np.arange(len(at)), removed),
        label_names=names,
        output=output,
    )


CSV = (
    '\ufeffid, label ,"text"\r\n'
    '1, cat,"a, ""b"""\r\n'
    "\r\n"
    '2,dog, "two\nlines"\r\n'
    "3,dog,=x\r\n"
    "4,cat,end"
)


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_delimited_text(tmp_path: Path, delimiter: str) -> None:
    suffix = ".csv" if delimiter == "," else ".tsv"
    text = CSV if delimiter == "," else CSV.replace("a, ", "a; ").replace(",", "\t")
    path, copy = tmp_path / f"d{suffix}", tmp_path / f"k{suffix}"
    path.write_bytes(text.encode())
    data = opened(path, [0, 1, 1, 0])
    assert cleaned("KEEP", data, [1], copy) == Cleaned(3, 1, 0, 0)
    records = text.split("\r\n")
    assert copy.read_bytes().decode() == "\r\n".join([*records[:3], *records[4:]])
    assert cleaned("RELABEL", data, [0, 3], tmp_path / f"r{suffix}") == Cleaned(4, 0, 2, 0)
    written = (tmp_path / f"r{suffix}").read_bytes().decode().split("\r\n")
    assert written[0] == records[0]
    assert written[2:5] == records[2:5]
    assert written[1] == records[1].replace("cat", "dog")
    assert written[5] == records[5].replace("cat", "dog")
    again = opened(tmp_path / f"r{suffix}", [1, 1, 1, 1])
    assert again.rows.values("text", np.arange(4)) == data.rows.values("text", np.arange(4))
    assert path.read_bytes() == text.encode()


def test_rows_that_were_not_trained_on_stay(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("x,label\n1,cat\n2,dog\n3,cat\n4,dog\n")
    data = opened(tmp_path / "d.csv", [1, 0], rows=[3, 2])
    assert data.where(0) == "row 3 of d.csv"
    assert cleaned("KEEP", data, [0], tmp_path / "k.csv") == Cleaned(3, 1, 0, 2)
    assert (tmp_path / "k.csv").read_text() == "x,label\n1,cat\n2,dog\n3,cat\n"


def test_labels_are_written_as_the_file_spells_them(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("x,label\n1,0.0\n2,1.0\n")
    data = opened(tmp_path / "d.csv", [0, 1], label_names=("0", "1"))
    cleaned("RELABEL", data, [0], tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_text() == "x,label\n1,1.0\n2,1.0\n"


@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_parquet_with_declared_names_metadata_and_row_groups(
    tmp_path: Path, compression: str
) -> None:
    import datasets

    features = {
        "text": datasets.Value("string"),
        "label": datasets.ClassLabel(names=["dog", "cat"]),
    }
    path = parquet(tmp_path / "f.parquet", {"text": list("abcd"), "label": [1, 0, 0, 1]}, features)
    table = pq.read_table(path)
    pq.write_table(table, tmp_path / "d.parquet", row_group_size=3, compression=compression)
    data = opened(
        tmp_path / "d.parquet", [1, 0, 0, 1], label_names=("dog", "cat"), names_declared=True
    )
    done = cleaned("RELABEL", data, [1, 3], tmp_path / "r.parquet", ("dog", "cat"))
    assert done == Cleaned(4, 0, 2, 0)
    written = pq.read_table(tmp_path / "r.parquet")
    assert written.schema.equals(table.schema, check_metadata=True)
    assert written["label"].to_pylist() == [1, 1, 0, 0]
    about_file = pq.ParquetFile(tmp_path / "r.parquet").metadata
    assert about_file.num_row_groups == 2
    expected = "UNCOMPRESSED" if compression == "none" else "ZSTD"
    assert about_file.row_group(0).column(0).compression == expected
    cleaned("KEEP", data, [0, 1, 2], tmp_path / "k.parquet")
    assert pq.read_table(tmp_path / "k.parquet")["text"].to_pylist() == ["d"]


def test_parquet_of_pandas_and_dictionaries(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.5, 2, 3], "label": pd.Categorical(["cat", "dog", "cat"])})
    frame.to_parquet(tmp_path / "d.parquet")
    data = opened(tmp_path / "d.parquet", [0, 1, 0])
    cleaned("RELABEL", data, [2], tmp_path / "r.parquet")
    assert list(pd.read_parquet(tmp_path / "r.parquet")["label"]) == ["cat", "dog", "dog"]
    schema = pq.read_schema(tmp_path / "r.parquet")
    assert pa.types.is_dictionary(schema.field("label").type)
    cleaned("KEEP", data, [0], tmp_path / "k.parquet")
    kept = pd.read_parquet(tmp_path / "k.parquet")
    assert list(kept["x"]) == [2, 3]


def test_jsonl(tmp_path: Path) -> None:
    lines = [
        b'{"x": 1.50, "label": true, "deep": {"a": [1]}}\n',
        b"\n",
        '{"label":false,  "x": 2, "deep": {"a": []}, "t": "ä"}\r\n'.encode(),
        b'{"x": 3, "label": true}',
    ]
    path = tmp_path / "d.jsonl"
    path.write_bytes(b"".join(lines))
    data = opened(path, [1, 0, 1], label_names=("False", "True"))
    cleaned("KEEP", data, [2], tmp_path / "k.jsonl")
    assert (tmp_path / "k.jsonl").read_bytes() == b"".join(lines[:3])
    cleaned("RELABEL", data, [1], tmp_path / "r.jsonl")
    written = (tmp_path / "r.jsonl").read_bytes().splitlines(keepends=True)
    assert [written[0], written[3]] == [lines[0], lines[3]]
    assert written[2].endswith(b"}\r\n")
    assert json.loads(written[2]) == {**json.loads(lines[2]), "label": True}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet", "npz"])
def test_new_labels_and_removed_rows_in_one_copy(tmp_path: Path, suffix: str) -> None:
    frame = pd.DataFrame({"x": range(6), "label": ["cat", "dog"] * 3})
    path, output = tmp_path / f"d.{suffix}", tmp_path / f"c.{suffix}"
    if suffix == "csv":
        frame.to_csv(path, index=False)
    elif suffix == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    elif suffix == "parquet":
        frame.to_parquet(path, row_group_size=2)
    else:
        np.savez(path, X=frame[["x"]].to_numpy(float), y=frame["label"].to_numpy(str))
    data = opened(path, [0, 1] * 3)
    copy = cleaned("RELABEL", data, [0, 2, 5], output, removed=(2,))
    assert copy == Cleaned(written=5, left_out=1, relabelled=2, not_audited=0)
    rows = opened(output, [1, 1, 1, 0, 0])
    assert rows.codes.tolist() == [1, 1, 1, 0, 0]


def test_npz(tmp_path: Path) -> None:
    arrays = {
        "X": np.arange(8.0).reshape(4, 2),
        "y": np.array(["cat", "dog", "dog", "cat"]),
        "group": np.arange(4, dtype=np.int8),
        "about": np.array([7]),
    }
    np.savez_compressed(tmp_path / "d.npz", **arrays)
    data = opened(tmp_path / "d.npz", [0, 1, 1, 0])
    cleaned("KEEP", data, [1], tmp_path / "k.npz")
    cleaned("RELABEL", data, [1], tmp_path / "r.npz")
    with np.load(tmp_path / "k.npz") as kept, np.load(tmp_path / "r.npz") as relabelled:
        assert kept["group"].tolist() == [0, 2, 3]
        assert kept["X"].tolist() == arrays["X"][[0, 2, 3]].tolist()
        assert kept["about"].tolist() == [7]
        assert relabelled["y"].tolist() == ["cat", "cat", "dog", "cat"]
        assert relabelled["y"].dtype == arrays["y"].dtype
        assert relabelled["group"].dtype == np.int8


def test_a_folder_of_images(tmp_path: Path) -> None:
    folder = image_folder(
        tmp_path / "in",
        {
            "cat/1.png": png((1, 0, 0)),
            "cat/far/2.png": png((2, 0, 0)),
            "dog/1.png": png((3, 0, 0)),
            "dog/3 <b>.png": png((4, 0, 0)),
        },
    )
    data = opened(folder, [0, 0, 1, 1])
    assert cleaned("KEEP", data, [2], tmp_path / "kept") == Cleaned(3, 1, 0, 0)
    assert _files(tmp_path / "kept") == ["cat/1.png", "cat/far/2.png", "dog/3 <b>.png"]
    (tmp_path / ".out.gdw-abc12345.tmp/dog").mkdir(parents=True)  # of a process that was killed
    cleaned("RELABEL", data, [0, 1], tmp_path / "out")
    assert _files(tmp_path / "out") == [
        "dog/1-from-cat.png", "dog/1.png", "dog/3 <b>.png", "dog/far/2.png",
    ]  # fmt: skip
    assert (tmp_path / "out/dog/1-from-cat.png").read_bytes() == png((1, 0, 0))
    assert (tmp_path / "out/dog/1.png").read_bytes() == png((3, 0, 0))
    assert len(_files(folder)) == 4
    assert not list(tmp_path.glob(".*"))


def test_a_link_to_nothing_stays_a_link(tmp_path: Path) -> None:
    images = {f"{name}/1.png": png((k, 0, 0)) for k, name in enumerate(("cat", "dog"))}
    folder = image_folder(tmp_path / "in", images)
    (folder / "cat/link.png").symlink_to("nowhere")
    data = opened(folder, [0, 0, 1])
    assert cleaned("KEEP", data, [2], tmp_path / "kept") == Cleaned(2, 1, 0, 0)
    assert (tmp_path / "kept/cat/link.png").readlink() == Path("nowhere")
    assert (tmp_path / "kept/cat/1.png").read_bytes() == images["cat/1.png"]


def _files(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_a_label_never_seen_in_the_file(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("x,label\n1,cat\n2,cat\n")
    data = opened(tmp_path / "d.csv", [0, 0])
    with pytest.raises(DataError, match=r"'dog' is suggested, but .* has no row of that label"):
        cleaned("RELABEL", data, [0], tmp_path / "r.csv")
    assert not (tmp_path / "r.csv").exists()


def test_data_that_changed_since_the_training(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("x,label\n1,cat\n2,dog\n")
    for given, message in (
        ([0, 0], "row 1 of d.csv is 'dog' now"),
        ([0, 1, 1], "row 2 is missing"),
    ):
        with pytest.raises(DataError, match=f"changed since the run was trained on it.*{message}"):
            opened(path, given)
    assert len(opened(path, [0, 0], spoiled=True).numbers) == 2
    data = opened(path, [0, 1])
    path.write_text("x,label\n1,cat\n")
    with pytest.raises(DataError, match="has 1 rows now, but it had 2 when it was opened"):
        cleaned("KEEP", data, [0], tmp_path / "k.csv")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["d.csv"]


def test_outputs_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "d.csv").touch()
    (tmp_path / "images").mkdir()
    cases = [
        ("d.csv", "k.tsv", "ending in .csv"),
        ("images", "images", "exists already"),
        ("images", "images/kept", "is inside the data"),
    ]
    for data, output, message in cases:
        with pytest.raises(ConfigError, match=message):
            check_output(tmp_path / data, tmp_path / output)
    check_output(tmp_path / "d.csv", tmp_path / "k.CSV")
