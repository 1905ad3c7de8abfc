"""How often certificates hold: figures by hand, and as a grid."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, binomtest

from gdw.experiments.certificates import _wilson_width, certificate_figures, scores_of
from gdw.experiments.publish import write_document
from gdw.experiments.result_tables import group_tables
from gdw.experiments.results import Results
from tests.experiments.conftest import MakeGrid, silent


def test_scores_put_changed_labels_first() -> None:
    left_out = np.array([[0.9, 0.1], [0.6, 0.4], [0.1, 0.9], [0.2, 0.8]])
    scores = scores_of(np.array([0, 0, 0, 1]), np.array([0, 1, 1, 1]), left_out)
    assert scores.candidates == 1
    assert scores.doubt.argmax() == 2
    assert scores.doubt[2] > 0.5 > scores.doubt[1] > scores.doubt[0]
    assert scores.wrong.tolist() == [False, True, True, False]
    assert scores.suggestion_wrong.tolist() == [False, True, False, False]


def test_wilson_width_is_that_of_scipy() -> None:
    wrong = np.arange(10**6) % 5 == 0
    of_scipy = [
        np.subtract(*binomtest(x, 30).proportion_ci(method="wilson")[::-1]) for x in range(31)
    ]
    expected = binom.pmf(np.arange(31), 30, 0.2) @ of_scipy
    assert _wilson_width(wrong, 30) == pytest.approx(expected, rel=1e-3)


def test_perfect_scores_leave_little_uncertain() -> None:
    true = np.arange(700) % 3
    given = np.where(np.arange(700) % 5 == 0, (true + 1) % 3, true)
    figures = certificate_figures(scores_of(given, true, 0.94 * np.eye(3)[true] + 0.02), 12, seed=0)
    assert {f"coverage_{name}" for name in ("30", "100", "300", "chosen")} <= figures.keys()
    assert all(figures[f"coverage_{m}"] == 1 for m in (30, 100, 300))
    assert figures["width_300"] < figures["width_100"] < figures["width_30"] < 0.7
    assert figures["drop_100_found"] == figures["relabel_300_found"] == 1
    assert figures["drop_100_failed"] == 0


def test_a_grid_of_certificates(make_grid: MakeGrid) -> None:
    grid = make_grid(
        methods={"wann": {"method_options": {"k_min": 3, "k_max": 9}}},
        data_options={"meta_size": None},
        certificates=4,
    )
    assert not grid.run(jobs=1, log=silent)
    results = Results(grid.folder)
    (group,) = results.groups()
    intervals, decisions = group_tables(results, group)
    assert intervals.header[:4] == ("setting", "wrong, %", "AUROC", "30 rows")
    holds, width = map(float, intervals.rows[0][3].text.split(" / "))
    assert 0 <= holds <= 100
    assert width > 0
    assert intervals.rows[0][4].text == "·"  # 80 rows are too few for 100 verified ones
    assert decisions.rows[0][1].text.count("/") == 1
    assert "in how many of 4 draws" in intervals.note
    page = grid.folder.path / "page.md"
    write_document([results], page)
    assert "The share of wrong labels, with the scores of wann" in page.read_text("utf-8")
    with pytest.raises(Exception, match="certificates"):
        make_grid(
            methods={"wann": {"method_options": {"k_min": 3, "k_max": 9}}},
            data_options={"meta_size": None},
            certificates=5,
        ).run(jobs=1, log=silent)
