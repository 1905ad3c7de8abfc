"""What a spreadsheet makes of a cell, and back: `007` becomes 7, `true` TRUE, `1e5` 1.00E+05."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from datetime import date

from gdw.data.text_files import unescaped
from gdw.errors import DataError, composed, listed, nearest

# How spreadsheets in common languages write true and false.
_TRUE = "true wahr vrai verdadero verdadeiro vero waar sant sand prawda igaz pravda истина ja yes 1"
_FALSE = "false falsch faux falso onwaar falskt falsk fałsz hamis nepravda ложь nein no 0"
TRUTH = dict.fromkeys(_TRUE.split(), True) | dict.fromkeys(_FALSE.split(), False)
_BOOLEANS = {
    word: truth
    for word, truth in TRUTH.items()
    if word not in ("1", "0", "ja", "nein", "yes", "no")
}

_NUMBER = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?:[.,\u00a0\u202f ]\d{3})+")
_ROUNDED = re.compile(r"[+-]?\d(?:[.,](\d*))?[eE][+-]?\d+")
_DIGITS = 15
"""A spreadsheet keeps this many digits of a number."""
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_PARTS = re.compile(
    r"(\d{1,4}|[a-z]{3,9})[-/. ]?(\d{1,4}|[a-z]{3,9})(?:[-/. ](\d{1,4}))?", re.IGNORECASE
)
_FIRST_DAY = date(1899, 12, 30).toordinal()


class LabelReader:
    """From cells of a file that a spreadsheet may have saved to class codes.

    Args:
        names: the names of the classes.
        given: cells of given labels with the codes of the labels that the run knows for them. They show
            whether the spreadsheet changed the labels.
    """

    def __init__(self, names: Sequence[str], given: Iterable[tuple[str, int]]) -> None:
        self._names = names
        self._exact = {composed(name): code for code, name in enumerate(names)}
        self._by_value: dict[Hashable, set[int]] = defaultdict(set)
        self._numbers: list[tuple[float, int]] = []
        for code, name in enumerate(names):
            for value in _values(name):
                self._by_value[value].add(code)
            number = _number(name)
            if number is not None:
                self._numbers.append((number, code))
        # A name that a spreadsheet would have changed, but that is as it was, shows that none was changed.
        self._intact = any(cell == names[code] and _is_changed(names[code]) for cell, code in given)

    def candidates(self, cell: str) -> set[int]:
        """The classes whose name a spreadsheet may show as `cell`."""
        exact = self._exact.get(composed(unescaped(cell)), self._exact.get(composed(cell)))
        if exact is not None and (self._intact or _is_only_text(cell)):
            return {exact}
        found = set() if exact is None else {exact}
        for value in _values(cell):
            found |= self._by_value.get(value, set())
        return found | set(self._rounded(cell.strip()))

    def code(self, cell: str, where: str) -> int:
        """The class of a cell.

        Raises:
            DataError: no class, or several, may be meant; `where` says which cell it is.
        """
        found = self.candidates(cell)
        if len(found) == 1:
            return next(iter(found))
        if found:
            names = listed(self._names[code] for code in sorted(found))
            raise DataError(
                f"{where} {cell!r} may be any of the classes {names}, because a spreadsheet does not tell "
                "them apart: import the columns of labels as text, or edit the list with a text editor"
            )
        raise DataError(
            f"{where} {cell!r} is not a class.{nearest(cell, self._names)} Known classes: "
            f"{listed(self._names)}"
        )

    def _rounded(self, cell: str) -> Iterator[int]:
        """Classes that are numbers with more digits than the cell shows."""
        shown, number = _ROUNDED.fullmatch(cell), _number(cell)
        if number is None:
            return
        digits = len(shown[1] or "") if shown else _DIGITS - 1
        for value, code in self._numbers:
            if float(f"{value:.{digits}e}") == number:
                yield code


def number_of(cell: str) -> float:
    """The number in a cell; a spreadsheet may have written it with a decimal comma.

    Raises:
        ValueError: it is not a number.
    """
    number = _number(cell.strip())
    return float(cell) if number is None else number


def _number(text: str) -> float | None:
    return float(text.replace(",", ".")) if _NUMBER.fullmatch(text) else None


def _values(text: str) -> Iterator[tuple[str, Hashable]]:
    """Everything that a spreadsheet may take the text for."""
    plain = composed(text.strip())
    yield "text", plain
    if plain.casefold() in _BOOLEANS:
        yield "boolean", _BOOLEANS[plain.casefold()]
    percent = plain.removesuffix("%").rstrip()
    number = _number(percent)
    if number is not None:
        yield "number", number / 100 if percent != plain else number
    if _GROUPED.fullmatch(plain):
        yield "number", float(re.sub(r"[^\d+-]", "", plain))
    yield from _dates(plain)


def _dates(text: str) -> Iterator[tuple[str, Hashable]]:
    """Days of a year, and days with the number that a spreadsheet stores for them."""
    parts = _PARTS.fullmatch(text)
    if parts is None or (parts[3] is None and text.isdigit()):
        return
    first, second = _part(parts[1]), _part(parts[2])
    if parts[3] is None:
        for month, day in ((first, second), (second, first)):
            if _day(2000, month, day):
                yield "day", (month, day)
    else:
        yield from _full_dates(first, second, _part(parts[3]))


def _full_dates(first: int, second: int, third: int) -> Iterator[tuple[str, Hashable]]:
    for year, month, day in (
        (first, second, third),
        (third, first, second),
        (third, second, first),
    ):
        found = _day(_with_century(year), month, day)
        if found is not None:
            yield "date", found
            yield "number", float(found.toordinal() - _FIRST_DAY)


def _with_century(year: int) -> int:
    if not 0 <= year < 100:
        return year
    return year + (2000 if year < 30 else 1900)


def _part(part: str) -> int:
    """A number, or that of a month by its English name; -1 for other words."""
    if part.isdigit():
        return int(part)
    month = part[:3].casefold()
    return _MONTHS.index(month) + 1 if month in _MONTHS else -1


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _is_only_text(cell: str) -> bool:
    """Whether a spreadsheet shows the cell as it is, with its spaces, and takes it for nothing else."""
    return {kind for kind, _ in _values(cell)} == {"text"}


def _is_changed(name: str) -> bool:
    """Whether every spreadsheet shows this name in another way."""
    if name.casefold() in ("true", "false"):
        return name != name.upper()
    number = _number(name)
    return number is not None and name != f"{number:.15g}"
