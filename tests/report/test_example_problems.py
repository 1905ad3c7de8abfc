"""Near-duplicates, outliers and poor images on the page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from gdw.audit.audit_files import DUPLICATES, read_duplicates, read_issues
from gdw.errors import RunError
from gdw.report import write_report
from tests.data.files import image_folder, png
from tests.report import fabricated as made
from tests.report.browser import Browser, find_chromium
from tests.report.test_page import read

NAMES = ("cat", "dog")
LEAK = "1 of 9 test examples has a near-duplicate in the training data (1 with another label)"


def add_problems(
    run: Path, pairs: list[tuple[Any, ...]], columns: dict[int, dict[str, Any]]
) -> None:
    """Add columns to the rows of `label_issues.csv`, the pairs, and the figures of the audit."""
    path = run / "label_issues.csv"
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    empty = {"near_duplicate_of": "", "duplicate_labels_differ": "false", "outlier_score": "0.1",
             "is_outlier": "false", "image_problem": ""}  # fmt: skip
    rows = [{**empty, **columns.get(i, {})} for i in range(len(frame))]
    pd.concat([frame, pd.DataFrame(rows)], axis=1).to_csv(path, index=False)
    head = [
        f"{side}{name}" for side in ("", "other_") for name in ("part", "row", "where", "label")
    ]
    pd.DataFrame(pairs, columns=[*head, "similarity", "labels_differ"]).to_csv(
        run / DUPLICATES, index=False
    )
    audit = json.loads((run / "audit.json").read_text())
    audit["data_problems"] = {
        "near_duplicates": 2, "duplicate_labels_differ": 1, "outliers": 1,
        "image_problems": {"dark": 1}, "notes": [],
        "leaks": [{"part": "test", "among": "training data", "found": 1, "differ": 1, "examples": 9}],
    }  # fmt: skip
    (run / "audit.json").write_text(json.dumps(audit))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on twelve images; the last of its list are near-duplicates, an outlier and a dark image."""
    folder = tmp_path_factory.mktemp("problems")
    files = {f"cat/{i:02}.png": png((20 * i, 0, 0)) for i in range(12)}
    data = image_folder(folder / "images", files)
    test = image_folder(folder / "test", {"dog/x.png": png((9, 9, 200))})
    form: dict[str, Any] = {"kind": "image", "columns": ("image",)}
    run = made.run_folder(folder / "run", NAMES, data=str(data), **form)
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("test: null", f"test: {test}"))
    assert str(test) in config.read_text()
    places = [str(data / name) for name in files]
    made.add_issues(run, [(place, "cat", "dog", 0.9 - i / 20) for i, place in enumerate(places)])
    made.add_audit(run, NAMES, 12)
    pairs = [
        ("training", 9, places[9], "cat", "training", 8, places[8], "cat", 1.0, "false"),
        (
            "training",
            9,
            places[9],
            "cat",
            "test",
            0,
            str(test / "dog" / "x.png"),
            "dog",
            0.99,
            "true",
        ),
    ]
    add_problems(run, pairs, {
        8: {"near_duplicate_of": places[9]},
        9: {"near_duplicate_of": f"{places[8]}; and more", "duplicate_labels_differ": "true"},
        10: {"is_outlier": "true", "outlier_score": "0.8"},
        11: {"image_problem": "dark"},
    })  # fmt: skip
    return run


def test_examples_with_problems_are_on_the_page_beside_their_near_duplicates(run: Path) -> None:
    text, tags = read(write_report(run, examples=3))
    assert f"{LEAK}: the test accuracy is too good." in text
    assert (
        "Among the training examples: 2 with near-duplicates (1 with another label), 1 outlier, 1 dark image."
        in text
    )
    assert "The first 3 of 12 training examples are here" in text
    assert "After them come 4 others" in text
    assert tags.count("img") == 3 + 4 + 2
    # Of two near-duplicates the one with another label is shown.
    assert "other label: dog" in text.replace("other label:  dog", "other label: dog")
    assert "x.png (test example), label dog" in text


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    command = find_chromium()
    if command is None:
        pytest.skip("needs Chromium")
    with Browser(command, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.mark.parametrize("width", [962, 1024, 1280])
def test_the_list_with_decisions_and_near_duplicates_fits_the_page(
    run: Path, browser: Browser, width: int
) -> None:
    browser.open(write_report(run, examples=3), width=width)
    decided = "<div class=soft>decided: <bdi>automobile</bdi></div>"
    browser.run(
        "for (const cell of document.querySelectorAll('#issues tbody td.n')) "
        f"cell.insertAdjacentHTML('beforeend', '{decided}')"
    )
    list_of = "document.getElementById('issues').parentElement"
    assert browser.run(f"{list_of}.scrollWidth - {list_of}.clientWidth") == 0


@pytest.mark.parametrize("dark", [False, True])
def test_the_list_is_filtered_by_problem_also_on_a_phone(
    run: Path, browser: Browser, dark: bool
) -> None:
    browser.open(write_report(run, examples=3), width=320, dark=dark)
    assert browser.problems == []
    assert browser.run("document.documentElement.scrollWidth") == 320
    problem = "document.getElementById('filters').elements.problem"
    assert browser.run(f"[...{problem}.options].map((option) => option.value)") == [
        "", "duplicate", "differ", "outlier", "image",
    ]  # fmt: skip
    rows = "[...document.querySelectorAll('#issues tbody tr')]"
    seen = f"{rows}.filter((row) => !row.hidden).map((row) => row.dataset.rank)"
    for value, ranks in (
        ("duplicate", ["4", "5"]), ("differ", ["4"]), ("outlier", ["6"]), ("image", ["7"]),
    ):  # fmt: skip
        browser.run(f"{problem}.focus()")
        browser.run(
            f"{problem}.value = '{value}'; {problem}.dispatchEvent(new Event('input', {{bubbles: true}}))"
        )
        assert browser.run(seen) == ranks
    # Decisions work on these examples as on the others; the browser keeps that of the first time.
    button = "document.querySelector('#issues tbody tr[data-rank=\"7\"] .decision button')"
    browser.run(f"{button}.getAttribute('aria-pressed') === 'true' || {button}.click()")
    assert browser.run("document.getElementById('decided').textContent").startswith("1 of 7 decid")


def test_a_list_without_these_columns_is_read_as_before(tmp_path: Path) -> None:
    run = made.run_folder(tmp_path / "run", NAMES, data="gone.csv")
    made.add_issues(run, [("row 1 of gone.csv", "cat", "dog", 0.9)])
    made.add_audit(run, NAMES, 40)
    frame = read_issues(run / "label_issues.csv")
    assert frame["near_duplicate_of"].tolist() == [""]
    assert frame["is_outlier"].tolist() == [False]
    text, _ = read(write_report(run))
    assert "near-duplicate" not in text
    assert "Problem of the example" not in text


def test_a_damaged_file_of_pairs_is_one_line(run: Path, tmp_path: Path) -> None:
    damaged = tmp_path / DUPLICATES
    damaged.write_text("part,row\ntraining,1\n")
    with pytest.raises(RunError, match=r"duplicates.csv is damaged.*run gdw audit again"):
        read_duplicates(damaged)
    assert len(read_duplicates(run / DUPLICATES)) == 2
