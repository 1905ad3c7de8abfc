"""Text files: the options of reading them, their encodings, to UTF-8 and back, and safe cells."""

from __future__ import annotations

import codecs
import mmap
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from gdw.errors import ConfigError, DataError, shown

Content: TypeAlias = bytes | mmap.mmap
"""The bytes of a file, in UTF-8."""
Quoting: TypeAlias = Literal["double", "none"]

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")

_NAMED_DELIMITERS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";"}

# The longer marks come first: the mark of UTF-32 begins with the mark of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_ENDIAN = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_ONE_BYTE = ("cp125", "cp8", "cp437", "iso8859", "koi8", "mac")
_SAMPLE = 4096
_SHOWN_CHARACTERS = 40


@dataclass(frozen=True)
class ReadOptions:
    """How `.csv`, `.tsv` and `.jsonl` files are read. Other formats ignore these options.

    >>> ReadOptions(delimiter="tab").delimiter
    '\\t'

    Attributes:
        delimiter: the character between two cells; None: a comma in `.csv`, a tab in `.tsv`, or the one of
            comma, semicolon, tab and bar that the first lines have. The words `tab`, `space`, `comma` and
            `semicolon` are accepted too.
        quoting: "double": a cell in double quotes may contain delimiters and line breaks. "none": quotes are
            ordinary characters, and every line is a row. None: as "double", but a quoted cell that contains
            whole rows is refused.
        encoding: the encoding, under a name that Python knows; None: UTF-8.
        header: whether the first line of `.csv` and `.tsv` files names the columns. Without it, they are
            called `c0`, `c1`, ...

    Raises:
        ConfigError: an option has a value that cannot be used.
    """

    delimiter: str | None = None
    quoting: Quoting | None = None
    encoding: str | None = None
    header: bool = True

    def __post_init__(self) -> None:
        if self.delimiter is not None:
            object.__setattr__(self, "delimiter", _delimiter(self.delimiter))
        if self.quoting is not None and self.quoting not in get_args(Quoting):
            raise ConfigError(
                f"quoting (--quoting, quoting=) should be 'double' or 'none', found {self.quoting!r}"
            )
        if self.encoding is not None:
            _require_text_encoding(self.encoding)


def _delimiter(name: str) -> str:
    """The character that an option names."""
    delimiter = _NAMED_DELIMITERS.get(name, name)
    if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
        raise ConfigError(
            "delimiter (--delimiter, delimiter=) should be a single ASCII character such as ';', or "
            f"one of the words tab and space, found {name!r}"
        )
    return delimiter


@contextmanager
def utf8_content(path: Path, encoding: str | None) -> Iterator[Content]:
    """The content of a file that is not empty, as UTF-8.

    Args:
        path: the file.
        encoding: its encoding; None: UTF-8. The bytes of a UTF-8 file are not checked.

    Raises:
        DataError: the file is not in this encoding.
    """
    if is_utf8(encoding):
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
        ):
            reason = _wide_encoding(content[:_SAMPLE])
            if reason is not None:
                raise DataError(_advice(path, *reason))
            yield content
        return
    assert encoding is not None
    raw = path.read_bytes()
    try:
        text = raw.decode(_exact_encoding(raw, encoding))
    except UnicodeError:
        raise DataError(not_in_encoding(path, encoding)) from None
    _refuse_utf8(path, raw, encoding)
    yield text.encode()


def write_encoded(
    pieces: Iterable[bytes], source: Path, encoding: str | None, target: Path
) -> None:
    """Write pieces of UTF-8 to a file in the encoding of the file they come from.

    Raises:
        DataError: the encoding cannot write back the bytes of the source as they are.
    """
    if is_utf8(encoding):
        with target.open("wb") as file:
            file.writelines(pieces)
        return
    assert encoding is not None
    raw = source.read_bytes()
    exact = _exact_encoding(raw, encoding)
    if raw.decode(exact).encode(exact) != raw:
        raise DataError(
            f"{shown(source)} cannot be copied byte for byte, because {encoding} writes its text in another "
            "way: save it as UTF-8 and train again"
        )
    target.write_bytes(b"".join(pieces).decode().encode(exact))


def _refuse_utf8(path: Path, raw: bytes, encoding: str) -> None:
    """Raise `DataError` if UTF-8 text would be read as an encoding of one byte per character.

    Every text can be read as such an encoding, but a text in it is hardly ever UTF-8 by chance.
    """
    if not codecs.lookup(encoding).name.startswith(_ONE_BYTE) or raw.isascii():
        return
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return
    place = next(i for i, character in enumerate(text) if not character.isascii())
    line = text[text.rfind("\n", 0, place) + 1 :].split("\n")[0].rstrip("\r")
    wrong = line.encode().decode(encoding, errors="replace")
    raise DataError(
        f"{shown(path)} is UTF-8 text: it would read {_around(wrong)!r} in {encoding}, but {_around(line)!r} "
        "in UTF-8; leave the encoding out (--encoding, encoding=), or save all files of the run as UTF-8"
    )


def is_utf8(encoding: str | None) -> bool:
    """Whether the encoding is UTF-8, with a byte order mark or without one."""
    return encoding is None or codecs.lookup(encoding).name in ("utf-8", "utf-8-sig", "ascii")


def not_in_encoding(path: Path, encoding: str | None) -> str:
    """What is wrong with a file that is not in its encoding, what it may be instead, and how to read it."""
    from gdw.data.likely_encodings import likely_readings

    raw = path.read_bytes()
    wide = _wide_encoding(raw[:_SAMPLE])
    if wide is not None and is_utf8(encoding):
        return _advice(path, *wide)
    name = encoding or "UTF-8"
    if b"\0" in raw[:_SAMPLE]:
        return f"{shown(path)} is not {name} text but binary: save its data as UTF-8 text"
    line, start, byte = _first_wrong_line(raw, encoding or "utf-8")
    place = f"line {line} has the byte 0x{byte:02x}"
    readings = likely_readings(
        raw[start : start + _SAMPLE].split(b"\n")[0].rstrip(b"\r"), without=name
    )
    if not readings:
        return f"{shown(path)} is not {name} text, {place}: is it a text file? Save it as UTF-8"
    words = ", ".join(f"{_around(text)!r} in {candidate}" for candidate, text in readings)
    which = "name the encoding" if len(readings) == 1 else "name the encoding that reads right"
    return (
        f"{shown(path)} is not {name} text, {place}: the line would read {words}; {which} "
        f"(--encoding {readings[0][0]}, encoding=), or save the file as UTF-8"
    )


def _advice(path: Path, reason: str, encoding: str) -> str:
    with path.open("rb") as file:
        text = file.read(_SAMPLE).decode(encoding, errors="ignore").lstrip("\ufeff")
    first = next(iter(text.splitlines()), "")
    return (
        f"{shown(path)} is not UTF-8 text, {reason}: its first line would read {_short(first)!r}; name the "
        f"encoding (--encoding {encoding}, encoding=), or save the file as UTF-8"
    )


def _exact_encoding(raw: bytes, encoding: str) -> str:
    """The encoding that keeps a byte order mark as a character, so that it can be written back."""
    name = codecs.lookup(encoding).name
    if name in ("utf-16", "utf-32"):
        mark = next((mark for mark, wide in _MARKS if wide == name and raw.startswith(mark)), None)
        return f"{name}-le" if mark is None else _ENDIAN[mark]
    return encoding


def _wide_encoding(sample: bytes) -> tuple[str, str] | None:
    """Why the text is UTF-16 or UTF-32, and which one; None if it does not look so."""
    for mark, encoding in _MARKS:
        if sample.startswith(mark):
            return f"it begins with the mark of {encoding.upper()}", encoding
    unmarked = _unmarked_utf16(sample)
    return None if unmarked is None else ("it looks like UTF-16 without a mark", unmarked)


def _unmarked_utf16(sample: bytes) -> str | None:
    # Most characters of a table are ASCII: in UTF-16 every other byte is then zero.
    even, odd = sample[::2], sample[1::2]
    for zeros, others, encoding in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if zeros and zeros.count(0) > len(zeros) / 3 and others.count(0) <= len(others) / 20:
            text = sample.decode(encoding, errors="ignore")
            if all(character.isprintable() or character.isspace() for character in text):
                return encoding
    return None


def _first_wrong_line(raw: bytes, encoding: str) -> tuple[int, int, int]:
    """The number and the beginning of the first line that is not in the encoding, and the wrong byte."""
    try:
        raw.decode(encoding)
    except UnicodeDecodeError as error:
        position = min(error.start, len(raw) - 1)
        start = raw.rfind(b"\n", 0, position) + 1
        return raw.count(b"\n", 0, position) + 1, start, raw[position]
    raise AssertionError("the text is in the encoding")


def _around(text: str) -> str:
    """The part of a text that has its first character beyond ASCII."""
    place = next((i for i, character in enumerate(text) if not character.isascii()), 0)
    return _short(text[max(0, place - _SHOWN_CHARACTERS // 2) :])


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _require_text_encoding(name: str) -> None:
    try:
        "".encode(name)
    except (LookupError, ValueError):
        raise ConfigError(
            f"unknown encoding {name!r} (--encoding, encoding=): expected a name that Python knows, such as "
            "utf-8, utf-16, windows-1252, windows-1251, shift_jis or gb18030"
        ) from None


def escaped(cell: str) -> str:
    """`cell`, with an apostrophe in front if a spreadsheet would run it: a formula that is not a number."""
    return f"'{cell}" if _like_formula(cell) else cell


def unescaped(cell: str) -> str:
    """The cell that `escaped` got. A cell that `escaped` did not change stays as it is."""
    return cell[1:] if cell.startswith("'") and _like_formula(cell) else cell


def _like_formula(cell: str) -> bool:
    # A cell may have apostrophes of its own: they are skipped, so that an added one can be recognised.
    core = cell.lstrip("'")
    return core.startswith(_FORMULA_STARTS) and not _NUMBER.fullmatch(core)
