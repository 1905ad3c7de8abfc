"""Training rows and clean rows from the three ways in which a user can name clean data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.compatible import match_features
from gdw.data.source import Source
from gdw.data.split import split_clean
from gdw.errors import ConfigError, DataError
from gdw.files.wording import listed

_TRUE = frozenset(("true", "t", "yes", "y", "1", "1.0"))
_FALSE = frozenset(("false", "f", "no", "n", "0", "0.0", "", "none", "nan"))


def assemble(
    source: Source,
    *,
    meta: Source | None = None,
    trusted: str | None = None,
    meta_size: int | None = None,
    meta_label: str | None = None,
    seed: int,
) -> tuple[Source, Source]:
    """The training set and the clean (meta) set, which share class names and feature columns.

    Clean data come in one of three ways: a second source `meta`; the rows of `source` whose column `trusted`
    is true (true, yes or 1; empty is false); or `meta_size` rows of `source`, class-balanced, drawn from
    `seed`. Rows taken from `source` leave the training set. The labels of the clean rows are those of the
    column `meta_label`, if given, else their own.

    Raises `ConfigError` unless exactly one way is given, and `DataError` when the two sets cannot be trained
    on together: a clean label that the training set lacks, a class without a clean example, a single class,
    columns that do not match.
    """
    given = sum(way is not None for way in (meta, trusted, meta_size))
    if given != 1:
        found = "none" if given == 0 else f"{given} of them"
        raise ConfigError(
            "name the clean examples in exactly one way: a separate file or folder (--meta, meta=), a column "
            "of the data that is true for verified rows (--trusted, trusted=), or a number to draw "
            f"(--meta-size, meta_size=); found {found}"
        )
    if source.labels is None:
        raise ConfigError(f"{source.origin} was loaded without labels: name its label column")
    source = source.without_features(*(c for c in (trusted, meta_label) if c is not None))
    if meta is not None:
        train, clean = source, _second_file(source, meta, meta_label)
    elif trusted is not None:
        train, clean = _by_column(source, trusted, meta_label)
    else:
        assert meta_size is not None
        train, clean = _drawn(source, meta_size, meta_label, seed)
    _check_classes(train, clean)
    return train, clean


def _second_file(source: Source, meta: Source, meta_label: str | None) -> Source:
    if Path(meta.origin).exists() and Path(meta.origin).resolve() == Path(source.origin).resolve():
        raise ConfigError(
            f"the clean data are the training data, {source.origin}: name another file, "
            "a trusted column or the number of clean examples to draw"
        )
    if meta_label is not None:
        declared = source.names_declared
        meta = meta.label_column(meta_label, source.label_names, names_declared=declared)
    elif meta.labels is None:
        raise ConfigError(f"{meta.origin} was loaded without labels: name its label column")
    elif meta.label_names != source.label_names:
        meta = _renamed(meta, source)
    return match_features(meta, source)


def _renamed(meta: Source, source: Source) -> Source:
    from gdw.data.labels import LabelColumn, recode

    assert meta.labels is not None
    column = LabelColumn(meta.label_names, meta.labels, meta.names_declared)
    declared = source.names_declared
    codes = recode(column, source.label_names, where=meta.where, names_declared=declared)
    return meta.with_labels(codes, source.label_names, names_declared=declared)


def _by_column(source: Source, trusted: str, meta_label: str | None) -> tuple[Source, Source]:
    values = source.column(trusted)
    mask = np.array([_truth(v, source.where, i, trusted) for i, v in enumerate(values)], dtype=bool)
    if mask.all() or not mask.any():
        found = "every row" if mask.all() else "no row"
        raise DataError(
            f"{found} of {source.origin} is trusted in column {trusted!r}: "
            "expected some clean rows and some to train on"
        )
    train, clean = source.select(np.flatnonzero(~mask)), source.select(np.flatnonzero(mask))
    return train, _relabelled(clean, meta_label)


def _drawn(source: Source, size: int, meta_label: str | None, seed: int) -> tuple[Source, Source]:
    relabelled = _relabelled(source, meta_label)
    assert relabelled.labels is not None
    names = relabelled.label_names
    chosen, rest = split_clean(relabelled.labels, size, len(names), seed, label_names=names)
    return source.select(rest), relabelled.select(chosen)


def _relabelled(source: Source, column: str | None) -> Source:
    return source if column is None else source.label_column(column, source.label_names)


def _truth(value: Any, where: Callable[[int], str], i: int, column: str) -> bool:
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise DataError(
        f"{where(i)}: the trusted column {column!r} should be true or false (yes/no, 1/0, or empty), "
        f"found {value!r}"
    )


def _check_classes(train: Source, clean: Source) -> None:
    names = train.label_names
    trained, verified = _counts(train), _counts(clean)
    present = np.flatnonzero(trained)
    if len(present) < 2:
        raise DataError(
            f"{train.origin} has a single class, {names[present[0]]!r}: expected at least two"
        )
    unknown = np.flatnonzero((verified > 0) & (trained == 0))
    if len(unknown):
        assert clean.labels is not None
        place = clean.where(int(np.flatnonzero(clean.labels == unknown[0])[0]))
        raise DataError(
            f"{place}: the clean label {names[unknown[0]]!r} never occurs in the training data "
            f"{train.origin}, which has {listed(names[k] for k in present)}"
        )
    bare = np.flatnonzero((trained > 0) & (verified == 0))
    if len(bare):
        word = "1 class has" if len(bare) == 1 else f"{len(bare)} classes have"
        raise DataError(
            f"{word} no clean example: {listed(names[k] for k in bare)}. "
            "Add at least one verified example of each"
        )


def _counts(source: Source) -> NDArray[np.int64]:
    assert source.labels is not None
    return np.bincount(source.labels, minlength=len(source.label_names))
