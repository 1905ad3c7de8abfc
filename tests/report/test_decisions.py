"""Decisions on the page: made by hand, kept by the browser, saved, and applied by `gdw audit`."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gdw.cli.app import app
from gdw.data.verification import Answer, Journal, answers_of
from gdw.data.verification import read as verification
from gdw.report import write_report
from gdw.runs.auditing import audit
from gdw.runs.decisions import issues_to_verify
from tests.data.files import image_folder, png
from tests.report import fabricated as made
from tests.report.browser import Browser, find_chromium

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")

NAMES = ("plain", 'a, "b"', "two\nlines", "=1+1", "größe 中文", "'@quoted", "<b>&amp;")
SAVED = "label_issues_reviewed.csv"
DECIDED = "document.getElementById('decided').textContent"
FOCUS = "document.activeElement.dataset.rank"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert CHROMIUM is not None
    with Browser(CHROMIUM, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def gdw(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result.output


def trained(data: str, *options: str) -> None:
    """A run in `run` with its audit and its page."""
    gdw("train", data, *options, "--epochs", "2", "--batch-size", "20",
        "--model", "mlp:4", "--method", "plain", "--accelerator", "cpu", "--output", "run")  # fmt: skip
    gdw("audit", "run", "--top", "0")
    gdw("report", "run")


def key(browser: Browser, letter: str) -> None:
    browser.press(letter, code=ord(letter.upper()), text=letter)


def choose_other(browser: Browser, name: str) -> None:
    key(browser, "o")
    browser.type(name)
    browser.press("Enter", code=13, text="\r")


def click(browser: Browser, name: str) -> None:
    browser.run(f"document.getElementById('{name}').click()")


def read(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def saved_by(browser: Browser, folder: Path) -> list[list[str]]:
    browser.download_into(folder)
    click(browser, "save")
    return read(browser.downloaded(folder / SAVED))


def page_command(browser: Browser) -> list[str]:
    _, *words = shlex.split(browser.run("document.querySelector('#use pre').textContent"))
    return words


def test_decisions_on_a_table_are_exactly_the_changes_of_the_copy(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    with Path("my data.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [
                ("size", "kind"),
                *((f"{x:.3f}", NAMES[i % 7]) for i, x in enumerate(random.random(210))),
            ]
        )
    trained("my data.csv", "--label", "kind")
    browser.open(Path("run/report.html"), width=1280)
    assert browser.run(DECIDED) == "No decisions yet, 200 examples."
    click(browser, "start")
    assert browser.run(FOCUS) == "1"
    wanted = list(NAMES)
    for name in wanted:
        choose_other(browser, name)
    key(browser, "r")
    key(browser, "k")
    key(browser, "r")
    key(browser, "u")
    assert browser.run(FOCUS) == "10"
    before = browser.run(DECIDED)
    assert before.startswith("9 of 200 decided")
    browser.open(Path("run/report.html"), width=390)
    assert browser.run(DECIDED) == before
    header, *rows = saved_by(browser, tmp_path)
    assert browser.problems == []
    assert header == ["index", "where", "given_label", "suggested_label", "score", "is_label_issue",
                      "decision"]  # fmt: skip
    assert [row[-1] for row in rows[9:]] == ["undecided"] * 191
    gdw(*page_command(browser))
    original, copy = read(Path("my data.csv")), read(Path("my data-cleaned.csv"))
    places = [int(row[1].split()[1]) for row in rows[:8]]
    expected = [list(row) for row in original]
    for place, name in zip(places, wanted, strict=False):
        expected[1 + place][1] = name
    del expected[1 + places[7]]
    assert copy == expected


def test_decisions_on_images_and_on_a_phone(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ("a, b", "=1+1", "größe")
    image_folder(
        tmp_path / "photos",
        {f"{names[i % 3]}/{i}.png": png((40 * (i % 3), i, 0), (6, 6)) for i in range(36)},
    )
    trained("photos")
    browser.open(Path("run/report.html"), width=390)
    row = "document.querySelectorAll('#issues tbody tr')"
    path, other = browser.run(
        f"[{row}[0].querySelector('.where').innerText, {row}[1].querySelector('.where').innerText]"
    )
    given = Path(path).parent.name
    new = next(name for name in names if name != given)
    browser.run(f"{row}[0].querySelectorAll('.decision button')[[...{row}[0].querySelectorAll("
                "'.decision button')].findIndex((b) => b.textContent === 'Other…')].click()")  # fmt: skip
    browser.type(new)
    browser.press("Enter", code=13, text="\r")
    browser.run(f"{row}[1].querySelector('.decision button:last-of-type').click()")
    saved_by(browser, tmp_path)
    gdw(*page_command(browser))
    files = {p.relative_to("photos") for p in Path("photos").rglob("*.png")}
    moved, gone = Path(path).relative_to("photos"), Path(other).relative_to("photos")
    assert {p.relative_to("photos-cleaned") for p in Path("photos-cleaned").rglob("*.png")} == (
        files - {moved, gone} | {Path(new) / moved.name}
    )


@pytest.fixture
def fabricated(tmp_path: Path) -> Path:
    run = made.run_folder(tmp_path / "run", ("cat", "dog", "eel"), data="gone.csv")
    made.add_issues(
        run, [(f"row {i} of gone.csv", "cat", "dog", 0.95 - i / 20) for i in range(1, 10)]
    )
    made.add_audit(run, ("cat", "dog", "eel"), 9)
    return write_report(run)


def test_filters_and_undo_go_with_decisions(browser: Browser, fabricated: Path) -> None:
    browser.open(fabricated)
    undecided = "document.getElementById('filters').elements.decision"
    browser.run(
        f"{undecided}.value = 'no'; {undecided}.dispatchEvent(new Event('input', {{bubbles: true}}))"
    )
    click(browser, "start")
    key(browser, "c")
    key(browser, "k")
    assert browser.run(FOCUS) == "3"
    assert browser.run("document.getElementById('shown').textContent") == "7 of 9 shown"
    assert browser.run(DECIDED) == "2 of 9 decided: 1 keep, 1 change, 0 remove."
    key(browser, "u")
    assert browser.run(FOCUS) == "2"
    # The same decision again takes it back.
    key(browser, "k")
    click(browser, "clear")
    assert browser.run(DECIDED) == "No decisions yet, 9 examples."
    click(browser, "undo")
    assert browser.run(DECIDED) == "2 of 9 decided: 1 keep, 1 change, 0 remove."
    pressed = "[...document.querySelectorAll('[aria-pressed=\"true\"]')].map((b) => b.textContent)"
    assert browser.run(pressed) == ["Change", "Keep"]
    assert browser.run("document.querySelectorAll('.result')[0].textContent") == "New label: dog"


def test_unseen_suggestions_are_taken_only_if_asked_for(
    browser: Browser, fabricated: Path, tmp_path: Path
) -> None:
    browser.open(fabricated)
    click(browser, "clear")
    assert browser.run("document.getElementById('save').disabled")
    click(browser, "rest")
    words = [row[-1] for row in saved_by(browser, tmp_path)[1:]]
    assert words == ["change (not checked)"] * 8 + ["undecided"]


def test_a_browser_that_stores_nothing_says_so(browser: Browser, fabricated: Path) -> None:
    refuse = (
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('refused'); }})"
    )
    added = browser.call("Page.addScriptToEvaluateOnNewDocument", source=refuse)
    try:
        browser.open(fabricated)
        click(browser, "start")
        key(browser, "k")
        assert browser.run(DECIDED) == "1 of 9 decided: 1 keep, 0 change, 0 remove."
        assert browser.run("!document.getElementById('storage').hidden")
        assert browser.problems == []
        browser.run("window.onbeforeunload = null")
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"])


def test_labels_changed_for_an_experiment_are_not_decided_on(
    browser: Browser, tmp_path: Path
) -> None:
    run = made.run_folder(tmp_path / "run", ("cat", "dog"), data="gone.csv", noise="uniform:0.4")
    made.add_issues(run, [("row 1 of gone.csv", "cat", "dog", 0.9)])
    browser.open(write_report(run))
    assert browser.problems == []
    assert browser.run("document.getElementById('review')") is None
    assert "there is nothing to decide" in browser.run("document.body.innerText")


def test_the_page_begins_with_the_decisions_of_gdw_verify(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    rows = [(f"{x:.3f}", "ab"[i % 2]) for i, x in enumerate(random.random(60))]
    with Path("d.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("size", "kind"), *rows])
    trained("d.csv", "--label", "kind")
    queue = issues_to_verify(audit("run"))
    candidates = verification(queue).queue.candidates
    journal = Journal(answers_of(queue))
    other = {"a": "b", "b": "a"}
    for k, row in enumerate(candidates[:3]):
        labels = [row.given_label, other[row.given_label], None]
        kind, names = ("cannot_tell", ()) if k == 2 else ("label", (labels[k],))
        journal.append(Answer(row.index, row.digest, kind, names, annotator="ann"))
    journal.close()
    gdw("report", "run")
    page = Path("run/report.html")
    assert f"3 of {len(candidates)} issues decided (ann 3)" in page.read_text()
    browser.open(page, width=1280)
    assert browser.run(DECIDED).endswith(" decided: 2 keep, 1 change, 0 remove.")
    browser.run("document.querySelector('#issues tbody tr.decided button').click()")
    browser.open(page, width=1280)
    assert browser.run(DECIDED).endswith(" decided: 1 keep, 1 change, 0 remove."), "taken back"
    _, *saved = saved_by(browser, tmp_path)
    assert {int(row[0]) for row in saved if row[-1] == "change"} == {candidates[1].index}
    assert browser.problems == []
