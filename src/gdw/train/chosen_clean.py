"""Stand-ins for clean examples that nobody has given: those whose labels look right."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gdw.data.examples import Examples
from gdw.reweight.preparation import Subset, all_but, stratified_folds
from gdw.seeding import generator
from gdw.train.feed import DataSets

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


def choose_for(trainer: Trainer, model: nn.Module, train: Examples) -> Tensor:
    """Choose examples for a training without a clean set.

    Args:
        trainer: its options train copies of the model.
        model: the untrained model.
        train: the training examples, with class labels.

    Returns:
        The rows, int64 `(M,)`, see `choose_clean`.

    Raises:
        StoppedInPreparation: a signal stopped it; a `KeyboardInterrupt`.
    """
    preparation = trainer.preparation(model, DataSets(train=train, meta=None, test=None))
    number = count(1)

    def predict(others: Tensor, rows: Tensor) -> Tensor:
        fold = next(number)
        what = f"no clean set: choosing examples whose labels look right (fold {fold} of {FOLDS})"
        predict = preparation.fit([Subset("given", others)], seed=_FIRST_SEED + fold, what=what)
        return predict(Subset("given", rows))

    return torch.from_numpy(choose_clean(train.targets, predict, seed=trainer.config.seed))


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
