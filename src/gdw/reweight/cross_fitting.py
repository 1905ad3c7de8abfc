"""Predictions for examples by models that were trained without them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from gdw.functional.calibration import apply_temperature, fit_temperature
from gdw.reweight.preparation import Preparation, Subset
from gdw.seeding import generator


def stratified_folds(labels: Tensor, folds: int, *, seed: int) -> list[Tensor]:
    """Divide the indices of `labels` into `folds` parts, with each class spread evenly over them.

    Args:
        labels: `(n,)` integers.
        folds: the number of parts; at most n are made, so that none is empty.
        seed: the result is a function of the arguments alone.

    Returns:
        Sorted int64 indices of each part.
    """
    shuffled = torch.from_numpy(generator(seed, "folds").permutation(len(labels)))
    order = shuffled[labels[shuffled].argsort(stable=True)]
    count = min(folds, len(labels))
    return [order[start::count].sort().values for start in range(count)]


def all_but(part: Tensor, size: int) -> Tensor:
    """The indices below `size` that are not in `part`, sorted."""
    outside = torch.ones(size, dtype=torch.bool)
    outside[part] = False
    return outside.nonzero().squeeze(1)


def clean_prior(true: Tensor) -> Tensor:
    """Class frequencies `(C,)` of the clean examples, with one more example per class.

    The additional examples keep a class possible that the clean set lacks.

    Args:
        true: class probabilities of the clean examples, `(M, C)`.
    """
    return (true.sum(0) + 1) / (len(true) + true.shape[1])


def clean_probabilities(
    preparation: Preparation,
    true: Tensor,
    *,
    folds: int = 5,
    epochs: int | None = None,
    title: str = "learning from the verified examples",
) -> tuple[Tensor, Tensor]:
    """Predict with models of the clean examples alone, each trained without one fold.

    A training example gets the mean prediction of all models. A clean example gets the prediction of the
    model that was trained without it. The temperature of the predictions is fitted on the folds left out.

    Args:
        preparation: of the run.
        true: class probabilities of the clean examples, `(M, C)`.
        folds: the number of models.
        epochs: passes of each model over its examples. By default all models together see as many examples
            as the run or take as many steps as the run, whichever is less, and each trains for at least
            the epochs of the run.
        title: the message for the person who waits.

    Returns:
        `p_clean(k|x)` of the training examples, `(N, C)`, and of the clean ones, `(M, C)`; float64.
    """
    everything = Subset("given", torch.arange(len(preparation.given)))
    parts = stratified_folds(true.argmax(1), folds, seed=preparation.seed)
    left_out = torch.empty(true.shape)
    predictions: list[Tensor] = []
    for number, part in enumerate(parts):
        inside = all_but(part, len(true))
        predict = preparation.fit(
            [Subset("clean", inside)],
            epochs=epochs or _sufficient_epochs(preparation, len(inside), len(parts)),
            seed=number,
            what=f"{title} (fold {number + 1} of {len(parts)})",
        )
        left_out[part] = predict(Subset("clean", part))
        predictions.append(predict(everything))
    temperature = fit_temperature(left_out, true)
    # These tables are large: they are summed in place, one at a time in float64.
    mean = torch.zeros(len(everything.indices), preparation.num_classes, dtype=torch.float64)
    for p in predictions:
        mean.add_(apply_temperature(p, temperature), alpha=1 / len(predictions))
    return mean, apply_temperature(left_out, temperature)


def _sufficient_epochs(preparation: Preparation, size: int, folds: int) -> int:
    epochs, batch = preparation.epochs, preparation.batch_size
    examples = len(preparation.given)
    # A pass over a few clean examples is one short step.
    steps = math.ceil(epochs * math.ceil(examples / batch) / folds)
    per_epoch = math.ceil(size / batch)
    enough = min(math.ceil(epochs * examples / (size * folds)), math.ceil(steps / per_epoch))
    return max(epochs, enough)


def out_of_fold(
    preparation: Preparation,
    folds: int,
    *,
    clean: Subset,
    first_seed: int = 0,
    title: str = "cross-checking the labels",
    **options: Any,
) -> Tensor:
    """Predict each training example with a model that was trained without its fold.

    Each model is trained on the other folds and on the `clean` examples, for as long as the run.

    Args:
        preparation: of a run with class labels.
        folds: the number of models.
        clean: clean examples that every model is trained on too.
        first_seed: seed of the first model; the others have the seeds after it.
        title: the message for the person who waits.
        options: of `Preparation.fit`.

    Returns:
        Class probabilities `(N, C)`, float64, rows summing to one.
    """
    given = preparation.given
    predicted = torch.empty(len(given), preparation.num_classes, dtype=torch.float64)
    parts = stratified_folds(given, folds, seed=preparation.seed)
    for number, part in enumerate(parts):
        predict = preparation.fit(
            [Subset("given", all_but(part, len(given))), clean],
            seed=first_seed + number,
            what=f"{title} (fold {number + 1} of {len(parts)})",
            **options,
        )
        predicted[part] = predict(Subset("given", part)).double()
    return predicted / predicted.sum(1, keepdim=True)
