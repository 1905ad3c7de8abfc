"""The JSON objects of a file as they are written: where each one begins and ends, and where a value is in it.

Only valid JSON is expected here: Arrow has read the file before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from gdw.data.text_files import Content

_BYTES_AT_ONCE = 1 << 24

DEEPEST = 100
"""How deep lists and objects may be nested."""

# What `translate` leaves out is never looked at again: most of a file.
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]\n"))
_BYTES_IN_CACHE = 1 << 19

_STRING = rb'"[^"\\]*(?:\\.[^"\\]*)*"'
# An object without objects in it. Most rows are of this kind, and one match finds their end.
_FLAT = re.compile(rb'\{[^"{}]*(?:%b[^"{}]*)*\}' % _STRING, re.DOTALL)
_TOKEN = re.compile(rb"%b|[{}\[\]]" % _STRING, re.DOTALL)
_SCALAR = re.compile(rb"[^,:{}\[\]\s]+")
_SPACE = re.compile(rb"[ \t\r\n,:]*")
_REST_OF_LINE = re.compile(rb"[ \t]*(?:\r\n|\n|\r)?")


def objects(content: Content, start: int = 0) -> Iterator[tuple[int, int]]:
    """Where each object begins and ends, with the spaces and the line end that follow it.

    What is between two objects, such as an empty line, belongs to none. The objects end at the first one that
    is not closed.
    """
    position = content.find(b"{", start)
    while position >= 0:
        end = value_end(content, position)
        if end < 0:
            return
        rest = _REST_OF_LINE.match(content, end)
        assert rest is not None, "it matches the empty text"
        yield position, rest.end()
        position = content.find(b"{", end)


def value_end(content: Content, start: int) -> int:
    """Where the value that begins at `start` ends; -1 if it does not end."""
    first = content[start : start + 1]
    if first not in (b"{", b"["):
        match = (_TOKEN if first == b'"' else _SCALAR).match(content, start)
        return -1 if match is None else match.end()
    flat = _FLAT.match(content, start)
    if flat is not None:
        return flat.end()
    depth = 0
    for token in _TOKEN.finditer(content, start):
        if token[0] in (b"{", b"["):
            depth += 1
        elif token[0] in (b"}", b"]"):
            depth -= 1
            if depth == 0:
                return token.end()
    return -1


def too_deep(content: Content, limit: int = DEEPEST) -> int | None:
    """Where a list or object begins that is nested deeper than `limit`; None if there is none.

    The parsers of Arrow and Python fail for deep nesting, some of them by ending the process.
    """
    brackets = b"".join(
        content[start : start + _BYTES_IN_CACHE].translate(None, _NO_BRACKETS)
        for start in range(0, len(content), _BYTES_IN_CACHE)
    )
    return _exactly_too_deep(content, limit) if _may_be_too_deep(brackets, limit) else None


def _may_be_too_deep(content: bytes, limit: int) -> bool:
    """Whether counting the brackets of each line does not rule it out; they may be a part of texts."""
    import numpy as np

    depth, start, size = 0, 0, len(content)
    while start < size:
        end = content.find(b"\n", start + _BYTES_AT_ONCE) + 1 or size
        data = np.frombuffer(content[start:end], np.uint8)
        lines = np.append(np.flatnonzero(data == ord("\n")) + 1, len(data))

        def in_lines(one: str, other: str, data: Any = data, lines: Any = lines) -> Any:
            places = np.flatnonzero((data == ord(one)) | (data == ord(other)))
            return np.diff(np.searchsorted(places, lines), prepend=0)

        opened = in_lines("{", "[")
        after = depth + np.cumsum(opened - in_lines("}", "]"))
        before = np.append(depth, after[:-1])
        lowest = np.minimum.accumulate(np.minimum(before, 0))
        if (before - lowest + opened).max() > limit:
            return True
        depth, start = int(after[-1] - min(after.min(), 0)), end
    return False


def _exactly_too_deep(content: Content, limit: int) -> int | None:
    depth = 0
    for token in _TOKEN.finditer(content):
        depth += (token[0] in (b"{", b"[")) - (token[0] in (b"}", b"]"))
        if depth > limit:
            return token.start()
    return None


def value_span(item: bytes, key: str) -> tuple[int, int] | None:
    """Where the value under a key begins and ends in an object; None if the object does not have the key."""
    position = 1
    while True:
        begin = _next(item, position)
        if item[begin : begin + 1] != b'"':
            return None
        end = value_end(item, begin)
        value = _next(item, end)
        position = value_end(item, value)
        if json.loads(item[begin:end]) == key:
            return value, position


def spelled_like(item: bytes, value: Any) -> bytes:
    """A value as JSON, with characters beyond ASCII escaped if the object has none of them."""
    return json.dumps(value, ensure_ascii=item.isascii()).encode()


def _next(item: bytes, position: int) -> int:
    """Where the next key or value begins."""
    match = _SPACE.match(item, position)
    assert match is not None, "it matches the empty text"
    return match.end()
