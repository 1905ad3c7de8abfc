"""Stratified choices of examples: a class-balanced clean set, and smaller subsets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gdw.errors import ConfigError, DataError
from gdw.seeding import generator

if TYPE_CHECKING:
    from gdw.data.source import Source


def split_clean(
    labels: NDArray[np.int64],
    size: int,
    num_classes: int,
    seed: int,
    *,
    label_names: Sequence[str] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw a class-balanced clean set.

    Each class that occurs gets `size // classes` examples, and `size % classes` of the classes (drawn at
    random among those with enough examples) get one more. At least one example of each class stays in the
    rest.

    >>> clean, rest = split_clean(np.array([0, 1, 0, 1, 0]), 2, 2, seed=0)
    >>> clean, rest
    (array([0, 3]), array([1, 2, 4]))

    Args:
        labels: int64 `(N,)`.
        size: the number of examples to draw.
        num_classes: the number of classes.
        seed: of the draw.
        label_names: the names of the classes, for messages.

    Returns:
        The sorted indices of the clean set, and of all other examples.

    Raises:
        ConfigError: `size` is smaller than the number of classes.
        DataError: a class has too few examples.
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
    sizes = np.zeros_like(counts)
    sizes[present] = share
    affords_more = present[counts[present] > share + 1]
    if extra <= len(affords_more):
        sizes[rng.permutation(affords_more)[:extra]] += 1
    else:
        sizes[present] += 1
    poorest = present[np.argmin(counts[present] - sizes[present])]
    if counts[poorest] <= sizes[poorest]:
        name = label_names[poorest] if label_names is not None else str(poorest)
        most = (int(counts[poorest]) - 1) * len(present)
        fix = f"use a clean set of at most {most}, or " if most >= len(present) else ""
        raise DataError(
            f"the class {name!r} has {counts[poorest]} examples, too few to put {sizes[poorest]} of them "
            f"into the clean set and keep one for training: {fix}add examples of this class"
        )
    clean = _draw(labels, sizes, rng)
    return clean, np.setdiff1d(np.arange(len(labels)), clean, assume_unique=True)


def stratified_subset(labels: NDArray[np.int64], size: int, seed: int) -> NDArray[np.int64]:
    """A random subset with the class proportions of all examples, and at least one example of each class.

    Args:
        labels: int64 `(N,)`.
        size: the number of examples in the subset.
        seed: of the draw.

    Returns:
        The sorted indices of the subset.

    Raises:
        ConfigError: `size` is larger than N, or smaller than the number of classes.
    """
    counts = np.bincount(labels)
    classes = int(np.count_nonzero(counts))
    if not classes <= size <= len(labels):
        raise ConfigError(
            f"a subset of {size} rows is not possible: expected from {classes} (one of each class) "
            f"to {len(labels)} (all)"
        )
    exact = counts * size / len(labels)
    sizes = np.where(counts > 0, np.maximum(np.floor(exact), 1), 0).astype(np.int64)
    while sizes.sum() < size:
        sizes[np.argmax(np.where(sizes < counts, exact - sizes, -np.inf))] += 1
    # A class that is too small for its proportion got one example, which the others have to give up.
    while sizes.sum() > size:
        sizes[np.argmax(np.where(sizes > 1, sizes - exact, -np.inf))] -= 1
    return _draw(labels, sizes, generator(seed, "subset"))


def limited(source: Source, limit: int, seed: int) -> Source:
    """A random choice of `limit` rows, in the order of the file; all rows if there are not more.

    It is stratified by label, unless `limit` is smaller than the number of classes.

    Raises:
        ConfigError: `limit` is less than 1.
    """
    if limit < 1:
        raise ConfigError(f"limit (--limit, limit=) must be at least 1, found {limit}")
    if limit >= len(source):
        return source
    if source.labels is not None and limit >= len(np.unique(source.labels)):
        return source.select(stratified_subset(source.labels, limit, seed))
    chosen = generator(seed, "limit").choice(len(source), limit, replace=False)
    return source.select(np.sort(chosen))


def _draw(
    labels: NDArray[np.int64], sizes: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """The sorted indices of `sizes[k]` random examples of each class `k`."""
    order = rng.permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    firsts = np.cumsum(np.bincount(labels, minlength=len(sizes)))
    starts = np.concatenate([[0], firsts[:-1]])
    chosen = [by_class[s : s + w] for s, w in zip(starts, sizes, strict=True)]
    return np.sort(np.concatenate(chosen))
