"""Tables from results that were made up, against figures worked out by hand."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from typing import Any

import pytest

from gdw.errors import RunError
from gdw.experiments.cell_settings import cell_settings
from gdw.experiments.cells import Cell, Setting, expand
from gdw.experiments.grid_folder import DOCUMENT, GridFolder
from gdw.experiments.protocol import Protocol, ProtocolPaths
from gdw.experiments.publish import publish, write_document
from gdw.experiments.result_pages import markdown
from gdw.experiments.result_tables import group_tables
from gdw.experiments.results import Results, mean_ranks
from gdw.experiments.significance import compare, holm
from gdw.train.run_folder import RunFolder
from tests.experiments.conftest import tiny

Accuracy = dict[tuple[str | None, str, int], float | str | None]
MACHINE = {"processor": "P", "threads": 1, "torch": "2", "python": "3", "gdw": "0", "system": "S"}


def made_up(folder: Path, accuracy: Accuracy, **protocol: Any) -> Results:
    """A grid whose cells, by noise, method and seed, have an accuracy, an error (a text) or nothing yet."""
    grid = GridFolder(folder)
    noises = list(dict.fromkeys(noise for noise, _, _ in accuracy))
    methods = {method: {"method": "plain"} for _, method, _ in accuracy}
    seeds = sorted({seed for _, _, seed in accuracy})
    content = {"noise": noises, "methods": methods, "seeds": seeds, **protocol}
    made: Protocol = tiny(**content)
    grid.keep_protocol(made)
    for cell in expand(made):
        value = accuracy[cell.noise, cell.method, cell.seed]
        if isinstance(value, str):
            grid.fail(cell, value)
        elif value is not None:
            finish(grid, cell, value)
    return Results(grid)


def finish(grid: GridFolder, cell: Cell, accuracy: float) -> None:
    grid.cell(cell).mkdir(parents=True)
    content = {
        "accuracy": accuracy,
        "balanced_accuracy": accuracy,
        "nll": 1 - accuracy,
        "ece": 0.1,
        "detection_auroc": None if cell.noise is None else accuracy,
        "detection_precision": None if cell.noise is None else accuracy,
        "wrong_labels": 0.3,
        "train_examples": 80,
        "clean_examples": 8,
        "averaged_epochs": 2,
        "seconds": 90.0,
        "curve": [0.1, accuracy],
        "machine": MACHINE,
    }
    DOCUMENT.write(grid.cell(cell) / "result.json", content)


TWO_BY_THREE: Accuracy = {
    (None, "a", 0): 0.80, (None, "a", 1): 0.90,
    (None, "b", 0): 0.70, (None, "b", 1): 0.72,
    (None, "c", 0): 0.90, (None, "c", 1): "it <b>broke</b> | here",
    ("flip:0.2", "a", 0): 0.50, ("flip:0.2", "a", 1): 0.50,
    ("flip:0.2", "b", 0): 0.60, ("flip:0.2", "b", 1): 0.60,
    ("flip:0.2", "c", 0): 0.60, ("flip:0.2", "c", 1): 0.60,
}  # fmt: skip


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


def test_pages_are_complete_escaped_and_open_offline(tmp_path: Path) -> None:
    about = "<script>alert(1)</script> a | b"
    methods = {name: {"method": "plain", "title": f"{name} $ <i>"} for name in "abc"}
    results = made_up(tmp_path, TWO_BY_THREE, about=about, methods=methods)
    results.folder.add_sitting({"seconds": 7200, "jobs": 2, "cores": 2, "cells": 11})
    written = publish(results)
    assert [path.name for path in written] == [
        "results.md",
        "results.json",
        "results.csv",
        "results.html",
    ]
    page = (tmp_path / "results.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert "it &lt;b&gt;broke" in page
    assert "<i>" not in page
    assert 'src="' not in page
    assert 'href="http' not in page
    assert page.count("<svg") == 3
    assert "prefers-color-scheme: dark" in page
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert "| a $ &lt;i&gt; | **85.0 ± 7.1** | 50.0 ± 0.0 | 2.0 |" in text
    assert "- time: 2.0 h (sum over runs 16.5 min, 2 at a time)" in text
    assert "- hardware: P, 2 cores" in text
    assert "- command: gdw experiment tiny --output DIR" in text
    assert "it &lt;b&gt;broke&lt;/b&gt; \\| here" in text
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {
        "accuracy-1.svg",
        "curves-blobs.svg",
        "curves-blobs__flip-0.2.svg",
    }


def test_files_for_other_programs(tmp_path: Path) -> None:
    publish(made_up(tmp_path, {**TWO_BY_THREE, ("flip:0.2", "c", 1): None}))
    with (tmp_path / "results.csv").open(encoding="utf-8") as file:
        rows = {(r["noise"], r["method"], r["seed"]): r for r in csv.DictReader(file)}
    assert len(rows) == 12
    assert rows["", "a", "1"]["accuracy"] == "0.9"
    assert rows["", "c", "1"]["state"] == "failed"
    assert rows["flip:0.2", "c", "1"]["state"] == "waiting"
    content = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    first = content["groups"][0]["scores"][0]["accuracy"]
    assert first["mean"] == pytest.approx(0.85)
    assert first["values"] == {"0": 0.8, "1": 0.9}


def test_the_same_results_give_the_same_files(tmp_path: Path) -> None:
    results = made_up(tmp_path, TWO_BY_THREE)
    once = [path.read_bytes() for path in publish(results)]
    assert once == [path.read_bytes() for path in publish(Results(GridFolder(tmp_path)))]


def test_one_document_of_several_grids(tmp_path: Path) -> None:
    grids = [made_up(tmp_path / name, TWO_BY_THREE, name=name) for name in ("one", "two")]
    page = tmp_path / "all.md"
    write_document(grids, page)
    text = page.read_text(encoding="utf-8")
    assert text.index("\n## one\n") < text.index("\n## two\n")
    assert str(tmp_path) not in text
    assert markdown(grids[0]).startswith("# one\n")
    places = re.findall(r"^!\[Test accuracy after each epoch: .+\]\((.+)\)$", text, re.MULTILINE)
    assert len(places) == len(set(places)) > 2
    for place in places:
        assert (tmp_path / place).read_text(encoding="utf-8").startswith("<svg")
    assert sorted(places) == sorted(
        f"all-curves/{file.name}" for file in (tmp_path / "all-curves").iterdir()
    )


def test_a_started_cell_shows_how_far_it_is(tmp_path: Path) -> None:
    nothing: Accuracy = {(None, "a", 0): None, (None, "b", 0): None}
    results = made_up(tmp_path, nothing)
    cell = results.cells[0]
    settings = cell_settings(
        results.protocol, cell, paths=ProtocolPaths(tmp_path), data=results.folder.data
    )
    folder = results.folder.start(cell, settings, threads=1)
    (folder / "config.yaml").write_text("{}", encoding="utf-8")
    for epoch, accuracy in enumerate((0.5, 0.625), start=1):
        RunFolder(folder).append_history({"epoch": epoch, "test_accuracy": accuracy})
    results.folder.add_sitting({"seconds": 7200, "jobs": 1, "cores": 2, "machine": MACHINE})
    text = markdown(Results(results.folder))
    epochs = settings.config.training.epochs
    assert f"{cell.setting}: a, seed 0 | 2 of {epochs} | 62.5 |" in text
    assert "- runs: 0 of 2 done, 1 started" in text
    assert "- time: 2.0 h" in text
    assert "- hardware: P, 2 cores" in text
    assert text.count("\n## ") == 1  # no table of nothing
    publish(Results(results.folder))
    page = (tmp_path / "results.html").read_text(encoding="utf-8")
    assert f"a, seed 0, 2 of {epochs} epochs" in page


def test_a_started_cell_that_cannot_be_read_stops_no_results(tmp_path: Path) -> None:
    results = made_up(tmp_path, {(None, "a", 0): 0.5, (None, "b", 0): None})
    folder = results.folder.cell(results.cells[1])
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("{}", encoding="utf-8")
    (folder / "history.jsonl").write_bytes(b"\xff\n\xff\n")
    assert Results(results.folder).started == {}
    publish(Results(results.folder))


def test_a_torn_line_of_sittings_stops_no_results_and_not_the_next_line(tmp_path: Path) -> None:
    grid = made_up(tmp_path, {(None, "a", 0): 0.5}).folder
    sitting = {"seconds": 3600, "jobs": 1, "cores": 2}
    grid.add_sitting(sitting)
    with (tmp_path / "sittings.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"seconds": 36')
    grid.add_sitting(sitting)
    assert grid.sittings() == ([sitting, sitting], 1)
    text = markdown(Results(grid))
    assert "- time: 2.0 h (" in text
    assert "; 1 damaged line(s) of sittings.jsonl not counted" in text


def test_numbers_that_are_not_finite_are_null_in_files(tmp_path: Path) -> None:
    results = made_up(tmp_path, {(None, "a", 0): 0.5, (None, "a", 1): 0.5})
    for cell in results.cells:
        path = results.folder.cell(cell) / "result.json"
        path.write_text(path.read_text().replace('"nll": 0.5', '"nll": Infinity'))
    publish(Results(results.folder))
    content = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert content["groups"][0]["scores"][0]["nll"]["mean"] is None


def test_a_page_needs_no_suffix_and_takes_its_old_pictures_away(tmp_path: Path) -> None:
    results = made_up(tmp_path / "grid", TWO_BY_THREE)
    page = tmp_path / "docs" / "results"
    write_document([results, results], page)
    pictures = set((tmp_path / "docs" / "results-curves").iterdir())
    write_document([results], page)
    left = set((tmp_path / "docs" / "results-curves").iterdir())
    assert left
    assert left < pictures
    assert page.is_file()


def test_the_command_names_the_data_wherever_the_protocol_does(tmp_path: Path) -> None:
    nothing: Accuracy = {(None, "a", 0): None}
    assert "--data-root" not in markdown(made_up(tmp_path / "none", nothing))
    base = {"data": {"path": "${data}/x.csv"}}
    assert " --data-root DIR " in markdown(made_up(tmp_path / "base", nothing, base=base))


def test_a_folder_without_a_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"holds no grid: expected protocol.yaml"):
        Results(GridFolder(tmp_path))
    (tmp_path / "protocol.yaml").write_text("format: 99\n", encoding="utf-8")
    with pytest.raises(RunError, match=r"written by a newer gdw \(format 99\)"):
        Results(GridFolder(tmp_path))
    (tmp_path / "protocol.yaml").write_text("[]\n", encoding="utf-8")
    with pytest.raises(RunError, match="is damaged"):
        Results(GridFolder(tmp_path))
