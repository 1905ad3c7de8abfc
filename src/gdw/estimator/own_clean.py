"""Clean examples of classes with few verified rows: those whose labels look right."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gdw.data.clean import lacking_clean
from gdw.data.examples import Examples
from gdw.errors import listed
from gdw.estimator.network import train_network
from gdw.reweight import METHODS
from gdw.train import TrainConfig
from gdw.train.chosen_clean import FOLDS, LIMITS, choose_clean, needs_models
from gdw.train.evaluation import predict_probabilities

BuildNetwork = Callable[[], nn.Module]

_SHUFFLE = (
    "in cross-validation, spread the verified rows over the folds with "
    "cv=StratifiedKFold(5, shuffle=True, random_state=0)"
)


class NoCleanExamplesWarning(UserWarning):
    """`GDWClassifier.fit` got no verified examples, or few of some classes, and chose clean ones itself."""


def choose_missing(
    given: Examples,
    clean: Examples | None,
    classes: NDArray[np.generic],
    *,
    name: str,
    config: TrainConfig,
    build: BuildNetwork,
    sample_weight: Tensor | None,
) -> Examples | None:
    """Choose clean examples of the classes that have few of them, among the `given` ones, and warn of it.

    Args:
        given: the examples in doubt, which the chosen ones stay among.
        clean: the verified examples; None if there are none.
        classes: the names of the C classes.
        name: of the argument that says which rows are verified; empty if there is none.
        config: the options of the training; those that choose are trained plainly.
        build: makes a network.
        sample_weight: of the given examples; None if all are equal.

    Returns:
        The chosen examples; None if there are enough verified ones.
    """
    labels = given.targets.numpy()
    verified = np.array([], dtype=np.int64) if clean is None else clean.targets.numpy()
    method = METHODS[config.method]
    fewest = {"fewest": method.fewest_clean, "fewest_of_class": method.fewest_of_class}
    lacking = lacking_clean(labels, verified, len(classes), **fewest)
    if not lacking.any():
        return None
    plain = config.model_copy(update={"method": "plain", "method_options": {}, "progress": "none"})

    def predict(others: Tensor, rows: Tensor) -> Tensor:
        network = build()
        selected = None if sample_weight is None else sample_weight[others]
        train_network(network, plain, given.select(others), None, sample_weight=selected)
        return torch.cat([p for _, p in predict_probabilities(network, given.select(rows))])

    rows = choose_clean(given.targets, predict, seed=config.seed, most=lacking)
    problem = _problem(name, classes, verified, lacking, **fewest) if name else None
    _warn_of_chosen(len(rows), len(given), problem, trained=needs_models(labels, lacking))
    return given.select(rows)


def warn_of_none_doubted() -> None:
    """Warn that `trusted` holds for every row."""
    warnings.warn(
        "trusted: every row of X is trusted, so no label is in doubt: the same rows are the training data "
        f"and the clean examples; {_SHUFFLE}",
        NoCleanExamplesWarning,
        stacklevel=5,  # the user's call of `fit`
    )


def _warn_of_chosen(chosen: int, size: int, problem: str | None, *, trained: bool) -> None:
    advice = f"Verify 10 or more rows of each class; {_SHUFFLE}"
    if problem is None:
        advice = (
            f"{LIMITS}. To find more wrong labels and to know how far to trust the result, verify 10 or more "
            "examples of each class (gdw.suggest(X, y) chooses some) and give them as meta=(X, y) or "
            "trusted=mask"
        )
    cost = f" This takes {FOLDS} more trainings." if trained else ""
    warnings.warn(
        f"{problem or 'no clean examples'}: {chosen} of the {size} given ones stand in, whose labels look "
        f"right to networks that were trained without them.{cost} {advice}",
        NoCleanExamplesWarning,
        stacklevel=7,  # the user's call of `fit`
    )


def _problem(
    name: str,
    classes: NDArray[np.generic],
    verified: NDArray[np.int64],
    lacking: NDArray[np.int64],
    *,
    fewest: int,
    fewest_of_class: int,
) -> str:
    """What is wrong with the verified rows."""
    if not len(verified):
        return f"{name}: no row is verified"
    if len(verified) < fewest:
        return f"{name}: {len(verified)} verified rows are too few"
    short = np.flatnonzero(lacking)
    has = "class has" if len(short) == 1 else f"of {len(classes)} classes have"
    names = listed(classes[short].tolist(), 10)
    how_many = (
        "no verified row" if fewest_of_class == 1 else f"fewer than {fewest_of_class} verified rows"
    )
    return f"{name}: {len(short)} {has} {how_many} ({names})"
