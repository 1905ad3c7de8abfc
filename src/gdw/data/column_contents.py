"""What columns hold: numbers with a few odd cells (`-`, `#N/A`, `1 234`), codes, prose, images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.images import IMAGE_SUFFIXES, is_image

# What people and spreadsheets write where a number is missing, in lower case. In a column of numbers these
# cells are always missing values, however many there are. In a column of names they are names.
_MARKERS = (
    *("-", "--", "---", "\u2010", "\u2011", "\u2012", "\u2013", "\u2014", "\u2212", ".", "..", "...", "*"),
    *("#n/a", "#na", "#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!", "#error!"),
    *("na", "n.a.", "n.a", "n/a", "<na>", "nat", "nil", "null", "none", "nan", "undefined"),
    *("unknown", "missing", "not available", "not applicable", "no data", "nodata", "not reported", "tbd"),
)  # fmt: skip

# More odd cells than this share are no accident: the column holds names, some of which are numbers. With
# fewer rows than the second number, one odd cell is too many.
_ODD_SHARE = 0.1
_SMALL = 8
_SAMPLE = 1000

# The spellings that Arrow reads as numbers.
_NUMBER = r"(?i)^[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?|nan(?:\(\w*\))?)$"
# Letters before digits: `V27` among `250.83` is a code of a catalogue, and so are the numbers.
_CODE = r"^\pL{1,4}[-./]?\d[\w.\-]*$"
_CODE_SHARE = 0.005
_LEADING_ZERO = r"^0\d"
# With a decimal comma, groups of three digits, a currency, a percent sign or a unit.
_FORMATTED = re.compile(
    r"[+-]?\d+,\d+|[+-]?\d{1,3}(?:[ .,'\u00a0\u202f]\d{3})+(?:[.,]\d+)?"
    r"|[$€£¥]\s?[\d.,]*\d|[+-]?\d[\d.,]*\s?[%‰$€£¥°]"
)
# So few whole numbers may be codes of categories, and a frequent mark one more category.
_CODES = 12

# A few files of another kind in a column of image files are faults, which the check of the images names.
_IMAGE_SHARE = 0.9
_BYTES_SAMPLE = 20

IDENTIFIER_SHARE = 0.95

# Scripts without spaces between words: Thai to Khmer, kana and Chinese characters.
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_UNSPACED_LENGTH = 6
_WORDS = 3
_WORD = re.compile(r"[^\W\d_]")


@dataclass(frozen=True)
class OddCells:
    """The cells of a column with numbers that are not numbers.

    Attributes:
        count: how many there are.
        example: the most frequent one.
        few: whether they are so few that the column holds numbers, and they are missing values.
    """

    count: int
    example: str
    few: bool


def half_numbers(distinct: Any) -> bool:
    """Whether at least half of the distinct cells at the start of a column are numbers; else it is names."""
    import pyarrow.compute as pc

    start = distinct.slice(0, _SAMPLE)
    numbers = pc.sum(pc.or_(_are_numbers(start), _are_markers(start))).as_py() or 0
    return bool(2 * numbers >= len(start))


def odd_cells(cells: Any, counts: Any) -> OddCells | None:
    """The odd cells of a column, or None if its numbers are codes.

    A column holds numbers if at most a tenth of its cells are odd. The usual marks of missing values (`-`,
    `#N/A`, `unknown`, ...) do not count, unless the numbers are a few whole ones that repeat. A column holds
    names if its numbers have leading zeros or stand next to codes such as `V27`.

    Args:
        cells: the distinct cells, a `pyarrow.Array` without spaces around them; null for a missing value.
        counts: how often each occurs.
    """
    import pyarrow.compute as pc

    present = pc.is_valid(cells)
    cells, counts = cells.filter(present), counts.filter(present)
    numbers = _are_numbers(cells)
    odd = pc.invert(numbers)
    rows = _sum(counts, numbers)
    if _hold_codes(cells, counts, numbers, rows):
        return None
    strange = odd
    if not _few_whole(cells.filter(numbers), rows):
        strange = pc.and_(odd, pc.invert(_are_markers(cells)))
    most = pc.index(counts.filter(odd), pc.max(counts.filter(odd))).as_py()
    example = str(cells.filter(odd)[most].as_py())
    return OddCells(_sum(counts, odd), example, few=_are_few(_sum(counts, strange), rows))


def formatted_number(sample: Sequence[str]) -> str | None:
    """One of the texts if nearly all are numbers with a decimal comma, spaces, a unit or a sign; else None.

    >>> formatted_number(["3,14", "2,72"]), formatted_number(["12.5 %"]), formatted_number(["1,2,3", "b"])
    ('3,14', '12.5 %', None)
    """
    formatted = [text for text in sample if _FORMATTED.fullmatch(text.strip())]
    many = len(formatted) >= (1 - _ODD_SHARE) * len(sample) > 0
    return formatted[0].strip() if many else None


def hold_codes(cells: Any, *, ids: bool) -> bool:
    """Whether cells that hold numbers are codes: a few whole ones that repeat, or numbers with leading zeros.

    Args:
        cells: a `pyarrow.ChunkedArray` without spaces around its texts; null for a missing value.
        ids: whether they hardly repeat, so that whole numbers are codes too.
    """
    import pyarrow.compute as pc

    numbers = cells.filter(pc.fill_null(_are_numbers(cells), False))
    distinct = numbers.unique()
    if pc.any(pc.match_substring_regex(distinct, _LEADING_ZERO)).as_py():
        return True
    return _few_whole(distinct, len(numbers)) or (ids and _are_whole(distinct))


def without_markers(values: Any) -> Any:
    """The cells of a column of numbers, with null for the usual marks of missing values."""
    return nulled(values, _are_markers(values))


def without_odd_cells(values: Any) -> Any:
    """The cells of a column of numbers, with null for every cell that is not a number."""
    import pyarrow.compute as pc

    return nulled(values, pc.invert(_are_numbers(values)))


def _hold_codes(cells: Any, counts: Any, numbers: Any, rows: int) -> bool:
    """Whether the distinct `cells` are codes; `rows` of their rows are numbers."""
    import pyarrow.compute as pc

    codes = pc.match_substring_regex(cells, _CODE)
    if (pc.sum(codes).as_py() or 0) > 1 and _sum(counts, codes) > _CODE_SHARE * rows:
        return True
    return bool(pc.any(pc.match_substring_regex(cells.filter(numbers), _LEADING_ZERO)).as_py())


def _few_whole(numbers: Any, rows: int) -> bool:
    """Whether the distinct `numbers` of `rows` rows are a few whole numbers that repeat."""
    return len(numbers) <= _CODES and rows > 2 * len(numbers) and _are_whole(numbers)


def _are_whole(numbers: Any) -> bool:
    import pyarrow.compute as pc

    return bool(pc.all(pc.match_substring_regex(numbers, r"^-?\d+$")).as_py())


def _are_few(odd: int, rows: int) -> bool:
    return rows > 0 and (odd <= _ODD_SHARE * (rows + odd) or (odd == 1 and rows + odd >= _SMALL))


def _are_numbers(values: Any) -> Any:
    import pyarrow.compute as pc

    return pc.match_substring_regex(values, _NUMBER)


def _are_markers(values: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.is_in(pc.utf8_lower(values), value_set=pa.array(_MARKERS, values.type))


def nulled(values: Any, mask: Any) -> Any:
    """The values with null where `mask` is true."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(mask, pa.scalar(None, values.type), values)


def _sum(counts: Any, mask: Any) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(counts.filter(mask)).as_py() or 0)


def is_text(kind: Any) -> bool:
    """Whether a `pyarrow.DataType` is text; a dictionary of texts is text."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def is_prose(sample: Sequence[str]) -> bool:
    """Whether most texts of `sample` have several words, and most differ from one another."""
    prose = sum(_has_words(text) for text in sample)
    return 2 * prose > len(sample) and 2 * len(set(sample)) > len(sample)


def are_sentences(sample: Sequence[str]) -> bool:
    """Whether most texts of `sample` have several words in lower case, unlike names of people and places.

    >>> are_sentences(["the parcel came too late"]), are_sentences(["Braund, Mr. Owen Harris"])
    (True, False)
    """
    return 2 * sum(map(_is_sentence, sample)) > len(sample)


def _is_sentence(text: str) -> bool:
    # Scripts without upper case count too.
    words = sum(token[0].isalpha() and not token[0].isupper() for token in text.split())
    return words >= _WORDS or len(_UNSPACED.findall(text)) >= 2 * _UNSPACED_LENGTH


def mostly_distinct(sample: Sequence[str]) -> bool:
    """Whether almost every text of `sample` occurs once."""
    return len(set(sample)) > IDENTIFIER_SHARE * len(sample)


def _has_words(text: str) -> bool:
    words = sum(_WORD.search(token) is not None for token in text.split())
    return words > 1 or len(_UNSPACED.findall(text)) >= _UNSPACED_LENGTH


def holds_images(values: Any) -> bool:
    """Whether a column, a `pyarrow.ChunkedArray`, holds images: bytes, `{bytes, path}`, or names of files."""
    import pyarrow as pa

    kind = values.type
    if pa.types.is_struct(kind):
        fields = {kind.field(i).name for i in range(kind.num_fields)}
        return bool(fields) and fields <= {"bytes", "path"}
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        # Other bytes, such as checksums, are not images.
        return any(is_image(value) for value in sample_values(values, _BYTES_SAMPLE))
    if not is_text(kind):
        return False
    sample = sample_values(values)
    images = sum(name.lower().endswith(IMAGE_SUFFIXES) for name in sample)
    return bool(sample) and images >= _IMAGE_SHARE * len(sample)


def even_steps(values: Any, start: int) -> tuple[float, float] | None:
    """The first number of a column and the step to the next, if all steps are alike and not zero; else None.

    The first `start` values are looked at first.
    """
    for part in (values.slice(0, start), values):
        numbers = _floats(part)
        steps = np.diff(numbers) if numbers is not None else np.zeros(0)
        if not (len(steps) and steps[0] and np.allclose(steps, steps[0], rtol=1e-6, atol=0)):
            return None
    assert numbers is not None, "it has steps"
    return float(numbers[0]), float(steps[0])


def _floats(values: Any) -> NDArray[np.float64] | None:
    """The values as float64; None if one is not a number, or missing."""
    import pyarrow as pa

    try:
        numbers = values.cast(pa.float64())
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    found: NDArray[np.float64] = numbers.to_numpy()
    return found if len(found) and np.isfinite(found).all() else None


def sample_values(values: Any, size: int = _SAMPLE) -> list[Any]:
    """Up to `size` values that are not empty, from all parts of the column: files are often sorted."""
    rows = np.unique(np.linspace(0, len(values) - 1, size).astype(np.int64))
    return [value for value in values.take(rows).to_pylist() if value]
