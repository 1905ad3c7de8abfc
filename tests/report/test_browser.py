"""The page in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from gdw.report import write_report
from tests.data.files import image_folder, png
from tests.report import fabricated as made
from tests.report.browser import Browser, find_chromium

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")

HOSTILE = (
    "</td><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
)
NAMES = ("cat", "dog", "10", "9", HOSTILE)
ROWS = "[...document.querySelectorAll('#issues tbody tr')]"
WIDEST_PICTURE = (
    "Math.max(...[...document.querySelectorAll('svg')]"
    ".map((svg) => svg.getBoundingClientRect().width))"
)
SEEN = f"{ROWS}.filter((row) => row.getClientRects().length)"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert CHROMIUM is not None
    with Browser(CHROMIUM, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty pictures under five labels, one of them hostile, as are the names of some files."""
    folder = tmp_path_factory.mktemp("report")
    files = [f"a/{i:02}{'<i onclick=x>' if i % 2 else ''}.png" for i in range(20)]
    data = image_folder(folder / "images", {name: png((i, 0, 0)) for i, name in enumerate(files)})
    columns = {"kind": "image", "columns": ("image",)}
    run = made.run_folder(folder / "run", NAMES, data=str(data), **columns)
    issues = [
        (str(data / name), NAMES[i % 5], NAMES[(i + 1) % 5], 1 - i / 25)
        for i, name in enumerate(files)
    ]
    made.add_issues(run, issues)
    made.add_noise_matrix(run, NAMES, made.noise(5))
    made.add_audit(run, NAMES, 100)
    made.add_class_weights(run, np.random.default_rng(0).random((5, 5)))
    made.add_evaluation(run, NAMES)
    return write_report(run)


@pytest.fixture
def opened(browser: Browser, page: Path) -> Browser:
    browser.open(page)
    return browser


def column(browser: Browser, number: int) -> list[str]:
    """The texts of a column of the list, of the rows that can be seen."""
    found: list[str] = browser.run(f"{SEEN}.map((row) => row.cells[{number}].innerText.trim())")
    return found


def sort(browser: Browser, number: int) -> str:
    """Click on the head of a column; the direction that it then says."""
    head = f"document.querySelector('#issues thead tr').cells[{number}]"
    browser.run(f"{head}.querySelector('button').click()")
    direction: str = browser.run(f"{head}.getAttribute('aria-sort')")
    return direction


def test_it_renders_without_complaint_and_hostile_names_are_text(opened: Browser) -> None:
    assert opened.problems == []
    assert opened.run("document.title").startswith("run: labels and model")
    assert opened.run("document.querySelectorAll('svg').length") == 10
    assert opened.run("document.querySelectorAll('script').length") == 1
    assert opened.run(f"{ROWS}[4].cells[2].innerText") == HOSTILE
    assert "01<i onclick=x>.png" in opened.run(f"{ROWS}[1].cells[1].innerText")
    assert opened.run("document.querySelectorAll('td i, [onclick], [onerror]').length") == 0
    broken = "[...document.images].filter((image) => !image.naturalWidth).length"
    assert opened.run(f"[document.images.length, {broken}]") == [20, 0]


def test_a_script_that_got_into_the_page_would_not_run(opened: Browser) -> None:
    opened.run("document.body.append(Object.assign(document.createElement('script'), "
               "{text: \"document.title = 'taken'\"}))")  # fmt: skip
    assert opened.run("document.title") != "taken"


def test_columns_sort_by_number_and_by_name_and_say_so(opened: Browser) -> None:
    ranks = [str(k) for k in range(1, 21)]
    assert column(opened, 0) == ranks
    assert sort(opened, 4) == "descending"
    assert column(opened, 0) == ranks
    assert sort(opened, 4) == "ascending"
    assert column(opened, 0) == ranks[::-1]
    assert sort(opened, 2) == "ascending"
    labels = column(opened, 2)
    assert list(dict.fromkeys(labels)) == [HOSTILE, "9", "10", "cat", "dog"]
    assert opened.run("document.querySelectorAll('#issues [aria-sort]').length") == 1


def test_filters_narrow_the_list_and_tell_how_many_are_left(opened: Browser) -> None:
    told = "document.getElementById('shown').textContent"
    assert opened.run(told) == "20 of 20 shown"
    change = "document.getElementById('filters').elements.label"
    opened.run(
        f"{change}.value = 'cat'; {change}.dispatchEvent(new Event('input', {{bubbles: true}}))"
    )
    assert len(column(opened, 0)) == 8
    assert opened.run(told) == "8 of 20 shown"
    tick = "document.getElementById('filters').elements.flagged"
    opened.run(f"{tick}.click()")
    flagged = [k for k in range(20) if 1 - k / 25 > 0.5 and {k % 5, (k + 1) % 5} & {0}]
    assert column(opened, 0) == [str(k + 1) for k in flagged]


def test_the_keyboard_alone_is_enough(opened: Browser) -> None:
    opened.run("document.querySelector('#filters input').focus()")
    opened.type("DOG 06.png")
    assert column(opened, 0) == ["7"]
    opened.run("document.querySelector('#filters input').value = ''")
    opened.run("document.querySelector('#issues thead button').focus()")
    opened.press("Enter", code=13, text="\r")
    head = "document.querySelector('#issues thead th')"
    assert opened.run(f"{head}.getAttribute('aria-sort')") == "ascending"
    opened.press("Enter", code=13, text="\r")
    assert opened.run(f"{head}.getAttribute('aria-sort')") == "descending"
    opened.press("Tab", code=9)
    assert opened.run("document.activeElement.innerText").startswith("given label")


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_shows_pictures_whole_and_scrolls_tables_in_their_own_boxes(
    browser: Browser, page: Path, dark: bool
) -> None:
    browser.open(page, width=360, dark=dark)
    assert browser.problems == []
    assert browser.run("document.documentElement.scrollWidth") == 360
    colours = browser.run("[getComputedStyle(document.body).color, "
                          "getComputedStyle(document.body).backgroundColor]")  # fmt: skip
    lightness = [sum(map(int, c[4:-1].split(","))) for c in colours]
    assert (lightness[0] > lightness[1]) == dark
    # Black in the pictures follows the text of the page.
    assert browser.run("getComputedStyle(document.querySelector('svg text')).fill") == colours[0]
    boxes = "[...document.querySelectorAll('.scroll, pre')]"
    assert browser.run(f"{boxes}.every((box) => box.tabIndex === 0)")
    assert browser.run(WIDEST_PICTURE) <= 360
    # The suggestion and the score are right of the picture of an example.
    lefts = "[...document.querySelector('#issues tbody tr').cells].map((c) => c.getBoundingClientRect())"
    picture, given, suggested, score = browser.run(
        f"{lefts}.slice(1, 5).map((box) => [box.left, box.right])"
    )
    assert picture[1] < given[0] == suggested[0] == score[0]
    assert max(given[1], suggested[1], score[1]) <= 360


def test_on_a_phone_the_rank_lies_on_no_label_and_the_buttons_stay_in_one_row(
    browser: Browser, tmp_path: Path
) -> None:
    names = ("a label as long as the card", "seven eight")
    data = image_folder(tmp_path / "images", {"a/0.png": png((9, 9, 9), (40, 40))})
    run = made.run_folder(tmp_path / "run", names, data=str(data), kind="image", columns=("image",))
    made.add_issues(run, [(str(data / "a/0.png"), *names, 0.9), ("gone.png", *names, 0.8)])
    made.add_audit(run, names, 100)
    browser.open(write_report(run), width=390)
    browser.run(f"{ROWS}.forEach((row) => row.querySelectorAll('.decision button')[1].click())")
    overlaps = browser.run(
        f"{ROWS}.flatMap((row) => [...row.querySelectorAll('bdi, img')].map((part) => {{"
        "const [a, b] = [row.cells[0], part].map((e) => e.getBoundingClientRect());"
        "return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom; }))"
    )
    assert overlaps
    assert not any(overlaps)
    tops = f"[...{ROWS}[0].querySelectorAll('.decision button')].map((b) => b.offsetTop)"
    assert len(set(browser.run(tops))) == 1


def test_charts_are_as_wide_as_the_text(browser: Browser, page: Path) -> None:
    browser.open(page, width=1280)
    text = browser.run("document.querySelector('header p').getBoundingClientRect().width")
    assert browser.run(WIDEST_PICTURE) == text
    assert browser.run("document.documentElement.scrollWidth") == 1280


def test_long_names_and_many_classes_stay_within_the_page(browser: Browser, tmp_path: Path) -> None:
    names = [f"{'word' * 30}{k}" for k in range(60)]
    run = made.run_folder(tmp_path / "run", names, data=f"{'deep/' * 40}gone.csv")
    made.add_issues(run, [("row 1 of gone.csv", names[0], names[1], 0.9)])
    made.add_noise_matrix(run, names, made.noise(60))
    made.add_audit(run, names, 300)
    made.add_class_weights(run, np.eye(60))
    made.add_evaluation(run, names)
    page = write_report(run)
    for width in (390, 1280):
        browser.open(page, width=width)
        assert browser.problems == []
        assert browser.run("document.documentElement.scrollWidth") == width
