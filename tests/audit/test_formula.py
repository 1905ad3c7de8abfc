"""Cells that a spreadsheet would run."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gdw.data.text_files import escaped, unescaped


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\tx", "\r=1"])
def test_formulas_get_an_apostrophe(cell: str) -> None:
    assert escaped(cell) == "'" + cell


@pytest.mark.parametrize(
    "cell", ["-5", "+1.5", "-1e-9", ".5", "cat", "", "'quoted'", "a=b", "it's"]
)
def test_everything_else_is_left_alone(cell: str) -> None:
    assert escaped(cell) == cell == unescaped(cell)


@settings(max_examples=60)
@given(st.text(alphabet="'=+-@\t\rab1."))
def test_reading_back_undoes_it(cell: str) -> None:
    assert unescaped(escaped(cell)) == cell
