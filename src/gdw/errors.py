"""The errors of `gdw`, and words of their messages. Every error raised on purpose derives from `GDWError`.

The command line prints the message of a `GDWError` in one line and exits with status 2. Any other exception
is a bug of `gdw` and keeps its traceback. Each class also derives from the built-in exception that a Python
user expects, so `except ValueError` works too.
"""

from __future__ import annotations

import difflib
import errno
import os
import re
import sys
import unicodedata
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

_LONGEST_NAME = 120


class GDWError(Exception):
    """Base of all errors that `gdw` raises on purpose. Its message is safe to show, see `printable`."""

    def __init__(self, *args: object, **named: Any) -> None:
        super().__init__(*(printable(a) if isinstance(a, str) else a for a in args), **named)


class ConfigError(GDWError, ValueError):
    """An option, or a combination of options, cannot be used."""


class DataError(GDWError, ValueError):
    """Data cannot be read, or cannot be trained on."""


class ModelError(GDWError, RuntimeError):
    """The output of a model does not fit the batch or the method."""


class RunError(GDWError):
    """A run folder exists already, is damaged, or was written by a newer version."""


class OutputError(GDWError, OSError):
    """A file or folder cannot be written: the disk is full, or the place is read-only or missing."""

    @classmethod
    def of(cls, reason: OSError, path: str | Path) -> OutputError:
        """The error that `path` cannot be written for the reason of an error of the operating system."""
        why = os.strerror(reason.errno) if reason.errno else str(reason)
        return cls(reason.errno or 0, why, str(path))

    @property
    def fact(self) -> str:
        """What cannot be written, and why, without advice."""
        return f"cannot write {shown(self.filename)}: {self.strerror}"

    def __str__(self) -> str:
        return self.fact + _OUTPUT_ADVICE.get(self.errno or 0, "")


_OUTPUT_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "; make room on that disk"),
    **dict.fromkeys(
        (errno.EACCES, errno.EPERM, errno.EROFS), "; change its permissions or choose another place"
    ),
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR), "; make its folder or choose another place"),
    errno.EEXIST: "; another process is using it",
    errno.ELOOP: "; it is a link, and gdw writes through no links in its folders: remove it",
}


class MissingDependencyError(GDWError, ImportError):
    """An optional package is not installed. The message has the command that installs it."""


class DivergenceError(GDWError, ArithmeticError):
    """A loss or parameter became infinite or NaN in training."""

    def __init__(self, message: str, *, epoch: int, step: int) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.step = step


# Letters that are taken for figures.
_ALIKE = str.maketrans("oli", "011")


def nearest(found: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return ` Did you mean 'x'?` with the closest known name, or an empty text if none is close.

    >>> nearest("resnetl8", ["resnet18", "resnet8", "resnet28"])
    " Did you mean 'resnet18'?"
    """
    by_look = {name.lower().translate(_ALIKE): name for name in known}
    look = found.lower().translate(_ALIKE)
    close = difflib.get_close_matches(look, list(by_look), n=1, cutoff=cutoff)
    return f" Did you mean {by_look[close[0]]!r}?" if close else ""


# Control characters but for the line feed, marks that change the writing direction, half surrogates.
_UNSAFE = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
)
_LINE_BREAK = re.compile(r"\s*[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]\s*")
# `np.str_('cat')`, `np.int64(3)`, `np.True_`: how NumPy 2 shows its scalars in Python code.
_NUMPY_SCALAR = re.compile(
    r"""\bnp\.[a-z]+\d*_?\(('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[-+.\w]*)\)|\bnp\.(True|False)_"""
)


def printable(text: str) -> str:
    """Return the text as it is safe to show on a terminal.

    What could move the cursor, change colours or reverse the reading order is shown as an escape such as
    `\\x1b`, NumPy scalars as plain ones.

    >>> print(printable("a\\x1b[31mred\\x1b[0m class"), printable("np.str_('cat')"))
    a\\x1b[31mred\\x1b[0m class 'cat'
    """
    plain = (
        _NUMPY_SCALAR.sub(lambda found: found[1] or found[2] or "", text) if "np." in text else text
    )
    return _UNSAFE.sub(lambda found: repr(found[0])[1:-1], plain)


def shown(path: str | os.PathLike[str]) -> str:
    """Return the path as text that fits on one line, whatever characters it contains."""
    text = os.fsencode(path).decode("utf-8", errors="replace")
    return text if text.isprintable() else repr(text)


def one_line(reason: object) -> str:
    """An exception or text as one line; the name of an exception that says nothing.

    Spaces inside a line stay: names may differ in nothing else.
    """
    return _LINE_BREAK.sub(" ", str(reason).strip()) or type(reason).__name__


def composed(text: str) -> str:
    """The text in the Unicode form NFC, where `é` is one character. File names on macOS have two."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def listed(names: Iterable[str], limit: int = 12) -> str:
    """Return the names as text, `'a', 'b', 'c' and 4 more`; at most `limit` of them."""
    return shortened([brief(name, _LONGEST_NAME) for name in names], limit)


def shortened(parts: Sequence[str], limit: int) -> str:
    """Return texts as one, `a, b and 4 more`; at most `limit` of them."""
    rest = len(parts) - limit
    return ", ".join(parts[:limit]) + (f" and {rest} more" if rest > 0 else "")


def counted(number: int, one: str, several: str = "") -> str:
    """Return a number of things in words.

    >>> counted(1, "row"), counted(1200, "row"), counted(2, "class has", "classes have")
    ('1 row', '1,200 rows', '2 classes have')
    """
    return f"{number:,} {one if number == 1 else several or f'{one}s'}"


def brief(value: object, limit: int = 200) -> str:
    """The value as in Python code, cut to `limit` characters.

    >>> brief([1] * 1000, limit=12)
    '[1, 1, 1, 1,...'
    """
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}..."


def duration(seconds: float) -> str:
    """A time for a person: `less than a minute`, `about 12 min`, `about 3.5 h`."""
    return "less than a minute" if seconds < 55 else f"about {short_duration(seconds)}"


def short_duration(seconds: float) -> str:
    """A time in a narrow column: `40 s`, `12 min`, `3.5 h`, `2.5 days`."""
    if seconds < 55:
        return f"{max(1, round(seconds))} s"
    minutes = max(1, round(seconds / 60))
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes / 60:.1f} h" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"


def warn_user(message: str, category: type[Warning]) -> None:
    """Warn, and name the user's line: the last one outside of gdw and of pydantic, which calls gdw."""
    frame, level = sys._getframe(), 1
    while frame.f_back is not None and _package(frame) in ("gdw", "pydantic"):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


def _package(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", "")).partition(".")[0]
