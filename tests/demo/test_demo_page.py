"""The page of the demonstration in a browser: dark, and on a phone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gdw.demo.comparison import Outcome
from gdw.demo.contenders import CONTENDERS
from gdw.demo.demo_page import learning_curves, write_page
from gdw.report.style import NARROW
from tests.report.browser import Browser, find_chromium

CHROMIUM = find_chromium()


def outcomes() -> dict[str, Outcome]:
    """Two seeds of each contender."""
    curves = [np.linspace(0.5, 0.9, 12).tolist(), np.linspace(0.5, 0.8, 12).tolist()]
    return {
        name: Outcome(contender.title, accuracy=[0.9, 0.8], curves=curves, seconds=[1.0, 2.0],
                      wrong_labels=[0.4, 0.4], examples=[600, 600])
        for name, contender in CONTENDERS.items()
    }  # fmt: skip


def test_a_narrow_chart_has_its_legend_below_the_lines() -> None:
    assert learning_curves(outcomes()).axes[0].get_legend() is not None
    narrow = learning_curves(outcomes(), width=NARROW)
    assert narrow.axes[0].get_legend() is None
    (legend,) = narrow.legends
    assert len(legend.get_texts()) == len(CONTENDERS)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")
@pytest.mark.parametrize("width", [390, 1280])
def test_the_chart_fits_and_is_light_on_dark(width: int, tmp_path: Path) -> None:
    page = write_page(tmp_path, outcomes(), seeds=range(2))
    assert CHROMIUM is not None
    with Browser(CHROMIUM, tmp_path / "profile") as browser:
        browser.open(page, width=width, dark=True)
        assert browser.problems == []
        assert browser.run("document.documentElement.scrollWidth") == width
        seen = "[...document.querySelectorAll('svg')].filter((svg) => svg.getClientRects().length)"
        assert browser.run(f"{seen}.length") == 1
        svg, text = browser.run(f"[{seen}[0], document.querySelector('p')].map("
                                "(part) => part.getBoundingClientRect().width)")  # fmt: skip
        assert svg == text
        colour = browser.run("getComputedStyle(document.body).color")
        assert browser.run(f"getComputedStyle({seen}[0].querySelector('text')).fill") == colour
        around = f"getComputedStyle({seen}[0].closest('.picture')).backgroundColor"
        assert browser.run(around) == "rgba(0, 0, 0, 0)"
