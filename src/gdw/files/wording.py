"""How names and paths are written in error messages, which are one line each."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def shown(path: str | Path) -> str:
    """The path as text that fits on one line, whatever characters the file system allowed in it."""
    text = os.fsencode(path).decode("utf-8", errors="replace")
    return text if text.isprintable() else repr(text)


def listed(names: Iterable[str], limit: int = 12) -> str:
    """`'a', 'b', 'c' and 4 more`."""
    quoted = [repr(name) for name in names]
    rest = len(quoted) - limit
    return ", ".join(quoted[:limit]) + (f" and {rest} more" if rest > 0 else "")
