"""Containers of every library; columns are recognised as the command line recognises those of files."""

from __future__ import annotations

import pickle
import unicodedata
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image

from gdw.errors import DataError
from gdw.estimator import DataNoteWarning
from tests.estimator.cases import codes, labels, numbers, quick, texts

N = 90


class Stream:
    """A data frame of a library that is not installed; it speaks the protocol of Arrow, as Polars does."""

    def __init__(self, table: pa.Table) -> None:
        self.columns = table.column_names
        self._table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)


def fast(**options: Any) -> Any:
    return quick(**{"epochs": 1, "model": "mlp:4", **options})


def unique_texts() -> list[str]:
    return [f"{text} {i:05}" for i, text in enumerate(texts())]


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {"size": numbers()[:, 0], "kind": np.array(["u", "v"])[codes() ^ (np.arange(N) % 9 == 0)]}
    )


def of_arrow(frame: pd.DataFrame) -> pa.Table:
    """With views of texts, as Polars writes them."""
    plain = pa.Table.from_pandas(frame, preserve_index=False)
    views = [
        f.with_type(pa.string_view() if pa.types.is_large_string(f.type) else f.type)
        for f in plain.schema
    ]
    return pa.table(
        [c.cast(f.type) for c, f in zip(plain.columns, views, strict=True)], pa.schema(views)
    )


def of_polars(frame: pd.DataFrame) -> Any:
    polars = pytest.importorskip("polars")
    return polars.DataFrame({str(name): frame[name].tolist() for name in frame})


FRAMES = {
    "pandas": lambda frame: frame,
    "nullable": lambda frame: frame.convert_dtypes(),
    "arrow dtypes": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    "one index": lambda frame: frame.set_index(pd.Index([7] * len(frame))),
    "multi-index": lambda frame: frame.set_index(
        pd.MultiIndex.from_product([[1], range(len(frame))])
    ),
    "arrow": of_arrow,
    "batch": lambda frame: of_arrow(frame).to_batches()[0],
    "stream": lambda frame: Stream(of_arrow(frame)),
    "polars": of_polars,
    "data set": lambda frame: datasets.Dataset.from_pandas(frame, preserve_index=False),
    "columns": lambda frame: {str(name): frame[name].tolist() for name in frame},
    "records": lambda frame: frame.to_dict("records"),
}


@pytest.mark.parametrize("container", FRAMES)
def test_frames_of_every_library_are_one(container):
    fitted = fast().fit(table(), labels())
    X = FRAMES[container](table())
    np.testing.assert_array_equal(fitted.predict_proba(X), fitted.predict_proba(table()))
    again = fast().fit(X, labels())
    assert again.feature_names_in_.tolist() == ["size", "kind"]
    np.testing.assert_array_equal(again.predict_proba(X), fitted.predict_proba(table()))


@pytest.mark.parametrize("container", FRAMES)
def test_a_column_of_texts_is_text(container):
    frame = pd.DataFrame({"text": unique_texts()})
    by_list = fast().fit(unique_texts(), labels())
    fitted = fast().fit(FRAMES[container](frame), labels())
    np.testing.assert_array_equal(
        fitted.predict_proba(FRAMES[container](frame)), by_list.predict_proba(unique_texts())
    )


COLUMNS = {
    "series": pd.Series,
    "index": pd.Index,
    "arrow strings": lambda values: pd.Series(values, dtype="string[pyarrow]"),
    "category": lambda values: pd.Series(values, dtype="category"),
    "array": np.array,
    "(N, 1)": lambda values: np.array(values)[:, None],
    "objects (N, 1)": lambda values: np.array(values, dtype=object)[:, None],
    "rows": lambda values: [[value] for value in values],
    "tuple": tuple,
    "chunks": lambda values: pa.chunked_array([values[:40], values[40:]]),
    "column of a data set": lambda values: datasets.Dataset.from_dict({"t": values})["t"],
}


@pytest.mark.parametrize("container", COLUMNS)
def test_texts_in_any_sequence(container):
    X = COLUMNS[container](unique_texts())
    fitted = fast().fit(unique_texts(), labels())
    same = fast().fit(X, labels())
    np.testing.assert_array_equal(same.predict_proba(X), fitted.predict_proba(unique_texts()))
    np.testing.assert_array_equal(fitted.predict_proba(X), fitted.predict_proba(unique_texts()))


def test_texts_next_to_numbers_are_learned_alone_and_the_user_is_told():
    frame = pd.DataFrame({"text": unique_texts(), "n": 1.0})
    with pytest.warns(DataNoteWarning, match="texts of 'text' alone, not from 'n'") as caught:
        fitted = fast().fit(frame, labels())
    assert Path(caught[0].filename) == Path(__file__)
    alone = fast().fit(unique_texts(), labels())
    np.testing.assert_array_equal(fitted.predict_proba(frame), alone.predict_proba(unique_texts()))
    assert fitted.n_features_in_ == 2


def test_identifiers_and_the_index_of_pandas_are_left_out():
    frame = pd.DataFrame({"Unnamed: 0": range(N), "id": [f"u{i:x}" for i in range(N)]})
    frame["size"] = numbers()[:, 0]
    with pytest.warns(DataNoteWarning) as caught:
        fitted = fast().fit(frame, labels())
    notes = [str(warning.message) for warning in caught]
    assert any("row index of pandas: 'Unnamed: 0'" in note for note in notes)
    assert any("almost no value occurs twice: 'id'; to use it, give it alone" in n for n in notes)
    assert fitted._encoder.columns.columns == ("size",)
    with pytest.raises(DataError, match=r"X has no column left .* 'id' occurs twice"):
        fast().fit(frame[["id"]], labels())
    with pytest.warns(DataNoteWarning, match="row index"):
        assert fast().fit(frame[["Unnamed: 0", "size"]], labels()).n_features_in_ == 2


@pytest.mark.parametrize("text", [True, False])
def test_odd_cells_are_missing_numbers(text):
    values = numbers()[:, 0]
    cells = ["-" if i % 20 == 0 else str(v) if text else v for i, v in enumerate(values)]
    frame = pd.DataFrame({"size": cells, "other": numbers()[:, 1]})
    with pytest.warns(
        DataNoteWarning, match="not numbers are missing values: 5 in 'size', such as '-'"
    ):
        fitted = quick().fit(frame, labels())
    assert fitted._encoder.columns.types == {"size": "number", "other": "number"}
    with pytest.warns(DataNoteWarning, match="5 in 'size'"):
        assert fitted.score(frame, labels()) > 0.85


def test_names_of_columns_in_any_unicode_form():
    frame = table().rename(columns={"kind": unicodedata.normalize("NFD", "Größe")})
    fitted = fast().fit(frame, labels())
    expected = fast().fit(table(), labels()).predict_proba(table())
    np.testing.assert_array_equal(fitted.predict_proba(frame), expected)


def pictures() -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [
        Image.fromarray(np.uint8(rng.integers(0, 60, (20 + i % 3, 24, 3)) + 150 * k))
        for i, k in enumerate(codes(24))
    ]


@pytest.mark.parametrize(
    "form", ["pictures", "paths", "names", "arrays", "frame", "data set", "column"]
)
def test_images_in_every_form(tmp_path, form):
    paths = [tmp_path / f"{i}.png" for i in range(24)]
    for picture, path in zip(pictures(), paths, strict=True):
        picture.save(path)
    names = list(map(str, paths))
    data_set = datasets.Dataset.from_dict({"x": names}).cast_column("x", datasets.Image())
    X = {
        "pictures": pictures(),
        "paths": paths,
        "names": names,
        "arrays": [np.asarray(picture) for picture in pictures()],
        "frame": pd.DataFrame({"x": paths}),
        "data set": data_set,
        "column": data_set["x"],
    }[form]
    fitted = fast().fit(names, labels(24))
    same = fast().fit(X, labels(24))
    p = fitted.predict_proba(pictures())
    np.testing.assert_array_equal(same.predict_proba(X), p)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(same)).predict_proba(X), p)


def test_pictures_of_any_mode():
    modes = ["1", "L", "P", "LA", "RGBA", "CMYK", "HSV", "I;16", "F", "YCbCr"]
    many = [Image.new(mode, (20, 20)) for mode in modes for _ in range(2)]
    fitted = fast().fit(many, labels(20))
    assert fitted.predict(many).shape == (20,)


def test_tensors_of_any_kind():
    X = torch.from_numpy(numbers())
    expected = fast().fit(numbers(), labels()).predict_proba(numbers())
    for tensor in (X.clone().requires_grad_(), list(X), X.to_sparse()):
        got = fast().fit(tensor, labels()).predict_proba(tensor)
        np.testing.assert_array_equal(got, expected)
    assert fast().fit(X.bfloat16(), torch.from_numpy(codes())).classes_.dtype == np.int64


@pytest.mark.parametrize(
    "X",
    [
        pd.Series(numbers().tolist()),
        pd.Series(list(numbers())),
        pa.array(numbers().tolist()),
        datasets.Dataset.from_dict({"v": numbers().tolist()})["v"],
        np.rec.fromarrays(numbers().T.copy()),
    ],
)
def test_columns_of_vectors_are_numbers(X):
    expected = fast().fit(numbers(), labels()).predict_proba(numbers())
    np.testing.assert_array_equal(fast().fit(X, labels()).predict_proba(X), expected)


def test_no_text_to_predict_is_said_in_a_line():
    with pytest.raises(DataError, match=r"0 sample\(s\)"):
        fast().fit(texts(), labels()).predict([])


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (datasets.DatasetDict({"train": datasets.Dataset.from_dict({"a": [1]})}), r"X\['train'\]"),
        (None, "expected an array, a data frame or a list, found NoneType"),
        ({1, 2}, "found set"),
        ("abc", "found str"),
        ((text for text in texts()), "found generator"),
        ({"a": [1], "b": [1, 2]}, "1 values in 'a', 2 in 'b'"),
        ([*pictures(), None], "row 24 of X: there is no image"),
        ([np.zeros((4, 4)), np.zeros((5, 5))], r"X\[0\]: expected an image .*uint8"),
        (["\ud800", *texts()[1:]], "half of a character"),
        (pd.DataFrame(index=range(N)), r"0 feature\(s\)"),
        (pd.DataFrame({"v": [np.zeros(3)] * N}), r"no column left .*: 'v' \(list"),
        (
            pd.DataFrame({"a": numbers()[:, 0], "t": texts(), "z": 1j}),
            "column 'z' of X holds complex",
        ),
        (pd.DataFrame(numbers(), columns=list("abca")), "more than one column named 'a'"),
        (pd.DataFrame({"v": [np.zeros((3, 3))] * N}), "column 'v' of X holds ndarray values"),
    ],
)
def test_what_is_no_data_is_said_in_a_line(X, message):
    y = labels(len(X) if hasattr(X, "__len__") else N)
    with pytest.raises(DataError, match=message):
        fast().fit(X, y)


@pytest.mark.parametrize("name", ["y", "trusted", "sample_weight"])
def test_the_same_index_in_another_order_is_refused(name):
    X = table().set_index(np.arange(N) + 7)
    given = {"y": labels(), "trusted": np.arange(N) < 20, "sample_weight": np.arange(1.0, N + 1)}
    series = {key: pd.Series(values, X.index) for key, values in given.items()}
    with pytest.raises(
        DataError, match=rf"^{name} has the index of X .* give {name}\.loc\[X\.index"
    ):
        fast().fit(X, **{**series, name: series[name][::-1]})
    ordered = fast().fit(X, **series).predict_proba(X)
    by_position = fast().fit(X, **{**series, name: pd.Series(given[name])}).predict_proba(X)
    np.testing.assert_array_equal(ordered, by_position)


def test_errors_about_clean_examples_say_so():
    X = table()
    with pytest.raises(DataError, match=r"^meta: y has the index of X in another order"):
        fast().fit(X, labels(), meta=(X[:20], pd.Series(labels(20))[::-1]))
    with pytest.raises(DataError, match=r"^meta: The feature names should match"):
        fast().fit(X, labels(), meta=(X[["size"]], labels()))
    strange = X.assign(kind=X["kind"].str.upper())
    with pytest.warns(DataNoteWarning, match=r"^meta: 'kind': 100% .* \(training has 'u', 'v'\)"):
        fast().fit(X, labels(), meta=(strange, labels()))


def test_names_that_are_all_new_are_named_and_whole_floats_are_not_new():
    code = np.arange(N) % 3
    X = table().assign(code=pd.Categorical(code))
    fitted = fast().fit(X, labels())
    expected = fitted.predict_proba(X)
    for other in (pd.Categorical(code.astype(float)), code.astype(float)):
        np.testing.assert_array_equal(fitted.predict_proba(X.assign(code=other)), expected)
    with pytest.warns(DataNoteWarning, match=r"'kind': 100% of the values never .* as '[UV]'"):
        fitted.predict(X.assign(kind=X["kind"].str.upper()))
