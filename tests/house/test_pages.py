"""The Python of the pages in docs/ runs, one block after the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gdw

DOCS = Path(__file__).resolve().parents[2] / "docs"


def blocks(page: str, shorter: dict[str, str]) -> list[str]:
    """The blocks of Python on a page, with replacements that make them run faster."""
    text = (DOCS / page).read_text("utf-8")
    for long, short in shorter.items():
        assert long in text, long
        text = text.replace(long, short)
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def run(page: str, source: list[str], names: dict[str, Any]) -> dict[str, Any]:
    for block in source:
        exec(compile(block, page, "exec"), names)
    return names


def test_the_page_on_scikit_learn() -> None:
    pytest.importorskip("matplotlib").use("Agg")
    draw = np.random.default_rng(0)
    names: dict[str, Any] = {"gdw": gdw, "np": np}
    for part, size in (("", 90), ("_test", 30)):
        codes = np.arange(size) % 3
        names[f"X{part}"] = draw.normal(size=(size, 4)) + 5 * np.eye(3, 4)[codes]
        names[f"y{part}"] = np.array(["cat", "dog", "fox"])[codes]
    names["trusted"] = np.arange(90) < 30
    shorter = {"epochs=20": "epochs=1, method='mwn'", "KFold(5, shuffle": "KFold(2, shuffle"}
    source = blocks("sklearn.md", shorter)
    assert len(source) == 4
    names = run("sklearn.md", source, names)
    assert names["probabilities"].shape == (90, 3)
    assert 0 <= names["accuracy"] <= 1
    assert np.isfinite(names["search"].best_score_)
    assert names["calibrated"].predict_proba(names["X"]).shape == (90, 3)
    assert len(names["figure"].axes) == 2
    names["plt"].close("all")
