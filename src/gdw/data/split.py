"""Stratified choices of rows: a clean, class-balanced set apart from the rest, and smaller subsets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gdw.errors import ConfigError, DataError
from gdw.seeding import generator


def split_clean(
    labels: NDArray[np.int64],
    size: int,
    num_classes: int,
    seed: int,
    *,
    label_names: Sequence[str] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw a class-balanced set of `size` examples; gives its indices and all others, each sorted.

    `labels` is int64 `(N,)`. The classes that occur get `size // classes` examples each, and
    `size % classes` of them (drawn at random among those with enough) one more. At least one example of
    each stays in the rest.

    Raises `ConfigError` when `size` is smaller than the number of classes, `DataError` when a class has too
    few examples (called by its name in `label_names`).
    """
    counts = np.bincount(labels, minlength=num_classes)
    present = np.flatnonzero(counts)
    if size < len(present):
        raise ConfigError(
            f"a clean set of {size} cannot hold an example of each of {len(present)} classes: "
            f"expected a size of at least {len(present)}"
        )
    rng = generator(seed, "clean")
    share, extra = divmod(size, len(present))
    wanted = np.zeros_like(counts)
    wanted[present] = share
    affords_more = present[counts[present] > share + 1]
    if extra <= len(affords_more):
        wanted[rng.permutation(affords_more)[:extra]] += 1
    else:
        wanted[present] += 1
    poorest = present[np.argmin(counts[present] - wanted[present])]
    if counts[poorest] <= wanted[poorest]:
        name = label_names[poorest] if label_names is not None else str(poorest)
        most = (int(counts[poorest]) - 1) * len(present)
        fix = f"use a clean set of at most {most}, or " if most >= len(present) else ""
        raise DataError(
            f"the class {name!r} has {counts[poorest]} examples, too few to put {wanted[poorest]} of them "
            f"into the clean set and keep one for training: {fix}add examples of this class"
        )
    clean = _draw(labels, wanted, rng)
    return clean, np.setdiff1d(np.arange(len(labels)), clean, assume_unique=True)


def stratified_subset(labels: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
    """The sorted indices of `size` examples with the classes in proportion, and at least one of each.

    `labels` is int64 `(N,)`. Raises `ConfigError` when `size` is more than there are, or fewer than classes.
    """
    counts = np.bincount(labels)
    classes = int(np.count_nonzero(counts))
    if not classes <= size <= len(labels):
        raise ConfigError(
            f"a subset of {size} rows is not possible: expected from {classes} (one a class) "
            f"to {len(labels)} (all)"
        )
    exact = counts * size / len(labels)
    wanted = np.where(counts > 0, np.maximum(np.floor(exact), 1), 0).astype(np.int64)
    while wanted.sum() < size:
        wanted[np.argmax(np.where(wanted < counts, exact - wanted, -np.inf))] += 1
    # Classes that got their one example beyond proportion took it from the others.
    while wanted.sum() > size:
        wanted[np.argmax(np.where(wanted > 1, wanted - exact, -np.inf))] -= 1
    return _draw(labels, wanted, generator(seed, "subset"))


def _draw(
    labels: NDArray[np.int64], wanted: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """`wanted[k]` random examples of each class `k`; indices sorted."""
    order = rng.permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    firsts = np.cumsum(np.bincount(labels, minlength=len(wanted)))
    starts = np.concatenate([[0], firsts[:-1]])
    chosen = [by_class[s : s + w] for s, w in zip(starts, wanted, strict=True)]
    return np.sort(np.concatenate(chosen))
