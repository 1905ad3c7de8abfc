"""Stand-ins for clean examples that nobody has given: those whose labels look right."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gdw.data.examples import Examples
from gdw.reweight.preparation import (
    PlannedFit,
    Subset,
    all_but,
    fits_out_of_fold,
    stratified_folds,
)
from gdw.seeding import generator
from gdw.train.before_training import make_ready, run_stage
from gdw.train.feed import DataSets
from gdw.train.progress import Stage

if TYPE_CHECKING:
    from gdw.train.trainer import Trainer

Predict = Callable[[Tensor, Tensor], Tensor]
"""Trains a network on the first rows and predicts the others: class probabilities `(B, C)`."""

# The number of networks, and the share of the examples that is chosen.
FOLDS = 3
SHARE = 0.1

# The least number of chosen examples of all classes, if there are twice as many.
LEAST = 10

# The seeds of `gdw.reweight.preparation.clean_probabilities` and of `Robust` are smaller.
_FIRST_SEED = 1000

# With fewer examples a fold leaves too few to learn from.
FEWEST = 12

LIMITS = (
    "Nobody has verified them: wrong labels that look right stay, rare and difficult examples are missing, "
    "and nothing shows how far to trust the result"
)
"""The limits of chosen examples, for every message about them."""


def choose_clean(labels: Tensor, predict: Predict, *, seed: int) -> NDArray[np.int64]:
    """The rows whose labels are most likely correct: about a tenth, each class equally often.

    For each of three folds a network is trained on the other two folds, so that no network predicts a label
    that it was trained on. Of each class the rows are chosen whose given label has the highest predicted
    probability, first those where it is the predicted class (similar to confident learning, Northcutt et
    al., JAIR 2021). Of less than a dozen rows all are chosen.

    Args:
        labels: the given labels, integers `(N,)`.
        predict: trains a network and predicts with it.
        seed: of the folds, and of the order of equal rows.

    Returns:
        int64, sorted.
    """
    if len(labels) < FEWEST:
        return np.arange(len(labels))
    confidence = np.empty(len(labels), dtype=np.float32)
    agrees = np.empty(len(labels), dtype=bool)
    for fold in stratified_folds(labels, FOLDS, seed=seed):
        p = predict(all_but(fold, len(labels)), fold).cpu()
        given = labels[fold].cpu()
        confidence[fold.numpy()] = p[torch.arange(len(p)), given].float().numpy()
        agrees[fold.numpy()] = (p.argmax(1) == given).numpy()
    return _most_certain(confidence, agrees, labels.cpu().numpy(), seed)


def choose_for(
    trainer: Trainer, model: nn.Module, train: Examples, folder: Callable[[], Path]
) -> Tensor:
    """Choose examples for a training without a clean set.

    Args:
        trainer: its options train copies of the model.
        model: the untrained model.
        train: the training examples, with class labels.
        folder: makes the folder where predictions are kept; called when data and model are checked.

    Returns:
        The rows, int64 `(M,)`, see `choose_clean`.

    Raises:
        StoppedInPreparation: a signal stopped it; a `KeyboardInterrupt`.
    """
    sets, number = DataSets(train=train, meta=None, test=None), count(1)
    make_ready(model, sets, trainer.config, trainer.processes, trainer.forward)
    fits, run = _after_choice(trainer, model, train)
    with trainer.preparing(model, sets, folder=folder()) as preparation:
        own = fits_out_of_fold(preparation, FOLDS, clean=0) if len(train) >= FEWEST else []
        preparation.plan([*own, *fits], run)

        def predict(others: Tensor, rows: Tensor) -> Tensor:
            fold = next(number)
            what = (
                f"no clean set: choosing examples whose labels look right (fold {fold} of {FOLDS})"
            )
            predict = preparation.fit([Subset("given", others)], seed=_FIRST_SEED + fold, what=what)
            return predict(Subset("given", rows))

        return torch.from_numpy(choose_clean(train.targets, predict, seed=trainer.config.seed))


def _after_choice(
    trainer: Trainer, model: nn.Module, train: Examples
) -> tuple[Sequence[PlannedFit], Stage]:
    """The trainings that follow, for the time that is left: other examples stand in for the chosen ones."""
    labels, config = train.targets, trainer.config
    equal = torch.ones(int(labels.max()) + 1)
    some = choose_clean(labels, lambda _, rows: equal.expand(len(rows), -1), seed=config.seed)
    sets = DataSets(train=train, meta=train.select(some), test=None)
    _, reweighter = trainer.method(model)
    with trainer.preparing(model, sets) as preparation:
        fits = reweighter.planned_fits(preparation)
    size = len(train) + (len(some) if reweighter.joins_clean else 0)
    batches = size // min(size, config.batch_size)
    return fits, run_stage(config, sets, config.epochs, batches=batches)


def _most_certain(
    confidence: NDArray[np.float32], agrees: NDArray[np.bool_], labels: NDArray[np.int64], seed: int
) -> NDArray[np.int64]:
    """The same number of rows of each class, the most confident first, those that agree before others."""
    # Ties are broken at random, not by the order of the rows.
    shuffled = generator(seed, "own clean").permutation(len(labels))
    present = np.flatnonzero(np.bincount(labels))
    wanted = max(LEAST, SHARE * len(labels))
    share = max(2, math.ceil(wanted / len(present)))
    chosen = []
    for k in present:
        rows = shuffled[labels[shuffled] == k]
        # At most half of a class, unless it has a single example.
        size = min(share, max(1, len(rows) // 2))
        best = np.lexsort((-confidence[rows], ~agrees[rows]))
        chosen.append(rows[best[:size]])
    return np.sort(np.concatenate(chosen))
