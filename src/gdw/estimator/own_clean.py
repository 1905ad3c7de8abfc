"""No clean examples were given: a part of the data that looks clean stands in for them."""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdw.data.examples import Examples
from gdw.estimator.examples import Selection
from gdw.estimator.runner import BuildNetwork, probabilities, run
from gdw.reweight.cross_fitting import all_but, stratified_folds
from gdw.seeding import generator
from gdw.train import TrainConfig

FOLDS = 3
SHARE = 0.1

# Of all classes together, where there are twice as many: methods train models on parts of them.
LEAST = 10

# Below this a fold leaves too little to learn from.
FEWEST = 12


class NoCleanExamplesWarning(UserWarning):
    """`GDWClassifier` was given neither `meta` nor `trusted` and chose examples of its own."""


def choose_clean(
    given: Examples,
    *,
    config: TrainConfig,
    build: BuildNetwork,
    sample_weight: Tensor | None,
) -> NDArray[np.int64]:
    """Rows of `given` that most likely carry their true label, about a tenth, each class alike; sorted.

    Networks as `build` makes them are trained plainly, one for each of three folds on the other two, so
    that nobody judges a label that it has learned by heart. Of each class the examples whose given
    label has the highest predicted probability are kept (as in confident learning, Northcutt et al., JAIR
    2021, where the prediction agrees with the label). Data of less than a dozen rows are taken whole.
    """
    labels = given.targets
    if len(given) < FEWEST:
        return np.arange(len(given))
    plain = config.model_copy(update={"method": "plain", "method_options": {}, "progress": "none"})
    own, agreed = np.empty(len(given), dtype=np.float32), np.empty(len(given), dtype=bool)
    for part in stratified_folds(labels, FOLDS, seed=config.seed):
        rows = all_but(part, len(given)).numpy()
        network = build()
        run(
            network,
            plain,
            Examples(Selection(given.inputs, rows), labels[torch.from_numpy(rows)]),
            None,
            sample_weight=None if sample_weight is None else sample_weight[torch.from_numpy(rows)],
        )
        unseen = part.numpy()
        for rows, p in probabilities(network, Selection(given.inputs, unseen)):
            label = labels[part[torch.from_numpy(rows)]].numpy()
            own[unseen[rows]] = p[np.arange(len(rows)), label]
            agreed[unseen[rows]] = p.argmax(axis=1) == label
    return _most_certain(own, agreed, labels.numpy(), config.seed)


def warn(chosen: int, size: int) -> None:
    """Say what doing without clean examples costs."""
    warnings.warn(
        f"no clean examples: {chosen} of the {size} given ones, whose labels look right to networks "
        f"trained without them, stand in for them. This takes {FOLDS} further trainings; labels that are "
        "wrong in a way that looks right stay, and rare or hard examples are missing among those chosen. "
        "A few verified examples of each class, as meta=(X, y) or trusted=mask, find more wrong labels",
        NoCleanExamplesWarning,
        stacklevel=5,  # the call of the user's `fit`
    )


def _most_certain(
    own: NDArray[np.float32], agreed: NDArray[np.bool_], labels: NDArray[np.int64], seed: int
) -> NDArray[np.int64]:
    """The same number of rows of each class, those first on which prediction and label agree."""
    # What draws level is put in a random order, not in that of the rows.
    shuffled = generator(seed, "own clean").permutation(len(labels))
    present = np.flatnonzero(np.bincount(labels))
    wanted = max(LEAST, SHARE * len(labels))
    share = max(2, math.ceil(wanted / len(present)))
    kept = []
    for k in present:
        rows = shuffled[labels[shuffled] == k]
        # at most half of a class, unless it has a single example
        count = min(share, max(1, len(rows) // 2))
        best = np.lexsort((-own[rows], ~agreed[rows]))
        kept.append(rows[best[:count]])
    return np.sort(np.concatenate(kept))
