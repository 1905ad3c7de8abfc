"""Files and pages from results that were made up: what they say, and that damage in a grid stops none."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest

from gdw.errors import RunError
from gdw.experiments.cell_settings import cell_settings
from gdw.experiments.clean_curve import clean_curve, series_of
from gdw.experiments.grid_folder import GridFolder
from gdw.experiments.protocol import ProtocolPaths
from gdw.experiments.publish import publish, write_document
from gdw.experiments.result_pages import markdown
from gdw.experiments.results import Results
from gdw.train.run_folder import RunFolder
from tests.experiments.made_up_grids import MACHINE, TWO_BY_THREE, Accuracy, made_up


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
    assert page.count("<svg") == 2 * 3
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


def test_data_sets_of_a_series_give_a_curve(tmp_path: Path) -> None:
    accuracy: Accuracy = {(None, m, s): 0.5 + 0.1 * s for m in "ab" for s in (0, 1)}
    one: dict[str, object] = {"blobs_0": {"series": "x $ <y>"}}
    assert series_of(made_up(tmp_path / "one", accuracy, data=one)) == {}, "a single point"
    data = {f"blobs_{size}": {"series": "x $ <y>"} for size in (0, 10, 20)} | {"other": {}}
    results = made_up(tmp_path / "grid", accuracy, data=data)
    assert [s.data for s in series_of(results)["x $ <y>"]] == ["blobs_0", "blobs_10", "blobs_20"]
    figure = clean_curve(results, {m: {"color": "k"} for m in results.protocol.methods})
    top = figure.axes[0]
    none, mean = (line.get_xydata() for line in top.lines[:2])
    assert np.asarray(none)[:, 1].tolist() == pytest.approx([55, 55]), (
        "a line without clean examples"
    )
    assert np.asarray(mean).tolist() == [pytest.approx([10, 55]), pytest.approx([20, 55])]
    publish(results)
    assert (tmp_path / "grid/plots/clean-set.svg").is_file()
    assert (
        "Results against the size of the clean set" in (tmp_path / "grid/results.html").read_text()
    )


def test_a_curve_of_answers_is_over_the_minutes_of_a_person(tmp_path: Path) -> None:
    accuracy: Accuracy = {(None, m, 0): 0.5 for m in "ab"}
    data = {f"blobs_{size}": {"series": "x", "answers": size} for size in (50, 200)}
    methods = {"a": {"method": "plain"}, "b": {"method": "l2rw", "answers": {"strategy": "mixed"}}}
    results = made_up(
        tmp_path,
        accuracy,
        data=data,
        methods=methods,
        seconds_per_answer=3,
        data_options={"meta_size": None},
    )
    figure = clean_curve(results, {m: {"color": "k"} for m in results.protocol.methods})
    top, bottom = figure.axes
    assert np.asarray(top.lines[1].get_xydata())[:, 0].tolist() == [50, 200]
    assert [label.get_text() for label in bottom.get_xticklabels()] == ["2.5", "10"]
    assert bottom.get_xlabel() == "minutes, 3 s an answer"


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


def test_time_by_the_clock_says_what_it_lacks(tmp_path: Path) -> None:
    grid = made_up(tmp_path, {(None, "a", 0): 0.5, (None, "a", 1): 0.5}).folder
    grid.add_sitting({"seconds": 3600, "jobs": 2, "cores": 2, "cells": 1})
    text = markdown(Results(grid))
    assert "at a time); the clock lacks sittings that were killed, with 1 runs" in text


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
