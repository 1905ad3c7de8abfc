"""Training and clean sets from the three ways of naming clean data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gdw.data import Source, from_arrays, load, train_and_clean
from gdw.data.clean import lacking_clean
from gdw.errors import ConfigError, DataError


def table(path: Path, rows: str, header: str = "age,city,label", **options: object) -> Source:
    path.write_text(header + "\n" + rows.replace(" ", "\n") + "\n")
    return load(path, label="label", **options)  # type: ignore[arg-type]


ROWS = "1,Ulm,a 2,Bonn,b 3,Ulm,a 4,Bonn,b"


def test_a_second_file_takes_the_classes_and_columns_of_the_first(tmp_path: Path) -> None:
    train = table(tmp_path / "train.csv", ROWS)
    meta = table(tmp_path / "meta.csv", "b,Ulm,9 a,Bonn,8", header="label,city,age")
    found, clean = train_and_clean(train, meta=meta, seed=0)
    assert found.row_numbers.tolist() == [0, 1, 2, 3]
    assert clean.label_names == ("a", "b")
    assert clean.labels.tolist() == [1, 0]  # type: ignore[union-attr]
    assert list(clean.frame().columns) == ["age", "city"]


def test_names_of_a_second_file_are_matched_by_name(tmp_path: Path) -> None:
    train = table(tmp_path / "train.csv", ROWS + " 5,Ulm,c")
    names = {"label_names": ("c", "b", "a")}
    meta = table(tmp_path / "meta.csv", "1,Ulm,a 1,Ulm,b 1,Ulm,c", **names)
    clean = train_and_clean(train, meta=meta, seed=0)[1]
    assert clean.labels.tolist() == [0, 1, 2]  # type: ignore[union-attr]


def test_a_trusted_column(tmp_path: Path) -> None:
    rows = "1,a,Yes 2,b,true 3,a,0 4,b, 5,b,FALSE"
    source = table(tmp_path / "x.csv", rows, header="age,label,ok")
    train, clean = train_and_clean(source, trusted="ok", seed=0)
    assert train.row_numbers.tolist() == [2, 3, 4]
    assert clean.row_numbers.tolist() == [0, 1]
    assert train.feature_columns == clean.feature_columns == ("age",)


def test_a_number_of_clean_examples_with_their_own_label_column(tmp_path: Path) -> None:
    rows = " ".join(f"{i},{'ab'[i % 2]},{'ab'[i % 3 == 0]}" for i in range(60))
    source = table(tmp_path / "x.csv", rows, header="age,true,label")
    train, clean = train_and_clean(source, meta_size=10, meta_label="true", seed=3)
    assert sorted([*train.row_numbers, *clean.row_numbers]) == list(range(60))
    assert clean.labels.tolist() == (clean.row_numbers % 2).tolist()  # type: ignore[union-attr]
    assert np.bincount(clean.labels).tolist() == [5, 5]  # type: ignore[arg-type]
    assert train.labels.tolist() == (train.row_numbers % 3 == 0).tolist()  # type: ignore[union-attr]
    assert train.feature_columns == clean.feature_columns == ("age",)
    again = train_and_clean(source, meta_size=10, meta_label="true", seed=3)[1]
    assert (again.row_numbers == clean.row_numbers).all()


def test_a_label_column_for_trusted_rows_and_second_files(tmp_path: Path) -> None:
    rows = "1,a,b,1 2,b,a,1 3,a,a,0 4,b,b,0"
    source = table(tmp_path / "x.csv", rows, header="age,label,true,ok")
    clean = train_and_clean(source, trusted="ok", meta_label="true", seed=0)[1]
    assert clean.labels.tolist() == [1, 0]  # type: ignore[union-attr]
    (tmp_path / "meta.csv").write_text("age,true,ok\n1,b,1\n2,a,1\n")
    meta = load(tmp_path / "meta.csv", label=None)
    clean = train_and_clean(source.without_features("ok"), meta=meta, meta_label="true", seed=0)[1]
    assert clean.labels.tolist() == [1, 0]  # type: ignore[union-attr]
    with pytest.raises(ConfigError, match=r"meta.csv was loaded without labels"):
        train_and_clean(source, meta=meta, seed=0)


def test_exactly_one_way(tmp_path: Path) -> None:
    source = table(tmp_path / "x.csv", ROWS)
    with pytest.raises(ConfigError, match=r"found none: .*meta=.*trusted=.*meta_size="):
        train_and_clean(source, seed=0)
    with pytest.raises(ConfigError, match="exactly one way, found 2 of them"):
        train_and_clean(source, trusted="ok", meta_size=2, seed=0)
    with pytest.raises(ConfigError, match="the clean data are the training data"):
        train_and_clean(source, meta=load(tmp_path / "x.csv", label="label"), seed=0)


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ("1,Ulm,a 2,Ulm,bb", r"row 1 of meta.csv: the label 'bb' is not a known class"),
        ("1,Ulm,a x,Ulm,b", r"row 1 of meta.csv: column 'age' is a number in .*, found 'x'"),
        (
            "1,7,a 2,8,b",
            r"column 'city' of .*meta.csv holds numbers, but in .* names such as 'Bonn', 'Ulm'",
        ),
    ],
)
def test_clean_files_that_do_not_match(tmp_path: Path, meta: str, message: str) -> None:
    train = table(tmp_path / "train.csv", ROWS)
    with pytest.raises(DataError, match=message):
        train_and_clean(train, meta=table(tmp_path / "meta.csv", meta), seed=0)


def test_names_that_look_like_numbers_are_names(tmp_path: Path) -> None:
    train = table(tmp_path / "train.csv", "1,007,a 2,B7,b")
    meta = table(tmp_path / "meta.csv", "1,007,a 2,12,b 3,?,b")
    clean = train_and_clean(train, meta=meta, seed=0)[1]
    assert clean.frame()["city"].fillna("-").tolist() == ["007", "12", "-"]


def test_missing_columns_and_other_kinds(tmp_path: Path) -> None:
    train = table(tmp_path / "train.csv", ROWS)
    meta = table(tmp_path / "meta.csv", "1,Ulm,a 2,Ulm,b", header="age,citty,label")
    with pytest.raises(
        DataError, match=r"lacks the column 'city' of .* Did you mean 'citty'\? Its"
    ):
        train_and_clean(train, meta=meta, seed=0)
    arrays = from_arrays(np.zeros((2, 2)), ["a", "b"], origin="meta")
    with pytest.raises(DataError, match=r"meta is array data, but .*train.csv is table data"):
        train_and_clean(train, meta=arrays, seed=0)
    data = from_arrays(np.zeros((2, 3)), ["a", "b"], origin="data")
    with pytest.raises(DataError, match=r"have the shape \(2,\), expected \(3,\) as in data"):
        train_and_clean(data, meta=arrays, seed=0)


def test_classes_that_cannot_be_trained_on() -> None:
    X = np.zeros((4, 1))
    names = ("a", "b", "c")
    one = from_arrays(X, ["a"] * 4)
    with pytest.raises(DataError, match="has a single class, 'a': expected at least two"):
        train_and_clean(one, meta_size=1, seed=0)
    train = from_arrays(X, ["a", "b", "a", "b"], label_names=names, origin="train")
    meta = from_arrays(X, ["a", "b", "c", "c"], label_names=names, origin="meta")
    with pytest.raises(
        DataError, match=r"row 2 of meta: the clean label 'c' never occurs in .* which has 'a', 'b'"
    ):
        train_and_clean(train, meta=meta, seed=0)


def test_a_class_may_have_verified_examples_alone(tmp_path: Path) -> None:
    source = table(tmp_path / "x.csv", "1,a,0 2,b,0 3,c,1 4,a,1", header="age,label,ok")
    train, clean = train_and_clean(source, trusted="ok", seed=0)
    assert train.known_labels.tolist() == [0, 1]
    assert clean.known_labels.tolist() == [2, 0]


@pytest.mark.parametrize(
    ("clean", "fewest", "lacking"),
    [
        ([], (1, 1), [4, 4, 4, 0]),
        ([0] * 9 + [1] * 3, (1, 1), [0, 0, 5, 0]),
        ([0] * 9 + [1] * 3, (4, 7), [0, 4, 7, 0]),
        ([0, 1], (4, 1), [4, 4, 4, 0]),
        ([0] * 5 + [1] * 5 + [2] * 5, (1, 5), [0, 0, 0, 0]),
    ],
)
def test_which_classes_lack_clean_examples(
    clean: list[int], fewest: tuple[int, int], lacking: list[int]
) -> None:
    labels = np.array([0, 1, 1, 2]), np.array(clean, dtype=np.int64)
    found = lacking_clean(*labels, 4, fewest=fewest[0], fewest_of_class=fewest[1])
    assert found.tolist() == lacking


def test_trusted_columns_that_say_nothing(tmp_path: Path) -> None:
    for word, message in [("1", "every row of"), ("0", "no row of")]:
        rows = " ".join(f"{i},{'ab'[i % 2]},{word}" for i in range(4))
        source = table(tmp_path / "x.csv", rows, header="age,label,ok")
        with pytest.raises(DataError, match=message):
            train_and_clean(source, trusted="ok", seed=0)
    source = table(tmp_path / "x.csv", "1,a,1 2,b,maybe", header="age,label,ok")
    with pytest.raises(
        DataError, match=r"row 1 of x.csv: the trusted column 'ok' .* found 'maybe'"
    ):
        train_and_clean(source, trusted="ok", seed=0)
    with pytest.raises(DataError, match=r"has no column 'okk'. Did you mean 'ok'\?"):
        train_and_clean(source, trusted="okk", seed=0)


def test_the_names_of_gdw_0_1_are_still_there() -> None:
    import gdw.data

    assert gdw.data.assemble is train_and_clean
    assert gdw.data.Pair is gdw.data.PairedBatches
    assert gdw.data.noise.pair is gdw.data.noise.pair_flip
