"""Columns of text whose values hardly repeat: identifiers, names, prose."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gdw.data.columns import cells

# A small table may have different values by chance; in a larger one, so many are the mark of an identifier.
_FEWEST_ROWS = 50
_SHARE = 0.95

# Scripts that put no space between words: Thai to Khmer, kana and Chinese characters.
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_UNSPACED_LENGTH = 6
_WORD = re.compile(r"[^\W\d_]")


def reads_like_text(sample: Sequence[str]) -> bool:
    """Whether most values of `sample` are several words, and most differ from one another."""
    prose = sum(_is_prose(value) for value in sample)
    return 2 * prose > len(sample) and 2 * len(set(sample)) > len(sample)


def nearly_all_differ(sample: Sequence[str]) -> bool:
    """Whether hardly a value of `sample` occurs twice."""
    return len(set(sample)) > _SHARE * len(sample)


def tells_rows_apart(values: Any, *, untyped: bool) -> bool:
    """Whether hardly one text of a `pyarrow.ChunkedArray` occurs twice, in enough rows to mean something.

    One column for each such text would let a model learn rows by heart, and nothing about new ones.
    """
    import pyarrow as pa

    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    present = (cells(values) if untyped else values).drop_null()
    return len(present) >= _FEWEST_ROWS and len(present.unique()) > _SHARE * len(present)


def _is_prose(value: str) -> bool:
    words = sum(_WORD.search(token) is not None for token in value.split())
    return words > 1 or len(_UNSPACED.findall(value)) >= _UNSPACED_LENGTH
