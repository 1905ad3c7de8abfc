"""Label columns that are no classes, and names of columns that do not exist or have commas."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from gdw.data import load
from gdw.errors import DataError

N = 100
RANDOM = np.random.default_rng(0).normal(size=N)


def table(path: Path, labels: Sequence[object]) -> Path:
    rows = [f"{x:.3f},{label}" for x, label in zip(RANDOM, labels, strict=False)]
    path.write_text("\n".join(["x,price", *rows]), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("labels", "described"),
    [
        ([f"{x:.2f}" for x in RANDOM], "measured numbers"),
        ([f"{i % 40 / 10}" for i in range(N)], "measured numbers"),
        ([f"{i * 7}" for i in range(N)], "values that hardly repeat"),
        ([f"k{i}" for i in range(N)], "values that hardly repeat"),
    ],
)
def test_labels_that_are_no_classes_are_refused(
    tmp_path: Path, labels: list[str], described: str
) -> None:
    path = table(tmp_path / "a.csv", labels)
    with pytest.raises(DataError, match=rf"column 'price' of .*{described}.*--label-as-classes"):
        load(path, label="price")
    classes = load(path, label="price", label_as_classes=True).label_names
    assert set(classes) == set(labels)
    # The labels of a later file are those of the first one.
    assert load(path, label="price", label_names=classes).label_names == classes


@pytest.mark.parametrize(
    "labels",
    [
        [i % 10 / 2 for i in range(N)],
        [i % 40 for i in range(N)],
        [f"{i / 7:.3f}" for i in range(19)],
        [f"k{i % 45}" for i in range(N)],
    ],
)
def test_labels_that_repeat_are_classes(tmp_path: Path, labels: list[object]) -> None:
    assert load(table(tmp_path / "a.csv", labels), label="price").label_names


def test_columns_that_do_not_exist_are_refused_with_the_nearest(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('"diagnosis, later",a,b,label\n1,2,3,x\n4,5,6,y\n')
    with pytest.raises(DataError, match=r"no column 'lable'\. Did you mean 'label'\?"):
        load(path, label="label", drop=["a", "lable"])
    with pytest.raises(DataError, match=r"'diagnosys, later'\. Did you mean 'diagnosis, later'"):
        load(path, label="label", drop=["diagnosys, later"])
    assert load(path, label="label", set_aside=["truth", "a"]).feature_columns == (
        "diagnosis, later",
        "b",
    )


def test_names_with_commas_that_were_taken_apart(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('"diagnosis, later",a,"a,b",label\n1,2,3,x\n4,5,6,y\n')

    def kept(*drop: str) -> tuple[str, ...]:
        return load(path, label="label", drop=drop).feature_columns

    assert kept("diagnosis", "later") == kept("diagnosis, later") == ("a", "a,b")
    assert kept("a", "diagnosis", "later") == ("a,b",)
    assert kept("a,b") == ("diagnosis, later", "a")
    chosen = load(path, label="label", features=["a", "diagnosis", "later"])
    assert chosen.feature_columns == ("a", "diagnosis, later")


def test_many_columns_take_time_in_proportion(tmp_path: Path) -> None:
    import time

    def seconds(width: int) -> float:
        names = [f"c{i}" for i in range(width)]
        path = tmp_path / f"{width}.csv"
        path.write_text("\n".join([",".join([*names, "label"]), ",".join(["1"] * width + ["x"])]))
        start = time.process_time()
        load(path, label="label", drop=names[1:])
        return time.process_time() - start

    seconds(10)
    assert seconds(20_000) < 20 * seconds(2_000) + 1
