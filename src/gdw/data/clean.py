"""The training set and the clean set, from one of the three ways in which a user names clean examples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.columns import ConversionError, column_type, to_pandas
from gdw.data.labels import LabelColumn, recode
from gdw.data.source import Source
from gdw.data.split import split_clean
from gdw.errors import ConfigError, DataError, listed, nearest

STAND_INS = 5
"""How many examples whose labels look right stand in for a class without a clean example."""

_TRUE = frozenset(("true", "t", "yes", "y", "1", "1.0"))
_FALSE = frozenset(
    ("false", "f", "no", "n", "0", "0.0", "", "none", "nan", "na", "n/a", "null", "<na>")
)


def train_and_clean(
    source: Source,
    *,
    meta: Source | None = None,
    trusted: str | None = None,
    meta_size: int | None = None,
    meta_label: str | None = None,
    meta_rows: NDArray[np.int64] | None = None,
    seed: int,
) -> tuple[Source, Source]:
    """The training set and the clean set (meta set). Both have the same class names and feature columns.

    Give exactly one of `meta`, `trusted` and `meta_size`. Rows that are taken from `source` are no longer in
    the training set.

    Args:
        source: the examples to train on.
        meta: a second source, of clean examples. They may be rows of the same file, see
            `gdw.data.verification.verified_rows`.
        trusted: a column of `source`; its true rows are clean (true, yes or 1; an empty cell is false).
        meta_size: the number of rows of `source` to draw, balanced over the classes.
        meta_label: the column with the labels of the clean rows; default: the label column.
        meta_rows: the rows of the file of `source` that are among those of `meta`, int64; default: all of
            `meta` if it has the same `rows`, else none.
        seed: of the draw.

    Raises:
        ConfigError: none or several of the three ways are given.
        DataError: the two sets do not fit: their columns differ, there is a single class, or a clean label of
            another source does not occur in the training set.
    """
    _require_one_way(sum(way is not None for way in (meta, trusted, meta_size)))
    source = source.without_features(*(c for c in (trusted, meta_label) if c is not None))
    if meta is not None and meta.rows is source.rows and meta_rows is None:
        meta_rows = meta.row_numbers
    if meta is not None and meta_rows is not None:
        train, clean = _without(source, meta_rows, meta.notes), replace(meta, notes=())
    elif meta is not None:
        train, clean = source, _from_second_file(source, meta, meta_label)
    elif trusted is not None:
        train, clean = _by_column(source, trusted, meta_label)
    else:
        assert meta_size is not None
        train, clean = _drawn(source, meta_size, meta_label, seed)
    _check_classes(train, clean, of_data=meta is None or meta_rows is not None)
    return train, clean


# The name in gdw 0.1.
assemble = train_and_clean


def _require_one_way(count: int) -> None:
    if count == 0:
        raise ConfigError(
            "gdw needs some rows whose labels you have verified (10 or more per class), found none: "
            "give a file or folder (--meta, meta=) or a column that is true for them (--trusted, trusted=). "
            "No verified rows yet? gdw suggest chooses some, and gdw verify shows them to you. "
            "(--meta-size, meta_size= draws them, but only from data whose labels are known to be right)"
        )
    if count > 1:
        raise ConfigError(
            f"name the clean examples in exactly one way, found {count} of them: a file or folder (--meta, "
            "meta=), a column that is true for verified rows (--trusted, trusted=), or a number of rows to "
            "draw (--meta-size, meta_size=)"
        )


def _without(source: Source, verified: NDArray[np.int64], notes: tuple[str, ...]) -> Source:
    """The rows of `source` that are not `verified`, with `notes`."""
    train = source.select(np.flatnonzero(~np.isin(source.row_numbers, verified)))
    if not len(train):
        raise DataError(
            f"every row of {source.origin} is verified: expected some that are not, to train on"
        )
    return replace(train, notes=train.notes + notes)


def _from_second_file(source: Source, meta: Source, meta_label: str | None) -> Source:
    if Path(meta.origin).exists() and Path(meta.origin).resolve() == Path(source.origin).resolve():
        raise ConfigError(
            f"the clean data are the training data, {source.origin}: name another file, "
            "a trusted column or the number of clean examples to draw"
        )
    if meta_label is not None:
        declared = source.names_declared
        meta = meta.label_column(meta_label, source.label_names, names_declared=declared)
    elif meta.label_names != source.label_names:
        meta = _with_names_of(source, meta)
    return _with_features_of(source, meta)


def _with_names_of(source: Source, meta: Source) -> Source:
    """`meta` with its labels as codes into the class names of `source`."""
    column = LabelColumn(meta.label_names, meta.known_labels, meta.names_declared)
    declared = source.names_declared
    codes = recode(
        column,
        source.label_names,
        where=meta.where,
        names_declared=declared,
        merged=source.labels_merged,
    )
    return meta.with_labels(codes, source.label_names, names_declared=declared)


def _with_features_of(source: Source, meta: Source) -> Source:
    """`meta` with the feature columns of `source`, in their order and converted to their types."""
    if meta.kind != source.kind:
        raise DataError(
            f"{meta.origin} is {meta.kind} data, but {source.origin} is {source.kind} data: "
            "both must be of one kind"
        )
    if meta.kind == "array":
        _check_shape(source, meta)
    return _with_columns_of(source, meta) if meta.kind == "table" else meta


def _check_shape(source: Source, meta: Source) -> None:
    shape, expected = meta.array().shape[1:], source.array().shape[1:]
    if shape != expected:
        raise DataError(
            f"examples of {meta.origin} have the shape {shape}, expected {expected} as in {source.origin}"
        )


def _with_columns_of(source: Source, meta: Source) -> Source:
    missing = [name for name in source.feature_columns if name not in meta.columns]
    if missing:
        raise DataError(
            f"{meta.origin} lacks the column {listed(missing)} of {source.origin}."
            f"{nearest(missing[0], meta.columns)} Its columns: {listed(meta.columns)}"
        )
    typed = meta.typed({name: source.column_types[name] for name in source.feature_columns})
    for name in source.feature_columns:
        _check_column(typed, source, name)
    return typed


def _check_column(meta: Source, source: Source, name: str) -> None:
    """Check that a column means the same in both: numbers may be names of categories, if some are known."""
    values = meta.rows.arrow(name, meta.row_numbers)
    expected = source.column_types[name]
    type_ = column_type(values, **meta.rows.reading)
    if type_ == expected or "missing" in (type_, expected):
        return
    try:
        series = to_pandas(values, expected, **meta.rows.reading)
    except ConversionError as error:
        place = meta.where(error.position)
        raise DataError(
            f"{place}: column {name!r} is a {expected} in {source.origin}, found {error.value!r}"
        ) from None
    if expected == "category":
        known_values = source.rows.arrow(name, source.row_numbers)
        known = to_pandas(known_values, expected, **source.rows.reading).dropna().map(str)
        if set(known).isdisjoint(series.dropna().map(str)):
            raise DataError(
                f"column {name!r} of {meta.origin} holds numbers, but in {source.origin} names such as "
                f"{listed(sorted(set(known)), 3)}: write it the same way in both"
            )


def trusted_rows(source: Source, column: str) -> NDArray[np.bool_]:
    """Which rows a column says are verified, bool `(N,)`; `DataError` if it is neither true nor false."""
    values = source.column(column)
    return np.array([_truth(v, source.where, i, column) for i, v in enumerate(values)], dtype=bool)


def _by_column(source: Source, trusted: str, meta_label: str | None) -> tuple[Source, Source]:
    mask = trusted_rows(source, trusted)
    if mask.all() or not mask.any():
        marked = "every row" if mask.all() else "no row"
        raise DataError(
            f"{marked} of {source.origin} is trusted in column {trusted!r}: expected some verified rows and "
            "some to train on; leave --trusted out to train without verified rows"
        )
    train, clean = source.select(np.flatnonzero(~mask)), source.select(np.flatnonzero(mask))
    return train, _relabelled(clean, meta_label)


def _drawn(source: Source, size: int, meta_label: str | None, seed: int) -> tuple[Source, Source]:
    relabelled = _relabelled(source, meta_label)
    names = relabelled.label_names
    chosen, rest = split_clean(relabelled.known_labels, size, len(names), seed, label_names=names)
    return source.select(rest), relabelled.select(chosen)


def _relabelled(source: Source, column: str | None) -> Source:
    return source if column is None else source.label_column(column, source.label_names)


def truth(value: Any) -> bool | None:
    """What a value of a column of verified rows means; None if it is neither true nor false.

    >>> truth("yes"), truth(0), truth(""), truth("maybe")
    (True, False, False, None)
    """
    word = str(value).strip().lower()
    return True if word in _TRUE else False if word in _FALSE else None


def _truth(value: Any, where: Callable[[int], str], i: int, column: str) -> bool:
    verified = truth(value)
    if verified is None:
        raise DataError(
            f"{where(i)}: the trusted column {column!r} should be true or false (yes/no, 1/0, or empty), "
            f"found {value!r}"
        )
    return verified


def _check_classes(train: Source, clean: Source, *, of_data: bool) -> None:
    """Check that there are two classes or more, and that a clean example of another file has one of them.

    If the clean examples are `of_data`, a class may have no others.
    """
    names = train.label_names
    train_counts, clean_counts = _counts(train), _counts(clean)
    present = np.flatnonzero(train_counts)
    if len(present) < 2:
        raise DataError(
            f"{train.origin} has a single class, {names[present[0]]!r}: expected at least two"
        )
    unknown = np.flatnonzero((clean_counts > 0) & (train_counts == 0))
    if len(unknown) and not of_data:
        place = clean.where(int(np.flatnonzero(clean.known_labels == unknown[0])[0]))
        raise DataError(
            f"{place}: the clean label {names[unknown[0]]!r} never occurs in the training data "
            f"{train.origin}, which has {listed(names[k] for k in present)}"
        )


def lacking_clean(
    given: NDArray[np.int64],
    clean: NDArray[np.int64],
    classes: int,
    *,
    fewest: int = 1,
    fewest_of_class: int = 1,
) -> NDArray[np.int64]:
    """How many more clean examples each class needs.

    >>> lacking_clean(np.array([0, 0, 1, 1, 2]), np.array([0, 0, 0, 1]), 4, fewest_of_class=3)
    array([0, 2, 5, 0])

    Args:
        given: the labels of the training examples, `(N,)`.
        clean: those of the clean examples, `(M,)`.
        classes: C.
        fewest: with fewer clean examples in all, each class needs as many as it can get.
        fewest_of_class: how many of each class are needed. A class without any needs at least `STAND_INS`.

    Returns:
        int64 `(C,)`; 0 for a class without a training example.
    """
    count = np.bincount(clean, minlength=classes)
    needed = np.maximum(0, fewest_of_class - count)
    needed[count == 0] = max(fewest_of_class, STAND_INS)
    if len(clean) < fewest:
        needed[:] = len(given)
    return np.where(np.bincount(given, minlength=classes) > 0, needed, 0)


def _counts(source: Source) -> NDArray[np.int64]:
    return np.bincount(source.known_labels, minlength=len(source.label_names))
