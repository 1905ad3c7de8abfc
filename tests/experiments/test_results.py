"""Scores, ranks and tables from results that were made up, against figures worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from gdw.experiments.cells import Setting
from gdw.experiments.result_tables import group_tables
from gdw.experiments.results import mean_ranks
from gdw.experiments.significance import compare, holm
from tests.experiments.made_up_grids import TWO_BY_THREE, made_up


def test_the_figures_of_the_table(tmp_path: Path) -> None:
    results = made_up(tmp_path, TWO_BY_THREE)
    (group,) = results.groups()
    table = group_tables(results, group)[0]
    assert table.header == ("method", "blobs", "blobs, flip 0.2", "mean rank")
    # 0.8 and 0.9: mean 0.85, deviation 0.1 / √2. Ranks: a 1 and 3; b 2 and 1.5; c failed, so 3, and 1.5.
    assert [[entry.text for entry in row] for row in table.rows] == [
        ["a", "85.0 ± 7.1", "50.0 ± 0.0", "2.0"],
        ["b", "71.0 ± 1.4", "60.0 ± 0.0", "1.8"],
        ["c", "90.0 (1 of 2 failed)", "60.0 ± 0.0", "2.2"],
    ]
    assert [[entry.best for entry in row] for row in table.rows] == [
        [False, True, False, False],
        [False, False, True, True],
        [False, False, True, False],
    ]
    assert mean_ranks(results, group) == ({"a": 2.0, "b": 1.75, "c": 2.25}, 2)


def test_where_the_reference_stands_in_each_setting(tmp_path: Path) -> None:
    results = made_up(tmp_path, TWO_BY_THREE, reference="a")
    (group,) = results.groups()
    (table,) = [t for t in group_tables(results, group) if "best other method" in t.title]
    # Of c one seed failed: no verdict. Under noise a is behind by 10, of 0.0.
    assert [[entry.text for entry in row] for row in table.rows] == [
        ["blobs", "85.0 ± 7.1", "c: 90.0 (1 of 2 failed)", "-5.0", "—"],
        ["blobs, flip 0.2", "50.0 ± 0.0", "b: 60.0 ± 0.0", "-10.0", "behind"],
    ]
    ahead = made_up(tmp_path / "other", TWO_BY_THREE, reference="b")
    table = next(t for t in group_tables(ahead, group) if "best other method" in t.title)
    assert [row[-1].text for row in table.rows] == ["—", "within one std"]
    close = {**TWO_BY_THREE, (None, "c", 0): 0.80, (None, "c", 1): 0.80}
    near = made_up(tmp_path / "near", close, reference="a")
    table = next(t for t in group_tables(near, group) if "best other method" in t.title)
    assert [row[-1].text for row in table.rows] == ["within one std", "behind"]


def test_ranks_and_differences_are_of_the_protocols_measure(tmp_path: Path) -> None:
    results = made_up(tmp_path, TWO_BY_THREE, measure="balanced_accuracy")
    for found in results.results.values():
        found["balanced_accuracy"] = 1 - found["accuracy"]
    (group,) = results.groups()
    first = group_tables(results, group)[0]
    assert first.title == "Balanced accuracy, %"
    assert first.header[-1] == "mean rank"
    assert mean_ranks(results, group)[0]["a"] == 1.5
    assert results.paired_differences(group, "a", "b") == pytest.approx([-0.1, -0.18, 0.1, 0.1])


def test_unfinished_settings_do_not_count_for_ranks(tmp_path: Path) -> None:
    accuracy = {**TWO_BY_THREE, (None, "b", 1): None}
    results = made_up(tmp_path, accuracy)
    (group,) = results.groups()
    table = group_tables(results, group)[0]
    assert [row[1].text for row in table.rows][1] == "70.0 (1 of 2 seeds)"
    assert mean_ranks(results, group) == ({"a": 3.0, "b": 1.5, "c": 1.5}, 1)
    assert not results.complete


def test_settings_with_other_methods_are_another_table(tmp_path: Path) -> None:
    cells = [{"noise": None, "methods": ["a"]}, {"noise": "flip:0.2"}]
    results = made_up(tmp_path, TWO_BY_THREE, cells=cells)
    first, second = results.groups()
    assert first.methods == ("a",)
    assert (second.settings, second.methods) == (
        (Setting("blobs", "flip:0.2", None),),
        ("a", "b", "c"),
    )


def test_the_comparison_is_paired(tmp_path: Path) -> None:
    results = made_up(tmp_path, TWO_BY_THREE, reference="b")
    (group,) = results.groups()
    # a − b: 0.1, 0.18, −0.1, −0.1; c − b has no pair where c failed.
    assert results.paired_differences(group, "a", "b") == pytest.approx([0.1, 0.18, -0.1, -0.1])
    assert results.paired_differences(group, "c", "b") == pytest.approx([0.2, 0.0, 0.0])
    table = group_tables(results, group)[-1]
    assert table.title == "Paired differences from b"
    assert [entry.text for entry in table.rows[0]][:5] == ["a", "+2.0 ± 14.2", "2 / 2", "4", "—"]
    assert "run more seeds" in table.note


def test_paired_tests() -> None:
    # Six differences of one sign: the signed-rank test gives 2 / 2⁶; t = mean / (deviation / √6).
    found = compare([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert found.p_wilcoxon == pytest.approx(2 / 64)
    assert (found.n, found.better, found.worse) == (6, 6, 0)
    assert found.mean == pytest.approx(0.35)
    from scipy.stats import t

    assert found.p_t == pytest.approx(2 * t.sf(0.35 / (found.spread / 6**0.5), 5))
    assert compare([0.1] * 5).p_wilcoxon is None
    assert compare([0.0, 0.0]).p_t is None
    assert compare([]).n == 0


def test_holm_steps_down() -> None:
    # Sorted: 0.01 × 3, then max with 0.02 × 2, then with 0.5 × 1.
    found = holm({"x": 0.5, "y": 0.01, "z": 0.02, "none": None})
    assert found == {"x": 0.5, "y": pytest.approx(0.03), "z": pytest.approx(0.04), "none": None}
