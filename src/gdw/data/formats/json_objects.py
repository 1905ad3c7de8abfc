"""The JSON objects of a file as they are written: where each one begins and ends, and where a value is in it.

Only valid JSON is expected here: Arrow has read the file before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from gdw.data.formats.records import Content

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
