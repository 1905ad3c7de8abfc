"""Columns of numbers with odd cells, and notes on what is not used."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from gdw.data import load
from gdw.data.labels import size_note
from gdw.errors import DataError

from .files import image_folder, png

N = 60
NUMBERS = [f"{1.5 * i:.2f}" for i in range(N - 1)] + ["0.75"]
LABELS = ["a", "b"] * (N // 2)


def table(path: Path, x: Sequence[object], **columns: Sequence[object]) -> Path:
    columns = {
        "x": x,
        "y": [1000 + i * i for i in range(len(x))],
        **columns,
        "label": LABELS[: len(x)],
    }
    rows = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join([",".join(columns), *rows]), encoding="utf-8")
    return path


def with_odd(*odd: str, start: int = 5) -> list[str]:
    return [*NUMBERS[:start], *odd, *NUMBERS[start + len(odd) :]]


@pytest.mark.parametrize(
    "odd",
    ["-", "--", "\u2013", "#N/A", "#DIV/0!", "#VALUE!", "unknown", "n.a.", "Missing", "~5", "<0.1", "1 234",
     "3 kg", "12a", "1,5", "5%", "no idea"],
)  # fmt: skip
def test_odd_cells_are_missing_numbers(tmp_path: Path, odd: str) -> None:
    cell = f'"{odd}"' if "," in odd else odd
    source = load(table(tmp_path / "x.csv", with_odd(cell, cell, cell)), label="label")
    assert source.column_types["x"] == "number"
    x = source.frame()["x"]
    assert np.flatnonzero(x.isna()).tolist() == [5, 6, 7]
    assert (x[8], x[0]) == (12.0, 0.0)
    note = f"cells that are not numbers are missing values: 3 in 'x', such as {odd!r}"
    assert source.notes == (note,)


def test_marks_of_missing_values_may_be_many(tmp_path: Path) -> None:
    source = load(table(tmp_path / "x.csv", with_odd(*["-"] * 50)), label="label")
    assert source.column_types["x"] == "number"
    assert "50 in 'x', such as '-'" in source.notes[0]


@pytest.mark.parametrize(
    "cells",
    [
        with_odd("V27", "E909", "V45"),
        [f"{i:05}" for i in range(N - 1)] + ["A1234"],
        ["1", "2", "3"] * 10 + ["unknown"] * 30,
        ["a", "b", "7"] * 20,
    ],
)
def test_codes_and_names_stay_categories(tmp_path: Path, cells: list[str]) -> None:
    path = table(tmp_path / "x.csv", cells)
    source = load(path, label="label", features=["x", "y"])
    assert source.column_types == {"x": "category", "y": "number"}


def test_many_odd_cells_are_said_to_make_names(tmp_path: Path) -> None:
    cells = with_odd(*["1 234", "2 345"] * 5)
    source = load(table(tmp_path / "x.csv", cells), label="label", features=["x"])
    assert source.column_types["x"] == "category"
    assert source.notes == (
        "read as names, because many cells are not numbers: 10 in 'x', such as '1 234'",
    )


@pytest.mark.parametrize(
    ("cell", "first"),
    [('"{:d},5"', "0,5"), ("{:d} %", "0 %"), ("${:d}.20", "$0.20"), ("1 {:03d}", "1 000")],
)
def test_numbers_in_the_writing_of_people_are_said_to_be_names(
    tmp_path: Path, cell: str, first: str
) -> None:
    source = load(table(tmp_path / "x.csv", [cell.format(i % 12) for i in range(N)]), label="label")
    assert source.column_types["x"] == "category"
    (note,) = source.notes
    assert note.startswith("read as names, not as numbers (write 3.14, without commas, spaces and")
    assert note.endswith(f"'x', such as '{first}'")


def test_a_later_file_has_odd_cells_too(tmp_path: Path) -> None:
    first = load(table(tmp_path / "x.csv", NUMBERS), label="label")
    later = load(table(tmp_path / "y.csv", with_odd("?!", "-")), label="label")
    x = later.typed(first.column_types).frame()["x"]
    assert np.flatnonzero(x.isna()).tolist() == [5, 6]
    one = load(table(tmp_path / "one.csv", ["unknown"]), label="label").typed(first.column_types)
    assert one.frame()["x"].isna().tolist() == [True]
    words = load(table(tmp_path / "z.csv", ["-", "4", "word"]), label="label")
    with pytest.raises(DataError, match=r"row 2 of z.csv: column 'x' should .* found 'word'"):
        words.typed(first.column_types).frame()


def test_columns_that_are_not_used_are_named(tmp_path: Path) -> None:
    ids = [f"k{7919 * i % 10007}" for i in range(N)]
    path = table(
        tmp_path / "x.csv", NUMBERS, **{"Unnamed: 0": range(N), "gap": [""] * N, "id": ids}
    )
    notes = load(path, label="label").notes
    assert notes[0] == "not used, because it is a row index of pandas: 'Unnamed: 0'"
    assert "twice: 'id'; to use" in notes[1]
    assert notes[2] == "not used, because all cells are empty: 'gap'"
    assert len(notes) == 3


def test_row_numbers_that_tell_the_label(tmp_path: Path) -> None:
    halves = ["a"] * (N // 2) + ["b"] * (N // 2)
    path = tmp_path / "x.csv"
    rows = [f"{100 + i},{(7 * i) % 5},{i * i},{label}" for i, label in enumerate(halves)]
    path.write_text("\n".join(["place,n,square,label", *rows]))
    (note,) = load(path, label="label").notes
    assert note.startswith("'place' numbers the rows and tells the label")
    assert load(path, label="label", drop=["place"]).notes == ()


def test_files_and_folders_that_are_not_used_are_counted(tmp_path: Path) -> None:
    files = {
        "a/1.png": png(),
        "b/1.png": png(),
        "b/2.heic": b"x",
        "b/3.heic": b"x",
        "b/n.txt": b"x",
    }
    image_folder(tmp_path, files)
    (tmp_path / "c").mkdir()
    assert load(tmp_path, label="label").notes == (
        "3 files are not used, because the suffix is not that of an image: 2 .heic, 1 .txt; the first is "
        "b/2.heic",
        "1 folder is not used, because there are no images in it: 'c'",
    )


def test_the_parts_of_a_split_are_no_classes(tmp_path: Path) -> None:
    names = [f"{part}/{k}/1.png" for part in ("train", "val", "Test") for k in ("cat", "dog")]
    image_folder(tmp_path / "d", dict.fromkeys(names, png()))
    with pytest.raises(DataError, match=r"parts of a split.*give .*d/train as .* --test .*d/Test$"):
        load(tmp_path / "d", label="label")
    # Vehicles: the folders in them are not the same.
    image_folder(tmp_path / "v", dict.fromkeys(["train/1.png", "test/2.png"], png()))
    assert load(tmp_path / "v", label="label").label_names == ("test", "train")


def test_arrays_that_are_not_used_are_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", X=np.eye(3), y=[0, 1, 0], more=np.eye(2))
    notes = load(tmp_path / "x.npz", label="label").notes
    assert notes == ("not used, because not of one value for each row: 'more'",)


def test_the_sizes_of_classes() -> None:
    labels = np.repeat(np.arange(12), [9, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 1])
    note = size_note([f"c{k}" for k in range(12)], labels)
    assert note.startswith("classes: 'c10' 11, 'c9' 10, 'c0' 9, ")
    assert note.endswith(", 4 more of 1 to 3 each")


def test_later_files_say_what_is_missing_by_the_types_of_training(tmp_path: Path) -> None:
    from gdw.data.text_files import ReadOptions
    from gdw.runs.schema import Schema

    schema = Schema("table", ("x", "y"), {"x": "number", "y": "category"}, ("a", "b"))
    ys = [*("unknown" for _ in range(2)), *range(N - 2)]
    path = table(tmp_path / "x.csv", with_odd("-"), y=ys)
    for label in (None, "label"):
        later = schema.load(str(path), label=label, options=ReadOptions())
        note = "cells that are not numbers are missing values: 1 in 'x', such as '-'"
        assert later.notes == (note,)
        assert later.frame()["y"][0] == "unknown"


def typed(path: Path, x: Sequence[object]) -> Path:
    """A Parquet or JSON Lines file whose column x is text."""
    import pandas as pd

    frame = pd.DataFrame({"x": list(map(str, x)), "label": LABELS[: len(x)]})
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=True)
    return path


@pytest.mark.parametrize("name", ["x.parquet", "x.jsonl"])
def test_text_that_holds_numbers_is_read_as_in_a_csv(tmp_path: Path, name: str) -> None:
    source = load(typed(tmp_path / name, NUMBERS), label="label")
    assert source.notes == ("text that holds numbers is read as numbers: 'x'",)
    assert source.frame()["x"].tolist() == [float(x) for x in NUMBERS]
    odd = load(typed(tmp_path / f"odd-{name}", with_odd("-", "~5")), label="label")
    assert odd.notes == ("cells that are not numbers are missing values: 2 in 'x', such as '-'",)
    assert np.flatnonzero(odd.frame()["x"].isna()).tolist() == [5, 6]
    # The types of the training file hold for a text in which this column would not be recognised.
    later = load(typed(tmp_path / f"later-{name}", ["7", "-"]), label=None, features=["x"])
    assert later.typed({"x": "number"}).frame()["x"].tolist()[0] == 7.0


@pytest.mark.parametrize("name", ["x.parquet", "x.jsonl"])
def test_codes_that_are_written_as_text_stay_names(tmp_path: Path, name: str) -> None:
    for cells in ([i % 3 for i in range(N)], [f"0{1000 + i // 2}" for i in range(N)]):
        source = load(typed(tmp_path / name, cells), label="label")
        assert (source.column_types["x"], source.notes) == ("category", ())
    with pytest.raises(DataError, match="almost no value of 'x' occurs twice"):
        load(typed(tmp_path / name, [100_000 + i for i in range(N)]), label="label")
