"""Examples of hypothesis do not depend on what else is loaded."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

_CONSTANTS = "\n".join(f"NUMBER_{k} = {k * 1_000_003 + 17}" for k in range(200))


def _examples() -> list[int]:
    drawn: list[int] = []

    @settings(max_examples=300, database=None)
    @given(st.integers())
    def draw(number: int) -> None:
        drawn.append(number)

    draw()
    return drawn


def test_loading_a_module_changes_no_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _examples()
    (tmp_path / "module_full_of_numbers.py").write_text(_CONSTANTS, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("module_full_of_numbers")
    assert _examples() == before
