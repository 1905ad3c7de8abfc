"""Opinions of quick models on examples that they were trained without."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.source import chunks
from gdw.files.memory import usable_cores
from gdw.suggestion.opinions import TOP, Floats, Opinions, opinions
from gdw.suggestion.quick_features import quick_features
from gdw.suggestion.quick_model import Matrix, QuickModel, softmax

FOLDS = 4

_CHUNK = 4096


def cross_check(
    X: NDArray[np.float32], given: NDArray[np.int64], num_classes: int, *, seed: int = 0
) -> Opinions:
    """Predict each example with a model that was trained on three quarters of the data, without it.

    Args:
        X: float32 `(N, F)`, see `quick_features`.
        given: int64 `(N,)`, the labels.
        num_classes: C.
        seed: of the division.
    """
    import torch

    from gdw.reweight.preparation import all_but, stratified_folds

    width = min(TOP, num_classes)
    classes = np.zeros((len(X), width), dtype=np.int64)
    top = np.zeros((len(X), width), dtype=np.float32)
    of_given = np.zeros(len(X), dtype=np.float32)
    for part in stratified_folds(torch.from_numpy(given.copy()), FOLDS, seed=seed):
        fold, others = part.numpy(), all_but(part, len(X)).numpy()
        model = QuickModel.fit(X[others], given[others], num_classes)
        sharpness = _sharpness(model, X[fold], given[fold])
        for chunk in chunks(len(fold), _CHUNK):
            rows = fold[chunk]
            p = softmax(sharpness * model.scores(X[rows]))
            of_given[rows] = p[np.arange(len(rows)), given[rows]]
            classes[rows], top[rows] = _top(p, width)
    return opinions(given, num_classes, classes, top, of_given)


def first_look(
    inputs: Any, given: NDArray[np.int64], num_classes: int, *, seed: int = 0
) -> tuple[NDArray[np.float32], Opinions]:
    """The `quick_features` of encoded inputs, and the opinions of `cross_check` on their labels."""
    import sklearn  # noqa: F401 - libraries that are loaded later are not limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(_threads()):
        X = quick_features(inputs, seed=seed)
        return X, cross_check(X, given, num_classes, seed=seed)


def _threads() -> int:
    """The number of threads that the user gave, or of the cores that this process may use."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return int(given) if given.isdigit() and int(given) else usable_cores()


def _sharpness(model: QuickModel, X: Matrix, labels: NDArray[np.int64]) -> float:
    """The factor of the scores that makes the labels most likely: one over the temperature."""
    import torch

    from gdw.functional.posterior import fit_temperature
    from gdw.reweight.preparation import as_probabilities

    sample = slice(None, None, max(1, len(X) // _CHUNK))
    p = torch.from_numpy(softmax(model.scores(X[sample])))
    targets = as_probabilities(torch.from_numpy(labels[sample].copy()), p.shape[1])
    return 1 / fit_temperature(p, targets)


def _top(p: Floats, width: int) -> tuple[NDArray[np.int64], Floats]:
    """The most probable classes `(B, K)`, and their probabilities."""
    largest = np.argpartition(-p, width - 1, axis=1)[:, :width]
    values = np.take_along_axis(p, largest, 1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(largest, order, 1), np.take_along_axis(values, order, 1)
