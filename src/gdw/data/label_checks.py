"""Checks of the labels to train on: whether they are classes, and whether two of them are one class."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from gdw.data.labels import label_key, sorted_names
from gdw.data.source import Source
from gdw.errors import DataError

# Labels of fewer rows may all differ by chance.
_ROWS = 20
# Numbers with decimals are measured if there are more than this, or each occurs in so few rows on average.
# Half points up to ten are 21 numbers.
_DECIMALS = 24
_ROWS_PER_DECIMAL = 4
_ROWS_PER_CLASS = 2
_SHOWN = 8
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_WHOLE = re.compile(r"[+-]?\d+")


def require_classes(source: Source, column: str) -> None:
    """Check that the labels of `source`, from `column`, are classes.

    Raises:
        DataError: the labels look like measured numbers, or hardly any label occurs twice.
    """
    assert source.labels is not None, "the source was read with its label column"
    rows, names = len(source), source.label_names
    if rows < _ROWS or source.names_declared:
        return
    classes = len(np.unique(source.labels))
    example = names[int(source.labels[0])]
    measured = classes > _DECIMALS or classes * _ROWS_PER_DECIMAL > rows
    if measured and _are_decimals(names):
        described = "measured numbers"
    elif classes * _ROWS_PER_CLASS > rows:
        described = "values that hardly repeat"
    else:
        return
    raise DataError(
        f"the label column {column!r} of {source.origin} holds {described} ({classes:,} different ones in "
        f"{rows:,} rows, such as {example!r}), but a label is one of a few classes: name another column "
        "(--label, label=), or put the numbers into ranges; to take each value as a class, add "
        "--label-as-classes (label_as_classes=)"
    )


def with_variants(source: Source, *, merge: bool) -> Source:
    """The source with a note on labels that differ only in case, white space or invisible characters.

    Args:
        source: the data to train on.
        merge: whether to merge them into the most frequent spelling.
    """
    assert source.labels is not None, "the source was read with its label column"
    groups: dict[str, list[int]] = {}
    for code, name in enumerate(source.label_names):
        groups.setdefault(label_key(name), []).append(code)
    variants = [codes for codes in groups.values() if len(codes) > 1]
    counts = np.bincount(source.labels, minlength=len(source.label_names))
    if not variants:
        return replace(source, labels_merged=merge)
    described = [
        " and ".join(f"{source.label_names[code]!r} ({counts[code]:,})" for code in codes)
        for codes in variants[:_SHOWN]
    ]
    more = f"; {len(variants) - _SHOWN} more" if len(variants) > _SHOWN else ""
    alike = "labels that differ only in case, white space or invisible characters"
    known = f"{'; '.join(described)}{more}"
    if not merge:
        note = (
            f"{alike} are separate classes: {known}; --merge-labels (merge_labels=True) merges them"
        )
        return replace(source, notes=(*source.notes, note))
    merged = _merged(source, groups, counts)
    return replace(merged, notes=(*source.notes, f"merged {alike}: {known}"), labels_merged=True)


def _merged(
    source: Source, groups: Mapping[str, Sequence[int]], counts: NDArray[np.int64]
) -> Source:
    assert source.labels is not None, "the source was read with its label column"
    spelling = [""] * len(source.label_names)
    for codes in groups.values():
        best = source.label_names[max(codes, key=lambda code: int(counts[code]))]
        for code in codes:
            spelling[code] = best
    names = sorted_names(set(spelling))
    code_of = {name: code for code, name in enumerate(names)}
    labels = np.array([code_of[name] for name in spelling], dtype=np.int64)[source.labels]
    # The numbers of the file are not those of the merged names.
    return source.with_labels(labels, names)


def _are_decimals(names: tuple[str, ...]) -> bool:
    """Whether all names are numbers, and not all of them whole."""
    return all(map(_NUMBER.fullmatch, names)) and not all(map(_WHOLE.fullmatch, names))
