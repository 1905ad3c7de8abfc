"""What can go wrong, by whose hands: every error `gdw` raises on purpose derives from `GDWError`.

The command line prints the message of a `GDWError` as one line and exits with status 2; anything else is
a bug of ours and keeps its traceback. Each class also derives from the built-in exception that a
Python user would expect, so `except ValueError` goes on working.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class GDWError(Exception):
    """Base of all errors that `gdw` raises on purpose."""


class ConfigError(GDWError, ValueError):
    """An option, or a combination of options, that cannot be used."""


class DataError(GDWError, ValueError):
    """Data that cannot be read, or cannot be trained on."""


class ModelError(GDWError, RuntimeError):
    """A model whose output does not fit the batch or the method."""


class RunError(GDWError):
    """A run folder that exists already, is damaged, or was written by a newer version."""


class MissingDependencyError(GDWError, ImportError):
    """An optional package is not installed; the message holds the command that installs it."""


class DivergenceError(GDWError, ArithmeticError):
    """Training produced a loss that is not finite."""

    def __init__(self, message: str, *, epoch: int, step: int) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.step = step


def nearest(found: str, known: Iterable[str]) -> str:
    """` Did you mean 'x'?` for the known name closest to `found`, or nothing if none is close."""
    names = list(known)
    by_lower = {name.lower(): name for name in names}
    close = difflib.get_close_matches(found.lower(), list(by_lower), n=1, cutoff=0.6)
    return f" Did you mean {by_lower[close[0]]!r}?" if close else ""
