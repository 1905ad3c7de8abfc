"""The records of delimited text as they are in the file: where each one begins, its cells, the header.

The rules are those of Arrow's reader, so that both find the same rows. A cell that begins with a quote ends
at the next single quote; separators and line breaks in between are a part of it, and two quotes stand for
one. Quotes elsewhere are ordinary characters. Unlike for Arrow, spaces may precede the first quote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from gdw.data.text_files import Content, ReadOptions, not_in_encoding
from gdw.errors import DataError, shown

QUOTES_ARE_TEXT = 'read quotes as ordinary characters (--quoting none, quoting="none")'

# Excel reads the delimiter from a first line such as `sep=;`.
_EXCEL_DELIMITER = re.compile(rb'"?sep=([^"\r\n])"?[\r\n]+')

DELIMITERS = (b",", b";", b"\t", b"|")

_BYTES_AT_ONCE = 1 << 24
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def count(content: Content, character: bytes) -> int:
    """How often a character occurs in the content."""
    return sum(
        content[start : start + _BYTES_AT_ONCE].count(character)
        for start in range(0, len(content), _BYTES_AT_ONCE)
    )


def line_of(content: Content, position: int) -> int:
    """The number of the line at a position in the content, from 1."""
    before = content[:position]
    return 1 + before.count(b"\n") + before.count(b"\r") - before.count(b"\r\n")


class Record(NamedTuple):
    """One record.

    Attributes:
        start: where it begins in the content.
        raw: its bytes, with its line end.
    """

    start: int
    raw: bytes

    @property
    def body(self) -> bytes:
        """The record without its line end."""
        ends = 2 if self.raw.endswith(b"\r\n") else 1 if self.raw.endswith((b"\n", b"\r")) else 0
        return self.raw[: len(self.raw) - ends]


class Records:
    """The records of delimited text.

    Args:
        content: the text in UTF-8.
        delimiter: the character between two cells.
        quoted: whether a cell in quotes may contain separators and line breaks. If false, quotes are ordinary
            characters.
    """

    def __init__(self, content: Content, delimiter: str, *, quoted: bool = True) -> None:
        self.content = content
        self.delimiter = delimiter.encode()
        self.quoted = quoted
        separator = re.escape(self.delimiter)
        plain = b"[^\r\n%b]*" % separator
        # Spaces that separate cells cannot be the spaces before a quote.
        self._indent = b"" if delimiter == " " else b" *"
        opening = self._indent + b'"' if quoted else b"(?!)"
        inner = rb'[^"]*(?:""[^"]*)*'
        self._cell = re.compile(rb'(?:%b(%b)("|\Z))?(%b)' % (opening, inner, plain))
        # `findall` with this pattern is faster than a loop. Each match but the first begins with a delimiter.
        self._cells = re.compile(rb"(?:\A|%b)%b" % (separator, self._cell.pattern))
        cell = rb'(?:%b%b(?:"|\Z))?%b' % (opening, inner, plain)
        self._record = re.compile(rb"%b(?:%b%b)*(?:\r\n|\r|\n|\Z)" % (cell, separator, cell))

    def read(self, start: int | None = None) -> Iterator[Record]:
        """The records that begin at `start` or after it; a byte order mark belongs to none."""
        position = self.beginning if start is None else start
        size = len(self.content)
        while position < size:
            end = self.content.find(b"\n", position) + 1
            raw = self.content[position:end]
            if not end or b"\r" in raw[:-2] or (self.quoted and b'"' in raw):
                match = self._record.match(self.content, position)
                assert match is not None, "every text matches"
                end = match.end()
                raw = self.content[position:end]
            yield Record(position, raw)
            position = end

    @property
    def beginning(self) -> int:
        """Where the first record begins: after a byte order mark."""
        return len(_BYTE_ORDER_MARK) if self.content[:3] == _BYTE_ORDER_MARK else 0

    def cells(self, record: Record) -> list[bytes]:
        """The values of the cells, with the spaces around them; an empty line has none."""
        body = record.body
        if not body:
            return []
        if not self.quoted or b'"' not in body:
            return body.split(self.delimiter)
        return [
            quoted.replace(b'""', b'"') + rest if quoted else rest
            for quoted, _, rest in self._cells.findall(body)
        ]

    def span(self, record: Record, column: int) -> tuple[int, int]:
        """Where the raw cell of a column begins and ends in `record.raw`."""
        for number, match in enumerate(self._matches(record.body)):
            if number == column:
                return match.span()
        raise AssertionError("the record has no such column")

    def quoted_like(self, cell: str, value: str) -> str:
        """A value as a raw cell, in quotes if the raw `cell` has quotes or the value needs them."""
        needed = value.startswith('"') or any(c in value for c in self.delimiter.decode() + "\r\n")
        if self.quoted and (cell.startswith('"') or needed):
            return '"' + value.replace('"', '""') + '"'
        return value

    def unclosed(self, record: Record) -> int | None:
        """Where the quote that is never closed is in the content; None if there is none."""
        if self.quoted and record.start + len(record.raw) == len(self.content):
            for match in self._matches(record.body):
                if match[1] is not None and not match[2]:
                    return record.start + match.start(1) - 1
        return None

    def broken_cell(self, record: Record) -> int | None:
        """Where the first cell with a line break begins in the content; None if there is none."""
        for match in self._matches(record.body):
            if b"\n" in match[0] or b"\r" in match[0]:
                return record.start + match.start() + len(match[0]) - len(match[0].lstrip(b" "))
        return None

    def has_spaced_quotes(self) -> bool:
        """Whether a quote that follows spaces may begin a cell."""
        before = (self.delimiter, b"\r", b"\n", b"")
        for match in re.finditer(b' "', self.content) if self._indent else ():
            position = match.start()
            while self.content[position - 1 : position] == b" ":
                position -= 1
            if self.content[max(position - 1, 0) : position] in before:
                return True
        return False

    def _matches(self, body: bytes) -> Iterator[re.Match[bytes]]:
        position = 0
        while True:
            match = self._cell.match(body, position)
            assert match is not None, "every text matches"
            yield match
            position = match.end() + 1
            if position > len(body):
                return


@dataclass(frozen=True)
class Layout:
    """The records of a file, the names of its columns, and where the first record after the header begins.

    Notes say what was found out about the file: its delimiter, or lines at the top that are not rows.
    """

    path: Path
    records: Records
    names: list[str]
    start: int
    notes: tuple[str, ...] = ()

    def rows(self) -> Iterator[Record]:
        """The records after the header, with empty lines."""
        return self.records.read(self.start)


def find_layout(path: Path, content: Content, options: ReadOptions, delimiter: str) -> Layout:
    """The layout of a file; `delimiter` is that of the format, unless the options or the file name one."""
    quoted = options.quoting != "none"
    records = Records(content, options.delimiter or delimiter, quoted=quoted)
    records, start, own = _after_excel(records, own=options.delimiter is None)
    notes: tuple[str, ...] = ()
    first = next((record for record in records.read(start) if record.body), None)
    if first is not None and may_be_odd(first.body, records.delimiter, own=own):
        from gdw.data.formats.first_lines import first_record

        records, start, notes = first_record(records, first, options, own=own)
    for record in records.read(start):
        require_closed(path, records, record)
        cells = records.cells(record)
        if cells and not options.header:
            return Layout(path, records, [f"c{k}" for k in range(len(cells))], record.start, notes)
        if cells:
            names = _names(path, cells, records.delimiter.decode(), options.encoding)
            return Layout(path, records, names, record.start + len(record.raw), notes)
    raise DataError(f"{shown(path)} has no rows: expected a header line and at least one example")


def _after_excel(records: Records, *, own: bool) -> tuple[Records, int, bool]:
    """Read the line `sep=;` at the start, by which Excel names the delimiter.

    Args:
        records: by the delimiter of the format or of the options.
        own: whether the file may choose the delimiter.

    Returns:
        The records, where they begin, and whether the first lines may still choose the delimiter.
    """
    line = _EXCEL_DELIMITER.match(records.content, records.beginning)
    if line is None:
        return records, records.beginning, own
    if own and line[1].isascii():
        records = Records(records.content, line[1].decode(), quoted=records.quoted)
        return records, line.end(), False
    return records, line.end(), own


def may_be_odd(line: bytes, delimiter: bytes, *, own: bool) -> bool:
    """Whether the first line may be a comment, or have another delimiter (if `own` is true)."""
    return line.lstrip().startswith(b"#") or (
        own and any(other != delimiter and other in line for other in DELIMITERS)
    )


def _names(path: Path, cells: list[bytes], delimiter: str, encoding: str | None) -> list[str]:
    try:
        # Files that were joined have marks of the byte order in other places than the beginning.
        names = [cell.decode().strip().strip("\ufeff") for cell in cells]
    except UnicodeDecodeError:
        raise DataError(not_in_encoding(path, encoding)) from None
    if len(names) == 1:
        _refuse_other_delimiter(path, names[0], delimiter)
    return names


def _refuse_other_delimiter(path: Path, header: str, delimiter: str) -> None:
    other = next((c for c in (",", ";", "\t", "|") if c != delimiter and c in header), None)
    if other is not None:
        word = "tab" if other == "\t" else repr(other)
        raise DataError(
            f"{shown(path)} should be separated by {delimiter!r}, but its header has {other!r}, and its "
            f"first rows do not all have as many cells by that: train with --delimiter {word} (delimiter=), "
            f"or save the file with {delimiter!r} between the cells"
        )


def require_closed(path: Path, records: Records, record: Record) -> None:
    quote = records.unclosed(record)
    if quote is not None:
        raise DataError(
            f"line {line_of(records.content, quote)} of {shown(path)} is broken: its cell begins with a "
            f"quote that is never closed; close it, or {QUOTES_ARE_TEXT}"
        )


def wrong_width(layout: Layout, record: Record, width: int) -> str:
    records = layout.records
    place = f"line {line_of(records.content, record.start)} of {shown(layout.path)}"
    counts = f"has {width} values, but the header has {len(layout.names)}"
    begin = records.broken_cell(record)
    if begin is None:
        hint = f", or {QUOTES_ARE_TEXT}" if b'"' in record.raw and records.quoted else ""
        return f"{place} {counts}: check its quotes and separators{hint}"
    first, last = (
        line_of(records.content, begin),
        line_of(records.content, record.start + len(record.body)),
    )
    return (
        f"{place} {counts}: a quoted cell begins at line {first}, and the row ends at line {last}; close the "
        f"quote of line {first}, or {QUOTES_ARE_TEXT}"
    )
