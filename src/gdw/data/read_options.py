"""How text files are read: their delimiter, quotes and encoding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from gdw.errors import ConfigError

Quoting: TypeAlias = Literal["double", "none"]

_NAMED_DELIMITERS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";"}


@dataclass(frozen=True)
class ReadOptions:
    """How `.csv`, `.tsv` and `.jsonl` files are read. Other formats ignore these options.

    >>> ReadOptions(delimiter="tab").delimiter
    '\\t'

    Attributes:
        delimiter: the character between two cells; None: a comma in `.csv`, a tab in `.tsv`. The words `tab`,
            `space`, `comma` and `semicolon` are accepted too.
        quoting: "double": a cell in double quotes may contain delimiters and line breaks. "none": quotes are
            ordinary characters, and every line is a row. None: as "double", but a quoted cell that contains
            whole rows is refused.
        encoding: the encoding, under a name that Python knows; None: UTF-8.

    Raises:
        ConfigError: an option has a value that cannot be used.
    """

    delimiter: str | None = None
    quoting: Quoting | None = None
    encoding: str | None = None

    def __post_init__(self) -> None:
        if self.delimiter is not None:
            delimiter = _NAMED_DELIMITERS.get(self.delimiter, self.delimiter)
            if len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0':
                raise ConfigError(
                    "delimiter (--delimiter, delimiter=) should be a single ASCII character such as ';', or "
                    f"one of the words tab and space, found {self.delimiter!r}"
                )
            object.__setattr__(self, "delimiter", delimiter)
        if self.quoting is not None and self.quoting not in get_args(Quoting):
            raise ConfigError(
                f"quoting (--quoting, quoting=) should be 'double' or 'none', found {self.quoting!r}"
            )
        if self.encoding is not None:
            _require_text_encoding(self.encoding)


def _require_text_encoding(name: str) -> None:
    try:
        "".encode(name)
    except (LookupError, ValueError):
        raise ConfigError(
            f"unknown encoding {name!r} (--encoding, encoding=): expected a name that Python knows, such as "
            "utf-8, utf-16, windows-1252, windows-1251, shift_jis or gb18030"
        ) from None
