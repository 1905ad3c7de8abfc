"""How deep JSON is nested: found without parsing, whatever the texts and the spaces are."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from gdw.data.formats import json_objects
from gdw.data.formats.json_objects import too_deep

TEXTS = ("a[{", "]}}}\n{", '\\"[[', "x: [", ", {", "é", "")


def _depth(value: Any) -> int:
    inner = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    )
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


def _value(draws: random.Random, depth: int) -> Any:
    kind = draws.random()
    if depth == 0 or kind < 0.3:
        return draws.choice((*TEXTS, 1, None))
    values = [_value(draws, depth - 1) for _ in range(draws.randint(0, 3))]
    return values if kind < 0.6 else {f"{draws.choice(TEXTS)}{k}": v for k, v in enumerate(values)}


@pytest.mark.parametrize("size", [3, 64, 1 << 18])
def test_the_depth_of_any_objects(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_objects, "_BYTES_IN_CACHE", size)
    draws = random.Random(size)
    for _ in range(300):
        items = [{"k": _value(draws, draws.randint(0, 6))} for _ in range(draws.randint(1, 5))]
        between = draws.choice(("\n", "\r\n", "\n\n", " \n "))
        indent = draws.choice((None, 0, 1))
        content = between.join(json.dumps(item, indent=indent) for item in items).encode()
        for limit in (1, 2, 3, 5):
            assert (too_deep(content, limit) is not None) == (max(map(_depth, items)) > limit)


def test_closing_brackets_in_texts_do_not_hide_the_depth() -> None:
    content = b'{"text": "}}]]",\n"x":' * 101 + b"1" + b"}" * 101
    assert too_deep(content) == content.rindex(b"{")
    assert too_deep(content.replace(b"\n", b"")) is not None
    assert too_deep(b'{"text": "' + b"[{" * 500 + b'"}\n') is None
