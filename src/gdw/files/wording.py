"""Write names and paths in messages of one line."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path


def shown(path: str | Path) -> str:
    """Return the path as text that fits on one line, whatever characters it contains."""
    text = os.fsencode(path).decode("utf-8", errors="replace")
    return text if text.isprintable() else repr(text)


def composed(text: str) -> str:
    """The text in the Unicode form NFC, where `é` is one character. File names on macOS have two."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def listed(names: Iterable[str], limit: int = 12) -> str:
    """Return the names as text, `'a', 'b', 'c' and 4 more`; at most `limit` of them."""
    quoted = [repr(name) for name in names]
    rest = len(quoted) - limit
    return ", ".join(quoted[:limit]) + (f" and {rest} more" if rest > 0 else "")
