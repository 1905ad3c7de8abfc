"""What the page may ask, read strictly: everything else is refused in one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from gdw.data.verification.answers import KINDS

_LONGEST_WINDOW = 64
_LONGEST_TIME = 86_400.0


class RefusedError(Exception):
    """A request that is refused.

    Attributes:
        status: the HTTP status.
        message: why, in one line.
        more: what else the page is told.
    """

    def __init__(self, status: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status, self.message, self.more = status, message, more


@dataclass(frozen=True)
class Reply:
    """An answer as the page sends it.

    Attributes:
        n: the number of the row in the list.
        answer: the kind of answer.
        codes: the classes.
        seconds: how long it took.
        seen: the `Progress.revision` of the row that the person has seen.
        window: the window of the browser.
    """

    n: int
    answer: str
    codes: tuple[int, ...]
    seconds: float | None
    seen: int
    window: str


def reply_of(content: Mapping[str, Any], *, rows: int, classes: int) -> Reply:
    """Check an answer: a row of the list, a known kind, and known classes, as many as the kind has."""
    kind = content.get("answer")
    if kind not in KINDS or kind == "undone":
        raise RefusedError(400, f"unknown answer {str(kind)[:40]!r}")
    return Reply(
        number_of(content, "n", below=rows),
        str(kind),
        _codes(content.get("labels", []), str(kind), classes),
        _seconds(content.get("seconds")),
        number_of(content, "seen", below=1 << 31),
        window_of(content),
    )


def _codes(codes: Any, kind: str, classes: int) -> tuple[int, ...]:
    if not isinstance(codes, list) or not all(_is_number(k) and 0 <= k < classes for k in codes):
        raise RefusedError(400, "labels must be numbers of classes")
    wanted = {"label": len(codes) == 1, "several": True}.get(kind, not codes)
    if not wanted:
        raise RefusedError(400, f"{len(codes)} classes do not fit the answer {kind!r}")
    return tuple(dict.fromkeys(codes))


def _seconds(seconds: Any) -> float | None:
    fits = isinstance(seconds, (int, float)) and 0 <= seconds < _LONGEST_TIME
    return round(float(seconds), 2) if fits else None


def number_of(content: Mapping[str, Any], name: str, *, below: int) -> int:
    """A whole number from 0 on."""
    value = content.get(name)
    if not _is_number(value) or not 0 <= value < below:
        raise RefusedError(400, f"{name} must be a whole number from 0 to {below - 1}")
    return int(value)


def window_of(content: Mapping[str, Any]) -> str:
    """The name that a window of the browser has given itself."""
    name = content.get("window", "")
    if not isinstance(name, str) or len(name) > _LONGEST_WINDOW:
        raise RefusedError(400, "window must be a short text")
    return name


def _is_number(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
