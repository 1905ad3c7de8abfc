"""`gdw.suggest` and `GDWClassifier.suggest`: rows to verify, as numbers."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

import gdw
from gdw import GDWClassifier
from gdw.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = np.repeat(["ant", "bee", "fly"], [60, 30, 10])
    X = np.repeat(4 * np.eye(3), [60, 30, 10], axis=0) + rng.normal(size=(100, 3))
    return X, y


def test_rows_are_balanced_and_those_that_are_trusted_are_counted(
    data: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = data
    rows = gdw.suggest(X, y, n=15, strategy="balanced")
    assert rows.dtype == np.int64
    assert len(set(rows.tolist())) == 15
    assert np.unique(y[rows], return_counts=True)[1].tolist() == pytest.approx([5, 5, 5], abs=1)
    trusted = np.arange(100) < 20
    rows = gdw.suggest(X, y, n=12, strategy="balanced", trusted=trusted)
    assert rows.min() >= 20
    assert (y[rows] != "ant").mean() > 0.8
    assert gdw.suggest(X, y, n=12).tolist() == gdw.suggest(X, y, n=12).tolist()
    assert len(gdw.suggest(X, y, n=1000)) == 100


def test_texts_and_data_frames(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": ["x", "y"] * 50})
    assert len(gdw.suggest(frame, y, n=6)) == 6
    texts = [f"{name} number {i}" for i, name in enumerate(y)]
    rows = gdw.suggest(texts, y, n=9, strategy="balanced", backbone="none")
    assert np.unique(y[rows], return_counts=True)[1].tolist() == [3, 3, 3]


def test_a_fitted_classifier_suggests_rows_of_its_training_data(
    data: tuple[np.ndarray, np.ndarray],
) -> None:
    X, y = data
    trusted = np.arange(100) % 10 == 0
    classifier = GDWClassifier("plain", epochs=5, lr=0.05, random_state=0)
    with pytest.raises(NotFittedError):
        classifier.suggest(3)
    classifier.fit(X, y, trusted=trusted)
    rows = classifier.suggest(12, "balanced")
    assert len(set(rows.tolist())) == 12
    assert not trusted[rows].any()
    assert pickle.loads(pickle.dumps(classifier)).suggest(12, "balanced").tolist() == rows.tolist()
    issues = classifier.label_issues_
    in_doubt = issues.assign(gap=(issues["score"] - 0.5).abs()).nsmallest(20, "gap")["index"]
    assert set(classifier.suggest(5, "doubtful")) <= set(in_doubt)


def test_mistakes(data: tuple[np.ndarray, np.ndarray]) -> None:
    X, y = data
    with pytest.raises(ConfigError, match=r"unknown strategy 'balance'.*Did you mean 'balanced'"):
        gdw.suggest(X, y, strategy="balance")
    with pytest.raises(ConfigError, match="n: expected a whole number of 1 or more, found 0"):
        gdw.suggest(X, y, n=0)
    with pytest.raises(ConfigError, match="random_state: expected a whole number"):
        gdw.suggest(X, y, random_state=-1)
    with pytest.raises(DataError, match="expected labels of at least two classes, found 1 class"):
        gdw.suggest(X, ["ant"] * 100)
    with pytest.raises(DataError, match="inconsistent numbers of samples"):
        gdw.suggest(X, y[:50])
