"""Cells of text as features: which mean a missing value, decimal commas, and the type of a column of cells.

In features of every format, and of data frames, the cells `MISSING_CELLS` are missing values. In columns of
numbers the usual marks of `gdw.data.column_contents` are too. Labels, texts and other columns keep them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from gdw.data.column_contents import OddCells, half_numbers, is_text, nulled, odd_cells
from gdw.errors import counted, shortened

if TYPE_CHECKING:
    from gdw.data.columns import ColumnType
    from gdw.data.rows import Rows
    from gdw.data.source import Source

MISSING_CELLS = (
    *("", "?", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "NaT"),
    *("NULL", "null", "None", "none"),
)
"""The texts that are missing values in features."""

_SHOWN = 8

_DECIMAL_COMMA = r"^([+-]?\d+),(\d+)$"


@dataclass(frozen=True)
class Cells:
    """The type of a column of delimited text, and what of it does not look like that type.

    Attributes:
        type: number, category or missing.
        odd: the cells that are not numbers in a column that has numbers.
        comma: a number with a decimal comma, if the column has some; else empty.
    """

    type: ColumnType
    odd: OddCells | None = None
    comma: str = ""


def read_cells(values: Any, *, decimal_comma: bool = False) -> Cells:
    """The type of a column of delimited text, a `pyarrow.ChunkedArray`.

    With `decimal_comma`, `3,14` is a number.
    """
    distinct = clean_cells(values.unique()).drop_null()
    if len(distinct) == 0:
        return Cells("missing")
    comma = _with_comma(distinct) if decimal_comma else ""
    distinct = with_points(distinct) if comma else distinct
    if _all_numbers(distinct):
        return Cells("number", comma=comma)
    if not half_numbers(distinct):
        return Cells("category")
    counted = values.value_counts()
    cells = clean_cells(counted.field(0))
    odd = odd_cells(with_points(cells) if comma else cells, counted.field(1))
    return Cells("number" if odd is not None and odd.few else "category", odd, comma)


def clean_cells(values: Any) -> Any:
    """The cells of delimited text without the spaces around them; null where they mean a missing value."""
    import pyarrow.compute as pc

    trimmed = pc.utf8_trim_whitespace(values)
    return nulled(trimmed, _mean_missing(trimmed))


def without_missing_words(values: Any) -> Any:
    """Texts as they are, with null where they mean a missing value."""
    import pyarrow.compute as pc

    return nulled(values, _mean_missing(pc.utf8_trim_whitespace(values)))


def cell_notes(rows: Rows, types: Mapping[str, ColumnType]) -> tuple[str, ...]:
    """How many words in columns of names are missing values, and which columns have decimal commas."""
    names = [name for name, type_ in types.items() if type_ == "category"]
    numbers = [name for name, type_ in types.items() if type_ == "number"]
    return (*_comma_notes(rows, numbers), *_word_notes(rows, names))


def _comma_notes(rows: Rows, numbers: Sequence[str]) -> list[str]:
    commas = {name: rows.cells(name).comma for name in numbers} if rows.decimal_comma else {}
    found = [name for name, comma in commas.items() if comma]
    if not found:
        return []
    columns = shortened([repr(name) for name in found], _SHOWN)
    return [
        f"decimal commas are read in columns of numbers, such as {commas[found[0]]} in {columns}"
    ]


def _word_notes(rows: Rows, names: Sequence[str]) -> list[str]:
    words = {name: _missing_words(rows.arrow(name)) for name in names}
    found = [f"{count:,} {word!r} in {name!r}" for name in names for word, count in words[name]]
    if not found:
        return []
    return [
        f"read as missing values, which are a category: {shortened(found, _SHOWN)}; if one of them "
        "is a name, spell it in another way"
    ]


def _missing_words(values: Any) -> list[tuple[str, int]]:
    """How often each of `MISSING_CELLS` but the empty one occurs in a `pyarrow.ChunkedArray`."""
    import pyarrow.compute as pc

    if not is_text(values.type):
        return []
    counted = values.value_counts()
    words = pc.utf8_trim_whitespace(counted.field(0).cast("string"))
    present = _mean_missing(words)
    found = zip(words.filter(present).to_pylist(), counted.field(1).filter(present), strict=True)
    counts: Counter[str] = Counter()
    for word, count in found:
        counts[word or ""] += count.as_py()
    return [(word, count) for word, count in counts.items() if word]


def noting_empty_texts(source: Source) -> Source:
    """The same texts; if some are empty or white space, with a note that counts them."""
    import pyarrow.compute as pc

    texts = source.rows.arrow(source.feature_columns[0], source.row_numbers)
    if not is_text(texts.type):
        return source
    filled = pc.sum(pc.greater(pc.utf8_length(pc.utf8_trim_whitespace(texts)), 0)).as_py() or 0
    if filled == len(texts):
        return source
    are = counted(len(texts) - filled, "text is empty: it says", "texts are empty: they say")
    return replace(source, notes=(*source.notes, f"{are} nothing of the class"))


def with_points(values: Any) -> Any:
    """Texts with decimal points in place of decimal commas."""
    import pyarrow.compute as pc

    if not pc.any(pc.match_substring(values, ",")).as_py():
        return values
    return pc.replace_substring_regex(values, _DECIMAL_COMMA, r"\1.\2")


def _with_comma(distinct: Any) -> str:
    """A number with a decimal comma; empty if there is none."""
    import pyarrow.compute as pc

    found = distinct.filter(pc.match_substring_regex(distinct, _DECIMAL_COMMA))
    return str(found[0].as_py()) if len(found) else ""


def _mean_missing(trimmed: Any) -> Any:
    """For each text without spaces around it, whether it means a missing value."""
    import pyarrow.compute as pc

    return pc.is_in(trimmed, options=_missing_cells(trimmed.type))


@lru_cache  # Tables may have many columns.
def _missing_cells(type_: Any) -> Any:
    from pyarrow import array, compute

    return compute.SetLookupOptions(array(MISSING_CELLS, type_))


def _all_numbers(values: Any) -> bool:
    import pyarrow as pa

    try:
        values.cast(pa.float64())
    except pa.ArrowInvalid:
        return False
    return True


def other_spelling(text: str, known: Collection[str]) -> str:
    """A whole number as `known` has it: "1" for "1.0", or "1.0" for "1"; other texts as they are."""
    whole = text.removesuffix(".0")
    if whole.removeprefix("-").isdecimal():
        return next((name for name in (whole, f"{whole}.0") if name in known), text)
    return text
