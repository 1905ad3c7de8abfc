"""Every form of data and of labels goes in, and comes out as the user's own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from gdw.errors import ConfigError, DataError, ModelError
from gdw.estimator import DataNoteWarning
from tests.estimator.cases import (
    FORMS,
    codes,
    frame,
    gaps,
    images,
    labels,
    numbers,
    quick,
    sparse,
    texts,
)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_learned(form):
    X, model = FORMS[form](), "mlp:16" if form == "images" else "auto"
    fitted = quick(model=model).fit(X, labels())
    assert fitted.score(X, labels()) > 0.85
    p = fitted.predict_proba(X)
    assert p.shape == (len(labels()), 2)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    "values",
    [
        [0, 1],
        [True, False],
        ["b", "a"],
        [-1.0, 1.0],
        [np.int8(3), np.int8(7)],
        ["1", "01"],
    ],
)
def test_labels_come_back_as_they_were(values):
    y = np.array(values)[codes()]
    fitted = quick().fit(numbers(), y)
    assert fitted.classes_.tolist() == sorted(values)
    assert fitted.classes_.dtype == y.dtype
    assert np.array_equal(fitted.predict(numbers()), y)
    table = fitted.label_issues_.sort_values("index")
    assert table["given_label"].tolist() == y.tolist()
    assert set(table["suggested_label"]) <= set(values)


@pytest.mark.parametrize("dtype", ["category", "string", object])
def test_labels_of_pandas(dtype):
    y = pd.Series(labels()).astype(dtype)
    assert quick().fit(numbers(), y).predict(numbers()).tolist() == labels().tolist()


def test_names_and_numbers_of_features_are_kept():
    fitted = quick(epochs=1).fit(frame(), labels())
    assert fitted.feature_names_in_.tolist() == list(frame().columns)
    assert fitted.n_features_in_ == 5
    with pytest.raises(ValueError, match="feature names should match"):
        fitted.predict(frame()[["colour", "age", "size", "seen", "member"]])
    assert not hasattr(quick(epochs=1).fit(texts(), labels()), "n_features_in_")


def test_a_category_not_seen_before_is_no_error():
    fitted, new = quick(epochs=1).fit(frame(), labels()), frame()
    new["colour"] = "violet"
    with pytest.warns(DataNoteWarning, match="'colour': 100% of the values never occurred"):
        assert fitted.predict(new).shape == (len(new),)


def test_dense_and_sparse_rows_are_predicted_alike():
    fitted = quick(epochs=2).fit(sparse(), labels())
    dense = sparse().toarray()
    np.testing.assert_array_equal(fitted.predict_proba(dense), fitted.predict_proba(sparse()))


@pytest.mark.parametrize(
    ("X", "y", "message"),
    [
        (numbers(), np.zeros(90), "at least two classes, found 1 class, .*0"),
        (numbers(), [None, *labels()[1:]], "Input y contains NaN: 1 of 90 labels .* row 0"),
        (
            numbers(),
            np.array([1, *labels()[1:]], dtype=object),
            "one type, found 1 in row 0 and .*yes.* in row 1",
        ),
        (numbers(), numbers()[:, 0], "Unknown label type: continuous"),
        (numbers(), labels()[:80], "inconsistent numbers of samples"),
        (numbers()[:0], [], "0 sample|minimum of 1"),
        (np.full((90, 4), np.inf), labels(), "infinity"),
        ([], [], "Expected 2D|0 sample"),
        ([*texts()[1:], 3], labels(), r"X\[89\] is 3: expected a text"),
        (images().transpose(0, 3, 1, 2), labels(), "move the channels last"),
        (np.full((90, 4, 4), np.nan), labels(), "NaN"),
    ],
)
def test_what_cannot_be_learned_is_said_in_a_line(X, y, message):
    with pytest.raises(ValueError, match=message):
        quick(epochs=1).fit(X, np.array(y, dtype=object) if None in list(y) else y)


def test_a_column_of_lists_is_left_out_with_a_note():
    with pytest.warns(DataNoteWarning, match=r"not used, .* these types: 'lists' \(list<"):
        fitted = quick(epochs=1).fit(frame().assign(lists=[[1]] * 90), labels())
    assert fitted.predict(frame().assign(lists=[[1]] * 90)).shape == (90,)


@pytest.mark.parametrize(
    ("fitted_on", "given"), [(texts, numbers), (images, numbers), (numbers, images), (frame, texts)]
)
def test_another_form_than_that_of_training_is_refused(fitted_on, given):
    fitted = quick(epochs=1, model="mlp:4").fit(fitted_on(), labels())
    with pytest.raises(ValueError, match=r"expected|Expected"):
        fitted.predict(given())


def test_one_feature_is_enough():
    X = numbers()[:, :1]
    assert quick().fit(X, labels()).score(X, labels()) > 0.9


def test_missing_numbers_are_seen_by_the_network():
    X = np.zeros((90, 1))
    X[codes() == 1] = np.nan
    assert quick().fit(X, labels()).score(X, labels()) == 1.0
    filled = quick(epochs=1).fit(gaps(), labels())
    assert filled._encoder.encoder.input_shape == (5,)


@pytest.mark.parametrize("factory", [False, True])
def test_a_module_of_ones_own(factory):
    seen = []

    class Net(nn.Module):
        def __init__(self, width, classes):
            super().__init__()
            self.linear = nn.Linear(width, classes)

        def forward(self, x):
            seen.append(x.dtype)
            return self.linear(x)

    made = (lambda shape, classes: Net(*shape, classes)) if factory else Net(4, 2)
    before = None if factory else made.linear.weight.clone()
    X = numbers() - [3, 0, 0, 0]
    fitted = quick(module=made, epochs=30).fit(X, labels())
    assert fitted.score(X, labels()) > 0.9
    assert set(seen) == {torch.float32}
    assert isinstance(fitted.module_, Net)
    if not factory:
        assert torch.equal(made.linear.weight, before)


def test_tensors_reach_a_module_in_their_own_type():
    tokens = torch.from_numpy(codes()).unsqueeze(1).repeat(1, 3)
    net = nn.Sequential(nn.Embedding(2, 4), nn.Flatten(), nn.Linear(12, 2))
    fitted = quick(module=net).fit(tokens, labels())
    assert fitted.score(tokens, labels()) == 1.0
    with pytest.raises(
        DataError, match=r"expected X of shape \('N', 3\) as in fit, found \(90, 2\)"
    ):
        fitted.predict(tokens[:, :2])


def test_a_module_that_does_not_fit_is_refused_before_training():
    with pytest.raises(ModelError, match=r"logits of shape \(B, 2\).*\('B', 3\)"):
        quick(module=nn.Linear(4, 3)).fit(numbers(), labels())
    with pytest.raises(ConfigError, match=r"module: expected an nn\.Module or a function"):
        quick(module=3).fit(numbers(), labels())
    with pytest.raises(ConfigError, match="function returned int"):
        quick(module=lambda shape, classes: 3).fit(numbers(), labels())
