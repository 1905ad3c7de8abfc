"""Dividing examples into folds, for predictions by models that have not seen them."""

from __future__ import annotations

import torch
from torch import Tensor

from gdw.data.seeding import generator


def stratified_folds(labels: Tensor, folds: int, *, seed: int) -> list[Tensor]:
    """Indices of `labels` `(n,)` in `folds` parts, each class spread evenly over them.

    At most n parts, none empty; a function of the arguments alone. Each part is sorted, int64.
    """
    shuffled = torch.from_numpy(generator(seed, "folds").permutation(len(labels)))
    order = shuffled[labels[shuffled].argsort(stable=True)]
    count = min(folds, len(labels))
    return [order[start::count].sort().values for start in range(count)]


def all_but(part: Tensor, size: int) -> Tensor:
    """The indices below `size` that are not in `part`."""
    outside = torch.ones(size, dtype=torch.bool)
    outside[part] = False
    return outside.nonzero().squeeze(1)
