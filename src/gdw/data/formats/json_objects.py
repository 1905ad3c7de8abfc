"""The JSON objects of a file as they are written: where each one begins and ends, and where a value is in it.

Only valid JSON is expected here: Arrow has read the file before.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from gdw.data.text_files import Content

DEEPEST = 100
"""How deep lists and objects may be nested."""

_BYTES_IN_CACHE = 1 << 18

_STRING = rb'"[^"\\\n]*(?:\\.[^"\\\n]*)*"'
# An object without objects in it. Most rows are of this kind, and one match finds their end.
_FLAT = re.compile(rb'\{[^"{}]*(?:%b[^"{}]*)*\}' % _STRING, re.DOTALL)
_TOKEN = re.compile(rb"%b|[{}\[\]]" % _STRING, re.DOTALL)
_SCALAR = re.compile(rb"[^,:{}\[\]\s]+")
_SPACE = re.compile(rb"[ \t\r\n,:]*")
# Here one object ends and the next one begins, because strings contain no line breaks.
_BETWEEN_OBJECTS = re.compile(rb"\}[ \t\r]*\n\s*(?=\{)")
_USUAL_BETWEEN = (b"}\n{", b"}\r\n{")
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

    The parsers of Arrow and Python fail for deep nesting, some of them by ending the process. Almost always
    it is enough to count the brackets between the ends of objects.
    """
    import numpy as np

    begin, places = 0, np.zeros(0, np.int64)
    for found in _may_be_nested(content):
        places = np.append(places, found)
        places = places[places >= begin]
        while len(places) >= limit:
            last = int(places[limit - 1])
            end = _last_between(content, begin, last)
            if end < 0:
                following = _BETWEEN_OBJECTS.search(content, last)
                end = len(content) if following is None else following.end()
                deep = _exactly_too_deep(content, begin, end, limit)
                if deep is not None:
                    return deep
            begin = end
            places = places[places >= begin]
    return None


def _may_be_nested(content: Content) -> Iterator[Any]:
    """Where nested lists and objects may begin: after `[`, `,` or `:`. Few brackets of texts count."""
    import numpy as np

    space, opening = 1, 2
    kinds = np.zeros(256, np.uint8)
    kinds[list(b" \t\r\n")], kinds[list(b"[,:")] = space, opening
    data = np.frombuffer(content, np.uint8)
    for start in range(0, len(data), _BYTES_IN_CACHE):
        # The bit is the only difference between the two brackets.
        found = (data[start : start + _BYTES_IN_CACHE] | (ord("[") ^ ord("{"))) == ord("{")
        places = np.flatnonzero(found) + start
        near = kinds[data[places - 1]]
        if near.any():
            far = kinds[data[places - 2]]
            yield places[(near == opening) | ((near == space) & (far > 0))]


def _last_between(content: Content, start: int, end: int) -> int:
    """Where the last object begins after another one between two places; -1 if none is found quickly."""
    found = [(content.rfind(text, start, end), len(text) - 1) for text in _USUAL_BETWEEN]
    last, length = max(found)
    if last >= 0:
        return last + length
    match = _BETWEEN_OBJECTS.search(content, start, end)
    return -1 if match is None else match.end()


def _exactly_too_deep(content: Content, start: int, end: int, limit: int) -> int | None:
    depth = 0
    for token in _TOKEN.finditer(content, start, end):
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
    # Decimals are integers of more than 64 bits.
    return json.dumps(value, ensure_ascii=item.isascii(), default=int).encode()


def _next(item: bytes, position: int) -> int:
    """Where the next key or value begins."""
    match = _SPACE.match(item, position)
    assert match is not None, "it matches the empty text"
    return match.end()
