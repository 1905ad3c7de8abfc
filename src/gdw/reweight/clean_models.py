"""What models of the clean examples alone say of the given ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gdw.functional.temperature import apply_temperature, fit_temperature
from gdw.reweight.folds import all_but, stratified_folds
from gdw.reweight.preparation import Preparation, Subset


def clean_prior(true: Tensor) -> Tensor:
    """Class frequencies `(C,)` of clean examples with class probabilities `true` `(M, C)`.

    One example more a class: none is taken for impossible because the clean set lacks it.
    """
    return (true.sum(0) + 1) / (len(true) + true.shape[1])


def clean_probabilities(
    preparation: Preparation, true: Tensor, *, folds: int = 5, epochs: int | None = None
) -> tuple[Tensor, Tensor]:
    """`p_clean(k|x)` of the given examples, `(N, C)`, and of the clean ones themselves, `(M, C)`; float64.

    Of the given ones the mean of models fitted on all folds of the clean examples but one each, of a clean
    one what the model says that has not seen it; made as sure as they are right on the fold left out by
    temperature scaling.

    Args:
        preparation: of the run.
        true: class probabilities of the clean examples, `(M, C)`.
        folds: how many models.
        epochs: passes of each over its clean examples; by default so many that all together see as many
            examples as the run does or take as many steps, whichever is less, and no fewer than the run's.
    """
    everything = Subset("given", torch.arange(len(preparation.given)))
    parts = stratified_folds(true.argmax(1), folds, seed=preparation.seed)
    unseen = torch.empty(true.shape)
    predictions: list[Tensor] = []
    for number, part in enumerate(parts):
        inside = all_but(part, len(true))
        predict = preparation.fit(
            [Subset("clean", inside)],
            epochs=epochs or _enough(preparation, len(inside), len(parts)),
            seed=number,
            what=f"model {number + 1} of {len(parts)} of the clean examples",
        )
        unseen[part] = predict(Subset("clean", part))
        predictions.append(predict(everything))
    temperature = fit_temperature(unseen, true)
    # Large tables: their sum is made in place, of one at a time in float64.
    mean = torch.zeros(len(everything.indices), preparation.num_classes, dtype=torch.float64)
    for p in predictions:
        mean.add_(apply_temperature(p, temperature), alpha=1 / len(predictions))
    return mean, apply_temperature(unseen, temperature)


def _enough(preparation: Preparation, size: int, folds: int) -> int:
    epochs, batch = preparation.epochs, preparation.batch_size
    examples = len(preparation.given)
    # Of a few clean examples a pass is one short step.
    steps = math.ceil(epochs * math.ceil(examples / batch) / folds)
    each = math.ceil(size / batch)
    return max(epochs, min(math.ceil(epochs * examples / (size * folds)), math.ceil(steps / each)))
