"""Mean ranks and their tests, against the formulas of Demšar (2006) and figures worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from scipy.stats import chi2

from gdw.experiments.plots import pictures
from gdw.experiments.rank_table import Ranking
from gdw.experiments.result_tables import group_tables
from gdw.experiments.significance import rank_test
from tests.experiments.made_up_grids import Accuracy, made_up

# The ranks of a, b, c in seven settings; the mean ranks are 8/7, 13/7 and 3.
RANKS = [(1, 2, 3)] * 6 + [(2, 1, 3)]


def grid(settings: int) -> Accuracy:
    """Results of `a`, `b` and `c` in so many settings, in the order of `RANKS`."""
    return {
        (f"uniform:0.{i + 1:02}", method, seed): 0.9 - 0.1 * rank - 0.001 * i + 0.002 * seed
        for i in range(settings)
        for method, rank in zip("abc", RANKS[i % 7], strict=True)
        for seed in (0, 1)
    }


def test_friedman_and_nemenyi() -> None:
    found = rank_test(RANKS)
    assert found is not None
    n, k, means = 7, 3, (8 / 7, 13 / 7, 3)
    statistic = 12 * n / (k * (k + 1)) * (sum(r**2 for r in means) - k * (k + 1) ** 2 / 4)
    assert found.statistic == pytest.approx(statistic)
    assert found.p == pytest.approx(chi2.sf(statistic, k - 1))
    # Demšar's table 5 (a): q at 5 % is 2.343 for three methods.
    assert found.critical_difference == pytest.approx(
        2.343 * math.sqrt(k * (k + 1) / (6 * n)), rel=1e-3
    )
    assert rank_test(RANKS[:5]) is None
    assert rank_test([row[:2] for row in RANKS]) is None
    assert rank_test([]) is None


def test_the_table_of_ranks(tmp_path: Path) -> None:
    results = made_up(tmp_path, grid(7))
    (group,) = results.groups()
    titles = [table.title for table in group_tables(results, group)]
    assert titles[0] == "Test accuracy, %"
    table = next(t for t in group_tables(results, group) if t.title == "Mean ranks over 7 settings")
    assert table.header == (
        "method", "mean rank", "mean test accuracy, %", "first in", "worst against a, points",
    )  # fmt: skip
    # The mean over the settings of 90.1 − 10 × rank − 0.1 i, with the mean of i 3.
    assert [[entry.text for entry in row] for row in table.rows] == [
        ["a", "1.14", "78.4", "6", "—"],
        ["b", "1.86", "71.2", "1", "-10.0"],
        ["c", "3.00", "59.8", "0", "-20.0"],
    ]
    # The critical difference is 1.25: b is like a, c is not.
    assert [row[1].best for row in table.rows] == [True, True, False]
    assert "χ² = 12.3, p = 0.002" in table.note
    assert "critical difference is 1.25" in table.note
    names = [name for name, _, _ in pictures(results)]
    assert names[:2] == ["ranks-1", "accuracy-1"]


def test_many_settings_are_rows_and_have_no_picture_of_their_own(tmp_path: Path) -> None:
    results = made_up(tmp_path, grid(21))
    (group,) = results.groups()
    ranks, scores = group_tables(results, group)[:2]
    assert ranks.title == "Mean ranks over 21 settings"
    assert scores.header == ("setting", "a", "b", "c")
    assert len(scores.rows) == 21 + 1
    assert [entry.text for entry in scores.rows[0]] == [
        "blobs, uniform 0.01", "80.1 ± 0.1", "70.1 ± 0.1", "60.1 ± 0.1",
    ]  # fmt: skip
    assert scores.rows[-1][0].text == "mean rank"
    ((name, title, svg),) = pictures(results)
    assert name == "ranks-1"
    assert "critical difference" in title
    assert svg.startswith("<svg")
    ranking = Ranking.of(results, group)
    assert ranking is not None
    # With so many settings the critical difference is 0.72, and b is 0.71 behind.
    assert ranking.like_best == {"a", "b"}


def test_settings_count_when_all_methods_have_run_with_the_same_seeds(tmp_path: Path) -> None:
    accuracy = grid(8)
    for setting, method, seed in list(accuracy):
        if seed == 1 and (setting != "uniform:0.01" or method == "a"):
            accuracy[setting, method, seed] = None
    results = made_up(tmp_path, accuracy)
    (group,) = results.groups()
    ranking = Ranking.of(results, group)
    assert ranking is not None
    assert ranking.test.settings == 7


def test_without_enough_settings_there_is_no_test(tmp_path: Path) -> None:
    results = made_up(tmp_path, grid(5))
    (group,) = results.groups()
    assert not any("Mean ranks" in table.title for table in group_tables(results, group))
    assert Ranking.of(results, group) is None
