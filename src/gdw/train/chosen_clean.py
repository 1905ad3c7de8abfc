"""Stand-ins for clean examples that nobody has given, or too few: those whose labels look right."""

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


def choose_clean(
    labels: Tensor, predict: Predict, *, seed: int, most: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """The rows whose labels are most likely correct: about a tenth, each class equally often.

    For each of three folds a network is trained on the other two folds, so that no network predicts a label
    that it was trained on. Of each class the rows are chosen whose given label has the highest predicted
    probability, first those where it is the predicted class (similar to confident learning, Northcutt et
    al., JAIR 2021). Of less than a dozen rows all are chosen.

    Args:
        labels: the given labels, integers `(N,)`.
        predict: trains a network and predicts with it.
        seed: of the folds, and of the order of equal rows.
        most: int64 `(C,)`, the largest number of each class, see `gdw.data.clean.lacking_clean`; by default
            there is none.

    Returns:
        int64, sorted.
    """
    given = labels.cpu().numpy()
    if most is None:
        most = np.full(int(given.max()) + 1, len(given))
    if not needs_models(given, most):
        return np.flatnonzero(most[given] > 0)
    confidence = np.empty(len(labels), dtype=np.float32)
    agrees = np.empty(len(labels), dtype=bool)
    for fold in stratified_folds(labels, FOLDS, seed=seed):
        p = predict(all_but(fold, len(labels)), fold).cpu()
        of_fold = labels[fold].cpu()
        confidence[fold.numpy()] = p[torch.arange(len(p)), of_fold].float().numpy()
        agrees[fold.numpy()] = (p.argmax(1) == of_fold).numpy()
    return _most_certain(confidence, agrees, given, most, seed)


def needs_models(labels: NDArray[np.int64], most: NDArray[np.int64]) -> bool:
    """Whether there is a choice: `choose_clean` has more examples of a class than it may take.

    Args:
        labels: the given labels, `(N,)`.
        most: the largest number of each class, `(C,)`.
    """
    counts = np.bincount(labels, minlength=len(most))
    return len(labels) >= FEWEST and bool(((most > 0) & (counts > 1)).any())


def choose_for(
    trainer: Trainer,
    model: nn.Module,
    train: Examples,
    clean: Examples | None,
    most: NDArray[np.int64],
    folder: Callable[[], Path],
) -> Tensor:
    """Choose examples for a training without a clean set, or with few examples in it.

    Args:
        trainer: its options train copies of the model.
        model: the untrained model.
        train: the training examples, with class labels.
        clean: the clean examples that there are.
        most: the largest number of each class, `(C,)`.
        folder: makes the folder where predictions are kept; called when data and model are checked.

    Returns:
        The rows, int64 `(M,)`, see `choose_clean`.

    Raises:
        StoppedInPreparation: a signal stopped it; a `KeyboardInterrupt`.
    """
    sets, number = DataSets(train=train, meta=None, test=None), count(1)
    others = _with_any(train, clean, most, seed=trainer.config.seed)
    make_ready(model, others, trainer.config, trainer.processes, trainer.forward)
    fits, run = _after_choice(trainer, model, others)
    needed = needs_models(train.targets.cpu().numpy(), most)
    why = "no clean set" if clean is None else "few verified examples"
    with trainer.preparing(model, sets, folder=folder()) as preparation:
        own = fits_out_of_fold(preparation, FOLDS, clean=0) if needed else []
        preparation.plan([*own, *fits], run)

        def predict(others: Tensor, rows: Tensor) -> Tensor:
            fold = next(number)
            what = f"{why}: choosing examples whose labels look right (fold {fold} of {FOLDS})"
            predict = preparation.fit([Subset("given", others)], seed=_FIRST_SEED + fold, what=what)
            return predict(Subset("given", rows))

        rows = choose_clean(train.targets, predict, seed=trainer.config.seed, most=most)
        return torch.from_numpy(rows)


def with_stand_ins(clean: Examples | None, stand_ins: Examples) -> Examples:
    """The clean examples that there are, and after them those that stand in, which nobody has verified."""
    both = stand_ins if clean is None else clean.joined(stand_ins)
    both.verified = 0 if clean is None else len(clean)
    return both


def _with_any(
    train: Examples, clean: Examples | None, most: NDArray[np.int64], *, seed: int
) -> DataSets:
    """The data sets of the run, in which any examples are in the place of the chosen ones."""
    equal = torch.ones(len(most))
    rows = choose_clean(
        train.targets, lambda _, rows: equal.expand(len(rows), -1), seed=seed, most=most
    )
    return DataSets(train=train, meta=with_stand_ins(clean, train.select(rows)), test=None)


def _after_choice(
    trainer: Trainer, model: nn.Module, sets: DataSets
) -> tuple[Sequence[PlannedFit], Stage]:
    """The trainings that follow, for the time that is left."""
    config = trainer.config
    _, reweighter = trainer.method(model)
    with trainer.preparing(model, sets) as preparation:
        fits = reweighter.planned_fits(preparation)
    size = len(sets.train) + (len(sets.meta or ()) if reweighter.joins_clean else 0)
    batches = size // min(size, config.batch_size)
    return fits, run_stage(config, sets, config.epochs, batches=batches)


def _most_certain(
    confidence: NDArray[np.float32],
    agrees: NDArray[np.bool_],
    labels: NDArray[np.int64],
    most: NDArray[np.int64],
    seed: int,
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
        size = min(share, max(1, len(rows) // 2), int(most[k]))
        best = np.lexsort((-confidence[rows], ~agrees[rows]))
        chosen.append(rows[best[:size]])
    return np.sort(np.concatenate(chosen))
