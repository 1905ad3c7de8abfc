"""From the values of a label column to class names and codes.

A label is the text in the file, even if it is `NA`, `None` or `nan`. Only an empty cell, a null and a NaN
number are missing labels. Whole numbers have one spelling: `1`, `1.0` and the integer 1 are the class `1`.
Text is in the Unicode form NFC, so that `é` is one label, whether it is written as one character or as two.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from unicodedata import category

import numpy as np
from numpy.typing import NDArray

from gdw.data.cells import MISSING_CELLS
from gdw.errors import DataError, composed, listed, nearest

if TYPE_CHECKING:
    from gdw.data.source import Source

UNLABELLED = -1
_SHOWN = 8
VARIANTS = "labels that differ only in case, white space or invisible characters"
# Invisible characters that Unicode counts as letters or marks: fillers, joiners, variation selectors.
_UNSEEN = frozenset("\u034f\u115f\u1160\u3164\uffa0") | {chr(c) for c in range(0xFE00, 0xFE10)}
_WHOLE = re.compile(r"-?(?:0|[1-9]\d*)")
_WHOLE_AS_DECIMAL = re.compile(r"(-?(?:0|[1-9]\d*))(?:\.0*)?")


@dataclass(frozen=True)
class LabelColumn:
    """The labels of N rows.

    Attributes:
        names: the class names.
        codes: int64 `(N,)`, codes into `names`; `UNLABELLED` where the label is missing.
        declared: whether the file declares the names (a Hugging Face `ClassLabel`), and the column itself
            holds class numbers.
    """

    names: tuple[str, ...]
    codes: NDArray[np.int64]
    declared: bool = False


def read_labels(values: Any, declared: Sequence[str] | None = None) -> LabelColumn:
    """The class names and codes of a label column.

    Args:
        values: a `pyarrow.ChunkedArray`.
        declared: the class names that the file declares, if the column holds class numbers. By default, the
            names are the distinct labels, sorted as numbers if all are whole numbers.

    Raises:
        DataError: the values cannot be labels. The message does not name the column, which the caller knows.
    """
    if declared is not None:
        return _declared(values, tuple(declared))
    import pyarrow as pa

    if pa.types.is_nested(values.type):
        raise DataError(f"holds {values.type} values, but a label is a single name or number")
    encoded = _encoded(values)
    try:
        distinct = encoded.dictionary.to_pylist()
    except (OverflowError, ValueError):
        raise DataError("holds dates outside the years 1 to 9999: correct them") from None
    spelled = _one_spelling([_as_text(value) for value in distinct])
    names = sorted_names({name for name in spelled if name is not None})
    code_of = {name: code for code, name in enumerate(names)}
    table = [UNLABELLED if name is None else code_of[name] for name in spelled]
    rows = encoded.indices.fill_null(len(table)).to_numpy(zero_copy_only=False)
    return LabelColumn(names, np.array([*table, UNLABELLED], dtype=np.int64)[rows])


def _encoded(values: Any) -> Any:
    """A `pyarrow.ChunkedArray` as one dictionary array."""
    import pyarrow as pa

    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    encoded = values.combine_chunks().dictionary_encode()
    return encoded.combine_chunks() if isinstance(encoded, pa.ChunkedArray) else encoded


def sorted_names(names: set[str]) -> tuple[str, ...]:
    """The names in order: as numbers if all are whole numbers (`9` before `10`), else as text.

    >>> sorted_names({"10", "9"})
    ('9', '10')
    """
    if all(_WHOLE.fullmatch(name) for name in names):
        return tuple(sorted(names, key=int))
    return tuple(sorted(names))


def label_key(name: str) -> str:
    """What names have in common that differ only in case, white space or invisible characters.

    >>> label_key("Sea\\u200b lion") == label_key("sealion")
    True
    """
    visible = (
        c for c in name if not c.isspace() and c not in _UNSEEN and category(c) not in ("Cf", "Cc")
    )
    return composed("".join(visible).casefold()) or name


def one_spelling_each(names: Sequence[str], counts: NDArray[np.int64]) -> tuple[list[str], str]:
    """For names that differ only in case, white space or invisible characters, the most frequent of them.

    >>> one_spelling_each(["Cat", "cat", "dog"], np.array([1, 5, 3]))
    (['cat', 'cat', 'dog'], "'Cat' (1) and 'cat' (5)")

    Args:
        names: the N names, all different.
        counts: how often each occurs, `(N,)`.

    Returns:
        The spelling of each name, and the names that have several spellings, in words; empty if none has.
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(label_key(name), []).append(name)
    count_of = dict(zip(names, counts.tolist(), strict=True))
    best = {key: max(group, key=count_of.__getitem__) for key, group in groups.items()}
    described = [
        " and ".join(f"{name!r} ({count_of[name]:,})" for name in group)
        for group in groups.values()
        if len(group) > 1
    ]
    more = [f"{len(described) - _SHOWN} more"] if len(described) > _SHOWN else []
    return [best[label_key(name)] for name in names], "; ".join(described[:_SHOWN] + more)


def recode(
    column: LabelColumn,
    label_names: Sequence[str],
    *,
    where: Callable[[int], str],
    names_declared: bool = False,
    merged: bool = False,
) -> NDArray[np.int64]:
    """The labels of `column` as codes into other class names.

    Names are matched first. A class number means a name, or a name means a number, only if a file declares
    which name has which number. With `label_names = ("cat", "dog")` and `names_declared`, the number 1 means
    `dog`. With `label_names = ("0", "1")`, the second name of a `ClassLabel` column means `1`. Without a
    declaration, names are sorted, and their order says nothing about the numbers in another file.

    Args:
        column: the labels of N rows.
        label_names: the class names of the new codes.
        where: from the number of a row to its place in words.
        names_declared: whether a file declares the order of `label_names`.
        merged: whether a label that differs from a name only in case, white space or invisible characters
            means this name.

    Returns:
        Codes, int64 `(N,)`. Missing labels stay `UNLABELLED`.

    Raises:
        DataError: a label is not in `label_names`. The message says where, and which name is similar.
    """
    code_of = {composed(name): code for code, name in enumerate(label_names)}
    key = label_key if merged else composed
    key_of = {key(name): code for name, code in code_of.items()}
    used = np.unique(column.codes[column.codes != UNLABELLED]).tolist()
    table = [
        code_of.get(composed(name), key_of.get(key(name), UNLABELLED)) for name in column.names
    ]
    unknown = _first_unlabelled(table, used)
    if unknown is not None:
        by_number = _by_number(column, label_names, used, names_declared)
        if by_number is None:
            row = int(np.flatnonzero(column.codes == unknown)[0])
            raise DataError(f"{where(row)}: {_unknown(column.names[unknown], label_names)}")
        table = by_number
    codes: NDArray[np.int64] = np.array([*table, UNLABELLED], dtype=np.int64)[column.codes]
    return codes


def with_name_notes(source: Source) -> Source:
    """The source with notes on labels that look like missing ones, and on those that are spelled alike.

    Labels are alike that differ only in case, white space or invisible characters. With
    `source.labels_merged`, they are merged into the most frequent spelling. `source` is to train on.
    """
    names = source.label_names
    counts = np.bincount(source.known_labels, minlength=len(names))
    words = [f"{n!r} ({counts[k]:,})" for k, n in enumerate(names) if n in MISSING_CELLS]
    if words:
        note = f"taken as names of classes: {', '.join(words)}; a row without a label has an empty cell"
        source = replace(source, notes=(*source.notes, note))
    spelling, variants = one_spelling_each(names, counts)
    if not variants:
        return source
    if not source.labels_merged:
        note = f"{VARIANTS} are separate classes: {variants}; --merge-labels (merge_labels=True) merges them"
        return replace(source, notes=(*source.notes, note))
    kept = sorted_names(set(spelling))
    code_of = {name: code for code, name in enumerate(kept)}
    labels = np.array([code_of[name] for name in spelling], dtype=np.int64)[source.known_labels]
    # The numbers of the file are not those of the merged names.
    merged = source.with_labels(labels, kept)
    return replace(merged, notes=(*source.notes, f"merged {VARIANTS}: {variants}"))


def size_note(label_names: Sequence[str], labels: NDArray[np.int64]) -> str:
    """The classes and their sizes, the largest first.

    >>> size_note(("cat", "dog"), np.array([1, 0, 1]))
    "classes: 'dog' 2, 'cat' 1"
    """
    counts = np.bincount(labels, minlength=len(label_names))
    order = np.argsort(-counts, kind="stable")
    shown = [f"{label_names[k]!r} {counts[k]:,}" for k in order[:_SHOWN]]
    rest = counts[order[_SHOWN:]]
    if len(rest):
        least, most = f"{rest.min():,}", f"{rest.max():,}"
        sizes = least if least == most else f"{least} to {most}"
        shown.append(f"{len(rest):,} more of {sizes} each")
    return f"classes: {', '.join(shown)}"


def _unknown(name: str, label_names: Sequence[str]) -> str:
    if _WHOLE.fullmatch(name) and not any(_WHOLE.fullmatch(known) for known in label_names):
        return (
            f"the label {name!r} is not a known class: expected one of the names {listed(label_names)}, "
            "found a number, and no file declares which number means which name; write the names here too"
        )
    alike = next((known for known in label_names if label_key(known) == label_key(name)), None)
    if alike is not None:
        return (
            f"the label {name!r} is not a known class: it differs from {alike!r} only in case, white space "
            "or invisible characters; write it the same way, or train with --merge-labels (merge_labels=True)"
        )
    return (
        f"the label {name!r} is not a known class.{nearest(name, label_names)} "
        f"Known classes: {listed(label_names)}"
    )


def _by_number(
    column: LabelColumn, label_names: Sequence[str], used: Sequence[int], names_declared: bool
) -> list[int] | None:
    """The code in `label_names` of each class of `column`, if a file declares the numbers of the names."""
    if column.declared:
        code_of = {name: code for code, name in enumerate(label_names)}
        table = [code_of.get(str(code), UNLABELLED) for code in range(len(column.names))]
    elif not names_declared or any(map(_WHOLE.fullmatch, label_names)):
        return None
    else:
        table = [_number_below(len(label_names), name) for name in column.names]
    return table if _first_unlabelled(table, used) is None else None


def _first_unlabelled(table: Sequence[int], used: Sequence[int]) -> int | None:
    return next((code for code in used if table[code] == UNLABELLED), None)


def _number_below(count: int, name: str) -> int:
    number = int(name) if _WHOLE.fullmatch(name) else UNLABELLED
    return number if 0 <= number < count else UNLABELLED


def _declared(values: Any, names: tuple[str, ...]) -> LabelColumn:
    codes: NDArray[np.int64] = (
        values.cast("int64").fill_null(UNLABELLED).to_numpy().astype(np.int64, copy=True)
    )
    invalid = codes[(codes < UNLABELLED) | (codes >= len(names))]
    if len(invalid):
        raise DataError(
            f"holds the class number {invalid[0]}, but its {len(names)} declared names have the numbers "
            f"0 to {len(names) - 1} ({UNLABELLED}: no label)"
        )
    return LabelColumn(names, codes, declared=True)


def _as_text(value: Any) -> str | None:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="replace")
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return composed(str(value).strip()) or None


def _one_spelling(names: list[str | None]) -> list[str | None]:
    """`1.0` becomes `1` if every name is a whole number; `007` is a name like any other."""
    if not all(_WHOLE_AS_DECIMAL.fullmatch(name) for name in names if name is not None):
        return names
    return [None if name is None else name.partition(".")[0] for name in names]
