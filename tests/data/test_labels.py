"""Label names: what is a label, how names are sorted, and other label columns."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdw.data import load, train_and_clean
from gdw.data.labels import UNLABELLED, LabelColumn, read_labels, recode
from gdw.errors import DataError

from .files import parquet


def read(values: list[Any] | pa.Array) -> LabelColumn:
    array = values if isinstance(values, pa.Array) else pa.array(values)
    return read_labels(pa.chunked_array([array.slice(0, 1), array.slice(1)]))


@pytest.mark.parametrize(
    ("values", "names"),
    [
        (["b", "a", "b"], ("a", "b")),
        ([10, 9, 1], ("1", "9", "10")),
        ([1.0, 10.0, 9.0], ("1", "9", "10")),
        (["10", "9", "1.0", "-1"], ("-1", "1", "9", "10")),
        (["007", "1"], ("007", "1")),
        ([0.5, 1.0], ("0.5", "1")),
        ([True, False], ("False", "True")),
        (["NA", "None", "nan", "null", "?"], ("?", "NA", "None", "nan", "null")),
        (
            ["<script>", "naïve", "日本", "a,b", "a\nb"],
            ("<script>", "a\nb", "a,b", "naïve", "日本"),
        ),
        ([b"x", b"y"], ("x", "y")),
        ([" a", "a ", "b"], ("a", "b")),
    ],
)
def test_names(values: list[Any], names: tuple[str, ...]) -> None:
    column = read(values)
    assert column.names == names
    assert len(column.codes) == len(values)


@pytest.mark.parametrize("values", [["a", None], ["a", "  "], [1.0, math.nan], [1, None]])
def test_missing_labels(values: list[Any]) -> None:
    assert read(values).codes.tolist() == [0, UNLABELLED]


def test_categories_and_lists() -> None:
    assert read(pa.array(["x", "y", "x"]).dictionary_encode()).codes.tolist() == [0, 1, 0]
    with pytest.raises(DataError, match="but a label is a single name or number"):
        read([[1], [2]])


@given(st.lists(st.text(min_size=1).map(str.strip).filter(bool), min_size=1))
def test_codes_name_the_values(values: list[str]) -> None:
    try:
        [value.encode() for value in values]
    except UnicodeEncodeError:
        return
    column = read(values)
    named = [column.names[code] for code in column.codes]
    if all(value.strip("0123456789.-") for value in values):
        assert named == values
        assert list(column.names) == sorted(set(values))


def where(row: int) -> str:
    return f"row {row + 1}"


def test_recoding_by_name_and_by_number() -> None:
    plain = LabelColumn(("0", "1", "2"), np.array([2, 0, UNLABELLED]))
    assert recode(plain, ("2", "1", "0"), where=where).tolist() == [0, 2, UNLABELLED]
    names = ("cat", "dog", "owl")
    known = recode(plain, names, where=where, names_declared=True)
    assert known.tolist() == [2, 0, UNLABELLED]
    named = LabelColumn(("cat", "dog"), np.array([1, 0, 1]), declared=True)
    assert recode(named, ("0", "1"), where=where).tolist() == [1, 0, 1]
    assert recode(named, ("dog", "cat"), where=where).tolist() == [0, 1, 0]


def test_numbers_are_no_names_unless_a_file_declares_which() -> None:
    numbers = LabelColumn(("0", "1"), np.array([UNLABELLED, 1, 0]))
    with pytest.raises(
        DataError,
        match=r"row 3: the label '0' is not a known class: expected one of the names 'ant', 'zebra', "
        r"found a number, and no file declares which number means which name; write the names",
    ) as caught:
        recode(numbers, ("ant", "zebra"), where=where)
    assert "\n" not in str(caught.value)
    # Against other numbers there is no doubt about what the label is.
    with pytest.raises(
        DataError, match=r"the label '0' is not a known class. .*Known classes: '1', '2'"
    ):
        recode(numbers, ("1", "2"), where=where, names_declared=True)


def test_numbers_of_a_second_file_meet_sorted_names(tmp_path: Path) -> None:
    for name, labels in {"train": "tshirt,trouser,pullover", "second": "0,1,2"}.items():
        rows = "\n".join(f"{i},{label}" for i, label in enumerate(labels.split(",") * 2))
        (tmp_path / f"{name}.csv").write_text(f"a,label\n{rows}\n")
    train = load(tmp_path / "train.csv", label="label")
    assert train.label_names == ("pullover", "trouser", "tshirt")
    assert not train.names_declared
    with pytest.raises(DataError, match=r"row 0 of second.csv: the label '0'.*'pullover'"):
        load(tmp_path / "second.csv", label="label", label_names=train.label_names)
    second = load(tmp_path / "second.csv", label="label")
    for options in ({"meta": second}, {"meta": second, "meta_label": "label"}):
        with pytest.raises(DataError, match=r"row 0 of second.csv: the label '0'.*'pullover'"):
            train_and_clean(train, seed=0, **options)  # type: ignore[arg-type]


def test_what_a_file_declares_holds_for_other_files(tmp_path: Path) -> None:
    import datasets

    named = {"v": datasets.Value("float64"), "label": datasets.ClassLabel(names=["zebra", "ant"])}
    train = load(
        parquet(tmp_path / "x.parquet", {"v": [1.5, 2.5], "label": [0, 1]}, named), label="label"
    )
    (tmp_path / "second.csv").write_text("v,label\n1.5,1\n2.5,0\n3.5,1\n")
    assert train.names_declared
    assert train.select(np.array([1])).with_labels([0]).names_declared
    assert not train.with_labels([0, 1], ["a", "b"]).names_declared
    second = load(tmp_path / "second.csv", label="label")
    for options in ({"meta": second}, {"meta": second, "meta_label": "label"}):
        _, clean = train_and_clean(train, seed=0, **options)  # type: ignore[arg-type]
        assert clean.labels is not None
        assert clean.labels.tolist() == [1, 0, 1]
        assert clean.names_declared
    known = load(
        tmp_path / "second.csv", label="label", label_names=train.label_names, names_declared=True
    )
    assert known.labels is not None
    assert known.labels.tolist() == [1, 0, 1]
    # The other way about: the numbers trained on, and names that a second file declares.
    numbers = load(tmp_path / "second.csv", label="label")
    _, clean = train_and_clean(numbers, meta=train, seed=0)
    assert clean.label_names == ("0", "1")
    assert clean.labels is not None
    assert clean.labels.tolist() == [0, 1]


def test_recoding_an_unknown_label() -> None:
    column = LabelColumn(("cat", "dgo"), np.array([0, 0, 1]))
    with pytest.raises(
        DataError, match=r"row 3: the label 'dgo' is not a known class. Did you mean 'dog'\? Known"
    ):
        recode(column, ("cat", "dog"), where=where)
    with pytest.raises(DataError, match="row 1: the label '3' is not a known class"):
        recode(LabelColumn(("3",), np.array([0])), ("cat", "dog"), where=where)
    with pytest.raises(DataError, match="the label 'cat' is not a known class"):
        recode(LabelColumn(("cat",), np.array([0])), ("0", "1"), where=where)
    # A class that is named but never used does no harm.
    assert recode(LabelColumn(("a", "z"), np.array([0])), ("a", "b"), where=where).tolist() == [0]


def test_declared_names_and_plain_numbers_in_both_directions(tmp_path: Path) -> None:
    import datasets

    names = ["zebra", "ant"]
    path = parquet(
        tmp_path / "x.parquet",
        {"v": [1.5, 2.5, 3.5], "named": [0, 1, 1], "plain": [1, 0, 1]},
        {
            "v": datasets.Value("float64"),
            "named": datasets.ClassLabel(names=names),
            "plain": datasets.Value("int64"),
        },
    )
    named = load(path, label="named", drop=["plain"])
    assert named.label_names == ("zebra", "ant")
    assert named.labels is not None
    assert named.labels.tolist() == [0, 1, 1]
    assert named.codes("plain", named.label_names).tolist() == [1, 0, 1]
    plain = load(path, label="plain", drop=["named"])
    assert plain.label_names == ("0", "1")
    assert plain.codes("named", plain.label_names).tolist() == [0, 1, 1]


def test_declared_names_that_do_not_cover_the_numbers(tmp_path: Path) -> None:
    for numbers, message in [
        (
            [0, 5],
            r"class number 5, but its 2 declared names have the numbers 0 to 1 \(-1: no label\)",
        ),
        ([0, 2], "class number 2,"),
        ([-2, 0], "class number -2,"),
    ]:
        with pytest.raises(DataError, match=message):
            read_labels(pa.chunked_array([numbers]), ["a", "b"])
    assert read_labels(pa.chunked_array([[0, None, -1]]), ["a"]).codes.tolist() == [0, -1, -1]


def test_labels_that_look_like_missing_values_in_files(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,label\n1,NA\n2,None\n3,nan\n4,NA\n")
    source = load(path, label="label")
    assert source.label_names == ("NA", "None", "nan")
    path.write_text("a,label\n1,x\n2,\n3,\n")
    with pytest.raises(
        DataError, match=r"row 1 of x.csv has no label in .* and 1 more rows have none"
    ):
        load(path, label="label")


@pytest.mark.parametrize("number", [-2, -7, 2])
def test_class_numbers_that_the_declared_names_do_not_cover_are_refused(number: int) -> None:
    column = pa.chunked_array([pa.array([0, number, 1])])
    with pytest.raises(DataError, match="names"):
        read_labels(column, declared=("cat", "dog"))
    missing = read_labels(pa.chunked_array([pa.array([0, -1, 1])]), declared=("cat", "dog"))
    assert missing.codes.tolist() == [0, -1, 1]
