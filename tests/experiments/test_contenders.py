"""Methods without a network: against their definitions, and as cells of a grid."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from gdw.errors import ConfigError
from gdw.experiments.contenders import CONTENDERS, Labels, parse_contender
from gdw.experiments.results import Results
from gdw.reweight.registry import ONLY_IN_GRIDS
from gdw.train import TrainConfig
from tests.experiments.conftest import MakeGrid, silent

Matrix = NDArray[np.float64]


def blobs(rows: int, *, seed: int, wrong: float) -> tuple[Matrix, Labels, Labels]:
    """Features `(rows, 4)` of three classes, their labels, of which a share is `wrong`, and the true ones."""
    rng = np.random.default_rng(seed)
    true = rng.integers(3, size=rows)
    X = rng.normal(size=(rows, 4)) + 2.5 * np.eye(4)[true]
    y = np.where(rng.random(rows) < wrong, rng.integers(3, size=rows), true)
    return X, y, true


def distance(a: Matrix, b: Matrix, metric: str) -> float:
    if metric == "euclidean":
        return math.dist(a, b)
    return 1 - float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))


def slow_wann(
    X: Matrix, y: Labels, new: Matrix, *, k_min: int, k_max: int, metric: str
) -> list[list[float]]:
    """The shares of the votes, example by example, as the paper says it."""
    reliability = []
    for i, x in enumerate(X):
        others = sorted(
            (j for j in range(len(X)) if j != i), key=lambda j: distance(x, X[j], metric)
        )
        for k in range(k_min, k_max + 1, 2):
            labels = [int(y[j]) for j in others[:k]]
            if max(range(3), key=labels.count) == y[i]:
                reliability.append(1 / k)
                break
        else:
            reliability.append(1 / k_max)
    shares = []
    for x in new:
        nearest = sorted(range(len(X)), key=lambda j: distance(x, X[j], metric))
        voters = nearest[: round(1 / reliability[nearest[0]])]
        votes = [sum(reliability[j] for j in voters if y[j] == k) for k in range(3)]
        shares.append([vote / sum(votes) for vote in votes])
    return shares


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_wann_is_the_vote_by_reliability(metric: str) -> None:
    X, y, _ = blobs(60, seed=0, wrong=0.4)
    new = blobs(20, seed=1, wrong=0)[0]
    sizes = {"k_min": 3, "k_max": 9}
    fitted = parse_contender("wann", {**sizes, "metric": metric}).fit(
        X.astype(np.float32), y, num_classes=3, seed=0
    )
    found = fitted.predict(new.astype(np.float32))
    np.testing.assert_allclose(found, slow_wann(X, y, new, **sizes, metric=metric), atol=1e-9)


def test_wann_leaves_an_example_out_of_its_own_vote() -> None:
    X, y, _ = blobs(40, seed=2, wrong=0.3)
    wann = parse_contender("wann", {"k_min": 5, "k_max": 5})
    left_out = wann.fit(X.astype(np.float32), y, num_classes=3, seed=0).left_out
    for i in range(len(X)):
        rest = [j for j in range(len(X)) if j != i]
        nearest = sorted(rest, key=lambda j: distance(X[i], X[j], "cosine"))[:5]
        # With one possible size all labels have the same reliability.
        counts = np.bincount(y[nearest], minlength=3) / 5
        np.testing.assert_allclose(left_out[i], counts)


def penalised_loss(W: Matrix, b: Matrix, X: Matrix, y: Labels, strength: float) -> float:
    logits = X @ W.T + b
    losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(y)), y]
    return float(0.5 * (W**2).sum() + strength * losses.sum())


def slow_regression(X: Matrix, y: Labels, strength: float) -> tuple[Matrix, Matrix]:
    """Minimise `penalised_loss` by many steps of gradient descent."""
    W, b = np.zeros((3, X.shape[1])), np.zeros(3)
    for _ in range(20_000):
        logits = X @ W.T + b
        p = np.exp(logits - logits.max(1, keepdims=True))
        error = p / p.sum(1, keepdims=True) - np.eye(3)[y]
        W = W - 2e-3 * (W + strength * error.T @ X)
        b = b - 2e-3 * strength * error.sum(0)
    return W, b


def test_ni_erm_minimises_the_penalised_loss_of_the_given_labels() -> None:
    X, y, _ = blobs(80, seed=3, wrong=0.3)
    new = blobs(10, seed=4, wrong=0)[0]
    fitted = parse_contender("ni_erm", {"strengths": [0.1]}).fit(X, y, num_classes=3, seed=0)  # type: ignore[arg-type]
    W, b = slow_regression(X, y, 0.1)
    assert penalised_loss(W, b, X, y, 0.1) < penalised_loss(0.99 * W, b, X, y, 0.1)
    p = np.exp(new @ W.T + b)
    np.testing.assert_allclose(fitted.predict(new), p / p.sum(1, keepdims=True), atol=2e-3)  # type: ignore[arg-type]


def test_ni_erm_chooses_the_strength_that_predicts_the_labels_left_out_best() -> None:
    X, y, _ = blobs(300, seed=5, wrong=0.4)
    X = X.astype(np.float32)
    strengths = (1e-7, 1e-2, 1e3)
    rights = []
    for strength in strengths:
        one = parse_contender("ni_erm", {"strengths": [strength]})
        rights.append(np.mean(one.fit(X, y, num_classes=3, seed=1).left_out.argmax(1) == y))
    every = parse_contender("ni_erm", {"strengths": strengths})
    fitted = every.fit(X, y, num_classes=3, seed=1)
    assert np.mean(fitted.left_out.argmax(1) == y) == max(rights) > min(rights)
    np.testing.assert_allclose(fitted.left_out.sum(1), 1, atol=1e-6)
    best = parse_contender("ni_erm", {"strengths": [strengths[int(np.argmax(rights))]]})
    again = best.fit(X, y, num_classes=3, seed=1)
    np.testing.assert_array_equal(fitted.predict(X), again.predict(X))


def test_a_class_without_an_example_has_no_probability() -> None:
    X, y, _ = blobs(60, seed=6, wrong=0)
    for name in CONTENDERS:
        fitted = parse_contender(name, {}).fit(X.astype(np.float32), y * 2, num_classes=6, seed=0)
        for p in (fitted.predict(X[:5].astype(np.float32)), fitted.left_out):
            assert p.shape[1] == 6
            assert (p[:, 1::2] == 0).all()


def test_options_that_do_not_fit_are_one_line() -> None:
    for name, options, message in (
        ("wann", {"kmin": 3}, r"unknown method option 'kmin'.* Did you mean 'k_min'"),
        ("wann", {"k_min": 9, "k_max": 5}, "k_min 9 is above k_max 5: exchange them"),
        ("ni_erm", {"strengths": []}, "strengths: .* at least 1"),
        ("ni_erm", {"folds": 1}, "folds: .* 2"),
    ):
        with pytest.raises(ConfigError, match=message):
            parse_contender(name, options)


def test_contenders_are_cells_of_a_grid_on_the_same_data(make_grid: MakeGrid, files: Path) -> None:
    methods = {
        "plain": {},
        "more": {"method": "plain", "data": {"add_clean": True}},
        "wann": {"method_options": {"k_min": 5, "k_max": 11}},
        "ni_erm": {"data": {"add_clean": True}},
    }
    grid = make_grid(methods=methods)
    assert grid.run(jobs=1, log=silent) == 0
    results = Results(grid.folder)
    found = {cell.method: result for cell, result in results.results.items()}
    assert {r["train_examples"] for r in found.values()} == {72}
    assert {r["clean_examples"] for r in found.values()} == {8}
    assert len({r["wrong_labels"] for r in found.values()}) == 1
    for name in ("wann", "ni_erm"):
        assert found[name]["accuracy"] == found[name]["curve"][-1] > 0.8
        assert found[name]["detection_auroc"] > 0.7
        assert found[name]["averaged_epochs"] == 1
    assert make_grid(methods=methods).pending == []
    changed = {**methods, "wann": {"method_options": {"k_min": 7, "k_max": 11}}}
    with pytest.raises(Exception, match="contender"):
        make_grid(methods=changed)
    with pytest.raises(ConfigError, match=r"methods.wann: unknown method option 'k'"):
        make_grid(output="other", methods={"wann": {"method_options": {"k": 7}}})


def test_training_refuses_them_and_says_where_they_are() -> None:
    assert tuple(CONTENDERS) == ONLY_IN_GRIDS
    with pytest.raises(ConfigError, match=r"'wann' trains no network: gdw experiment compares it"):
        TrainConfig(method="wann")
