"""What models say of given examples that they have not seen."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gdw.reweight.folds import all_but, stratified_folds
from gdw.reweight.preparation import Preparation, Subset


def out_of_fold(
    preparation: Preparation, folds: int, *, clean: Subset, first_seed: int = 0, **how: Any
) -> Tensor:
    """Class probabilities of the given examples, `(N, C)` float64, rows summing to one.

    Each by the run's own model, fitted on the other folds and the `clean` rows, as long as the run.

    Args:
        preparation: of a run on class labels.
        folds: how many models.
        clean: what each of them is trained on too.
        first_seed: of the first model; the others count on.
        how: options of `Preparation.fit`.
    """
    given = preparation.given
    predicted = torch.empty(len(given), preparation.num_classes, dtype=torch.float64)
    parts = stratified_folds(given, folds, seed=preparation.seed)
    for number, part in enumerate(parts):
        predict = preparation.fit(
            [Subset("given", all_but(part, len(given))), clean],
            seed=first_seed + number,
            what=f"model {number + 1} of {len(parts)} for out-of-fold predictions",
            **how,
        )
        predicted[part] = predict(Subset("given", part)).double()
    return predicted / predicted.sum(1, keepdim=True)
