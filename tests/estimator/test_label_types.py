"""Labels come back in their own type, and `trusted` and `meta` are containers like any other."""

from __future__ import annotations

import enum
import pickle
import re
import warnings
from datetime import date

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from sklearn.metrics import classification_report
from sklearn.model_selection import GridSearchCV, cross_val_score

from gdw.errors import DataError
from gdw.estimator import DataNoteWarning
from tests.estimator.cases import codes, numbers, quick

BIG = 2**53


class Colour(str, enum.Enum):
    RED = "r"
    BLUE = "blue"


def fast(**options):
    return quick(**{"epochs": 1, "model": "mlp:4", **options})


def two(first, second):
    return [(first, second)[k] for k in codes()]


def series(first, second, dtype):
    return pd.Series(two(first, second), dtype=dtype)


CASES = {
    "Int64": (series(3, 7, "Int64"), np.int64, [3, 7]),
    "UInt8": (series(3, 7, "UInt8"), np.uint8, [3, 7]),
    "arrow int": (series(3, 7, "int64[pyarrow]"), np.int64, [3, 7]),
    "boolean": (series(False, True, "boolean"), np.bool_, [False, True]),
    "arrow bool": (series(False, True, "bool[pyarrow]"), np.bool_, [False, True]),
    "Float64": (series(1.0, 2.0, "Float64"), np.float64, [1.0, 2.0]),
    "string": (series("a", "b", "string"), object, ["a", "b"]),
    "category": (series(4, 5, "category"), np.int64, [4, 5]),
    "unused": (pd.Categorical(two("a", "b"), categories=["z", "a", "b"]), object, ["a", "b"]),
    "objects": (series(4, 5, object), np.int64, [4, 5]),
    "beyond float": (two(BIG, BIG + 1), np.int64, [BIG, BIG + 1]),
    "nullable beyond float": (series(BIG, BIG + 1, "Int64"), np.int64, [BIG, BIG + 1]),
    "uint64": (two(1, 2**63), np.uint64, [1, 2**63]),
    "UInt64": (series(2**63, 2**63 + 1, "UInt64"), np.uint64, [2**63, 2**63 + 1]),
    "float32": (np.array(two(1, 2), np.float32), np.float32, [1.0, 2.0]),
    "dates": (np.array(two("2024-01-01", "2024-01-02"), "M8[D]"), np.dtype("M8[D]"), None),
    "date objects": (two(date(2024, 1, 1), date(2024, 1, 2)), np.dtype("M8[D]"), None),
    "enumeration": (two(Colour.BLUE, Colour.RED), object, ["blue", "r"]),
    "arrow": (pa.chunked_array([two(1, 2)]), np.int64, [1, 2]),
    "arrow texts": (pa.array(two("a", "b")).dictionary_encode(), object, ["a", "b"]),
    "tensor": (torch.from_numpy(codes()), np.int64, [0, 1]),
    "data set": (datasets.Dataset.from_dict({"y": two(1, 2)})["y"], np.int64, [1, 2]),
    "tuple": (tuple(two("a", "b")), np.dtype("<U1"), ["a", "b"]),
}


@pytest.mark.parametrize("case", CASES)
def test_classes_have_the_type_of_the_labels(case):
    y, dtype, expected = CASES[case]
    by_code = fast().fit(numbers(), codes())
    fitted = fast().fit(numbers(), y)
    assert fitted.classes_.dtype == dtype
    assert expected is None or fitted.classes_.tolist() == expected
    predicted = pickle.loads(pickle.dumps(fitted)).predict(numbers())
    assert predicted.dtype == fitted.classes_.dtype
    np.testing.assert_array_equal(predicted, fitted.classes_[by_code.predict(numbers())])
    assert fitted.score(numbers(), y) == by_code.score(numbers(), codes())


@pytest.mark.parametrize("case", ["Int64", "boolean", "string", "category", "beyond float"])
def test_scikit_learn_compares_them(case):
    y = CASES[case][0]
    estimator, expected = fast(), cross_val_score(fast(), numbers(), codes(), cv=2)
    assert cross_val_score(estimator, numbers(), y, cv=2).tolist() == expected.tolist()
    search = GridSearchCV(estimator, {"lr": [0.01]}, cv=2).fit(numbers(), y)
    assert search.best_score_ == expected.mean()
    assert "accuracy" in classification_report(y, estimator.fit(numbers(), y).predict(numbers()))


def test_labels_of_polars():
    polars = pytest.importorskip("polars")
    for y, dtype in ((two(1, 2), np.int64), (two("a", "b"), object), (two(True, False), np.bool_)):
        assert fast().fit(numbers(), polars.Series(y)).classes_.dtype == dtype


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1, *two("a", "b")[1:]], "one type, found 1 in row 0 and 'b' in row 1"),
        (two(True, 0), "one type, found True in row 0 and 0 in row 1"),
        (two(-1, 2**63), "at most 64 bits, found 9223372036854775808 in row 1"),
        (two(1, 2**70), "at most 64 bits"),
        (pd.Series([pd.NA, *two(1, 2)[1:]], dtype="Int64"), "1 of 90 labels are missing.* row 0"),
        ([*two(1.0, 2.0)[1:], np.nan], "1 of 90 labels are missing.* row 89"),
        (two(b"a", b"b"), "found bytes"),
        (two(1j, 2j), "Complex data not supported: y"),
        (pd.cut(pd.Series(codes()), 2), "of type Interval: write them as text"),
        (np.eye(2)[codes()], r"shape \(90, 2\).*y\.argmax\(axis=1\)"),
        ("label", "y: expected an array"),
        (np.ones((90, 2)), r"\(90, 2\) instead: for several classes .*'binary_cross_entropy'"),
        (
            two(["a"], ["a", "b"]),
            "expected one label per row, found 2 in row 1: for several classes",
        ),
        (two(("a", 1), ("b", 2)), r"shape \(90, 2\) instead: give one column of labels"),
        (
            np.ma.array(codes(), mask=codes() == 1),
            "45 of 90 labels are missing, the first in row 1",
        ),
        (two(*pd.date_range("2024", periods=2, tz="UTC")), "without a time zone, found 2024-01-01"),
    ],
)
def test_labels_that_cannot_be_compared_are_refused(y, message):
    with pytest.raises(DataError, match=message):
        fast().fit(numbers(), y)


def test_masked_numbers_are_missing_ones():
    hidden, X = numbers() > 7, numbers()
    shown = fast().fit(np.ma.array(X, mask=hidden), codes()).predict_proba(X)
    np.testing.assert_array_equal(
        shown, fast().fit(np.where(hidden, np.nan, X), codes()).predict_proba(X)
    )


@pytest.mark.parametrize(
    ("y", "mark"),
    [
        ([-1, *two(0, 1)[1:]], "-1 (1 row)"),
        (np.where(np.arange(90) < 5, 255, np.arange(90) % 3), "255 (5 rows)"),
        (["", *two("a", "b")[1:]], "'' (1 row)"),
        (two("nan", "b"), "'nan' (45 rows)"),
    ],
)
def test_a_class_that_may_mean_no_label_is_named(y, mark):
    with pytest.warns(DataNoteWarning, match=f"y: {re.escape(mark)} is trained as a class"):
        fast().fit(numbers(), y)


@pytest.mark.parametrize("classes", [(-1, 1), (0, 255), (1, 2)])
def test_usual_pairs_of_numbers_are_not_named(classes):
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataNoteWarning)
        fast().fit(numbers(), two(*classes))


def test_labels_that_look_alike_are_named_and_merged_on_request():
    y = ["Cat", "dog", "cat", "dog ", *two("cat", "dog")[4:]]
    with pytest.warns(DataNoteWarning, match=r"'Cat' \(1\) and 'cat' \(44\).*merge_labels=True"):
        assert len(fast().fit(numbers(), y).classes_) == 4
    with pytest.warns(DataNoteWarning, match="merged labels"):
        fitted = quick(merge_labels=True).fit(numbers(), y)
    assert fitted.classes_.tolist() == ["cat", "dog"]
    assert fitted.score(numbers(), y) > 0.9
    with pytest.warns(DataNoteWarning, match="merged labels"):
        fast(method="mwn", merge_labels=True).fit(
            numbers(), y, meta=(numbers(4), ["CAT", "Dog"] * 2)
        )


MASK = [True] * 20 + [False] * 70


@pytest.mark.parametrize(
    "trusted",
    [
        list(map(int, MASK)),
        np.array(MASK, dtype=float),
        [str(value).lower() for value in MASK],
        ["yes" if value else "" for value in MASK],
        pd.Series(MASK, dtype="boolean"),
        pd.Series(MASK).astype(str).astype("category"),
        pd.DataFrame({"t": MASK}),
        np.array(MASK)[:, None],
        pa.chunked_array([MASK]),
        torch.tensor(MASK),
        datasets.Dataset.from_dict({"t": MASK})["t"],
    ],
)
def test_trusted_in_any_container(trusted):
    fitted = fast(method="mwn").fit(numbers(), codes(), trusted=trusted)
    assert sorted(fitted.label_issues_["index"]) == list(range(20, 90))


@pytest.mark.parametrize(
    "trusted",
    [
        pd.Series([*MASK[:-2], pd.NA, pd.NA], dtype="boolean"),
        [*MASK[:-2], None, None],
        np.array([*MASK[:-2], np.nan, np.nan], dtype=float),
    ],
)
def test_a_missing_value_is_not_trusted_and_counted(trusted):
    with pytest.warns(
        DataNoteWarning, match="trusted: 2 values are missing of 90; .* not verified"
    ):
        fitted = fast(method="mwn").fit(numbers(), codes(), trusted=trusted)
    assert len(fitted.label_issues_) == 70


@pytest.mark.parametrize(
    ("trusted", "message"),
    [
        (np.arange(8), r"8 whole numbers .*: if they are row numbers, give numpy.isin\("),
        ("checked", r"found the text 'checked': give the column itself, X\['checked'\]"),
        (["maybe"] * 90, "found 'maybe'.* row 0"),
    ],
)
def test_what_is_no_mask_is_refused(trusted, message):
    with pytest.raises(DataError, match=message):
        fast().fit(numbers(), codes(), trusted=trusted)


def test_clean_labels_of_another_type_are_named():
    meta = (numbers(4), codes(4).astype(str))
    with pytest.raises(
        DataError, match="type str, such as '0', but those of y are of type int, such as 0"
    ):
        fast().fit(numbers(), codes(), meta=meta)
