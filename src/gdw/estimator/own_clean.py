"""Clean examples of classes without a verified row: those whose labels look right."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gdw.data.examples import Examples
from gdw.errors import listed
from gdw.estimator.network import train_network
from gdw.reweight import METHODS
from gdw.train import TrainConfig
from gdw.train.chosen_clean import FOLDS, LIMITS, choose_clean
from gdw.train.evaluation import predict_probabilities

BuildNetwork = Callable[[], nn.Module]

_SHUFFLE = (
    "in cross-validation, spread the verified rows over the folds with "
    "cv=StratifiedKFold(5, shuffle=True, random_state=0)"
)


class NoCleanExamplesWarning(UserWarning):
    """`GDWClassifier.fit` got no verified examples, or none of some classes, and chose clean ones itself."""


def choose_missing(
    given: Examples,
    clean: Examples | None,
    classes: NDArray[np.generic],
    *,
    marked: bool,
    config: TrainConfig,
    build: BuildNetwork,
    sample_weight: Tensor | None,
) -> Examples | None:
    """Choose clean examples of the classes that have none among the `given` ones, and warn of it.

    Args:
        given: the examples in doubt, which the chosen ones stay among.
        clean: the verified examples; None if there are none.
        classes: the names of the C classes.
        marked: whether `trusted` said which rows are verified.
        config: the options of the training; those that choose are trained plainly.
        build: makes a network.
        sample_weight: of the given examples; None if all are equal.

    Returns:
        The chosen examples; None if there are enough verified ones.
    """
    count = np.zeros(len(classes), dtype=np.int64)
    if clean is not None:
        count = np.bincount(clean.targets.numpy(), minlength=len(classes))
    missing, verified = np.flatnonzero(count == 0), int(count.sum())
    if verified < METHODS[config.method].fewest_clean:
        missing = np.arange(len(classes))
    if not len(missing):
        return None
    plain = config.model_copy(update={"method": "plain", "method_options": {}, "progress": "none"})

    def predict(others: Tensor, rows: Tensor) -> Tensor:
        network = build()
        selected = None if sample_weight is None else sample_weight[others]
        train_network(network, plain, given.select(others), None, sample_weight=selected)
        return torch.cat([p for _, p in predict_probabilities(network, given.select(rows))])

    rows = choose_clean(given.targets, predict, seed=config.seed)
    rows = rows[np.isin(given.targets.numpy()[rows], missing)]
    problem = _problem(classes[count == 0], len(classes), verified) if marked else None
    _warn_of_chosen(len(rows), len(given), problem)
    return given.select(rows)


def warn_of_none_doubted() -> None:
    """Warn that `trusted` holds for every row."""
    warnings.warn(
        "trusted: every row of X is trusted, so no label is in doubt: the same rows are the training data "
        f"and the clean examples; {_SHUFFLE}",
        NoCleanExamplesWarning,
        stacklevel=5,  # the user's call of `fit`
    )


def _warn_of_chosen(chosen: int, size: int, problem: str | None) -> None:
    advice = f"Verify 10 or more rows of each class; {_SHUFFLE}"
    if problem is None:
        advice = (
            f"{LIMITS}. To find more wrong labels and to know how far to trust the result, verify 10 or more "
            "examples of each class (gdw.suggest(X, y) chooses some) and give them as meta=(X, y) or "
            "trusted=mask"
        )
    warnings.warn(
        f"{problem or 'no clean examples'}: {chosen} of the {size} given ones are used instead, whose labels "
        f"look right to networks that were trained without them. This takes {FOLDS} more trainings. {advice}",
        NoCleanExamplesWarning,
        stacklevel=7,  # the user's call of `fit`
    )


def _problem(missing: NDArray[np.generic], classes: int, verified: int) -> str:
    """What is wrong with the verified rows, of which the `missing` classes have none."""
    if not verified:
        return "trusted: no row is verified"
    if not len(missing):
        return f"trusted: {verified} verified rows are too few"
    has = "class has" if len(missing) == 1 else f"of {classes} classes have"
    return f"trusted: {len(missing)} {has} no verified row ({listed(missing.tolist(), 10)})"
