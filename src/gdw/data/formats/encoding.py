"""Which text encoding a file seems to have, when it is not the UTF-8 that is expected."""

from __future__ import annotations

import codecs
from pathlib import Path

from gdw.files.wording import shown


def wrong_encoding(path: Path) -> str:
    """What is found in `path`, which is not UTF-8, and how to convert it; in one line."""
    with path.open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            return _message(path, "it begins with the mark of UTF-16", "UTF-16")
        file.seek(0)
        for number, line in enumerate(file, start=1):
            try:
                line.decode()
            except UnicodeDecodeError as error:
                byte = line[error.start]
                found = f"line {number} has the byte 0x{byte:02x} (Latin-1, Windows-1252?)"
                return _message(path, found, "WINDOWS-1252")
    raise AssertionError(f"{path} is UTF-8")


def _message(path: Path, found: str, encoding: str) -> str:
    return (
        f"{shown(path)} is not UTF-8 text, {found}: save it as UTF-8, for example by "
        f"iconv -f {encoding} -t UTF-8"
    )
