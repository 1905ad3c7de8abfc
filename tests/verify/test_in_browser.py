"""The page in a real browser, by keyboard."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gdw.data.verification import Queue, read
from gdw.verify.server import Server
from tests.report.browser import Browser, find_chromium
from tests.verify import made

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium")

HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
KEYS = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowRight": 39, "ArrowDown": 40}
CLASSES = (*(f"class {k:04}" for k in range(999)), HOSTILE)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    assert CHROMIUM is not None
    with Browser(CHROMIUM, tmp_path_factory.mktemp("profile")) as browser:
        yield browser


class Page:
    """The page of a verification file in the browser."""

    def __init__(self, browser: Browser, queue: Queue, **settings: object) -> None:
        self.browser, self.desk = browser, made.desk(queue, **settings)
        self.server = Server(self.desk, closing=lambda: ["next: gdw train <b>", "the end"])

    def open(self, **size: object) -> None:
        self.browser.open(self.server.address, **size)  # type: ignore[arg-type]
        self.wait("page !== null && (item === null || ready)")

    def wait(self, condition: str) -> None:
        until = time.monotonic() + 30
        while not self.browser.run(condition):
            assert time.monotonic() < until, condition
            time.sleep(0.02)

    def press(self, *keys: str) -> None:
        for key in keys:
            code = KEYS.get(key, ord(key[0].upper()))
            self.browser.press(key, code=code, text="" if key in KEYS else key)
            self.wait("!busy && (item === null || ready)")

    def text(self, name: str) -> str:
        found: str = self.browser.run(f"byId('{name}').innerText.trim()")
        return found

    def close(self) -> None:
        self.server.stop()
        self.desk.journal.close()


@pytest.fixture
def page(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    rows = 10
    queue = made.table_queue(
        tmp_path, rows=rows, classes=CLASSES[-rows:], header=("<b>size", "label", "note")
    )
    opened = Page(browser, queue)
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def many(browser: Browser, tmp_path: Path) -> Iterator[Page]:
    lines = tmp_path / "d.csv"
    queue = made.table_queue(tmp_path, rows=1000, classes=CLASSES)
    assert lines.exists()
    opened = Page(browser, queue)
    opened.open()
    yield opened
    opened.close()


def test_rows_are_answered_by_key_one_after_the_other(many: Page) -> None:
    assert many.text("heading") == "Row 1 of 1000"
    many.press("2")
    assert many.text("said") == "Saved: class 0000."
    assert many.browser.run("document.activeElement.id") == "heading"
    many.press("/")
    many.browser.type("0123")
    many.press("Enter")
    assert many.text("said") == "Saved: class 0123."
    many.press("c", "s", "m", "2", "3", "Enter")
    assert many.text("said").startswith("Saved: several classes (class 0000, ")
    many.press("u")
    assert many.text("heading") == "Row 5 of 1000"
    many.press("ArrowLeft", "ArrowLeft", "ArrowLeft")
    assert many.text("question") == "Your answer: class 0123"
    many.press("/")
    many.browser.type("onerror")
    many.press("Enter")
    assert many.text("said") == f"Saved: {HOSTILE}."
    states = [found.state for found in read(many.desk.queue.path).outcomes[:5]]
    assert states == ["label", "label", "cannot_tell", "skip", "open"]
    assert read(many.desk.queue.path).labels == ["class 0000", HOSTILE]
    assert many.browser.problems == []


def test_hostile_names_are_text_and_foreign_scripts_do_not_run(page: Page) -> None:
    page.open()
    assert HOSTILE in page.text("classes")
    assert "<b>size" in page.text("view")
    assert page.browser.run("document.querySelectorAll('img, b, main script').length") == 0
    page.browser.run("document.body.append(Object.assign(document.createElement('script'), "
                     "{text: \"document.title = 'taken'\"}))")  # fmt: skip
    assert page.browser.run("document.title") == "gdw verify: v.jsonl"
    assert page.browser.run("location.search") == ""
    assert page.browser.run("document.cookie") == ""


def test_a_key_that_is_held_down_answers_one_row(page: Page) -> None:
    down = {"type": "keyDown", "key": "1", "code": "1", "windowsVirtualKeyCode": 49, "text": "1"}
    page.browser.call("Input.dispatchKeyEvent", **down)
    page.wait("!busy && item.n === 1")
    for _ in range(3):
        page.browser.call("Input.dispatchKeyEvent", autoRepeat=True, **down)
    page.press("ArrowRight")
    assert len(read(page.desk.queue.path).index) == 1


@pytest.mark.parametrize(
    ("key", "code", "row"), [("&", "Digit1", 1), ("ы", "KeyS", 1), ("!", "", 0)]
)
def test_keys_of_other_keyboards(page: Page, key: str, code: str, row: int) -> None:
    event = f"new KeyboardEvent('keydown', {{key: '{key}', code: '{code}', bubbles: true}})"
    page.browser.run(f"document.body.dispatchEvent({event}); 0")
    page.wait(f"!busy && item.n === {row}")


def test_at_the_end_it_says_what_was_answered_and_finishes(page: Page) -> None:
    page.press(*"1234567s9c")
    assert page.text("done-title") == "All 10 rows are answered"
    assert page.text("done-text") == (
        "8 with a label, 1 cannot be told, 1 skipped. Every answer is saved."
    )
    page.browser.run("byId('again').click()")
    page.wait("item !== null")
    assert page.text("heading") == "Row 8 of 10"
    page.press("8")
    page.browser.run("byId('end').click()")
    assert page.server.ended.wait(10)
    page.wait("byId('done-title').innerText === 'Saved'")
    assert page.text("lines") == "next: gdw train <b>\nthe end"
    assert len(read(page.desk.queue.path).index) == 9


def test_on_a_full_disk_the_answer_stays_and_is_sent_again(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    written = os.write

    def only_there(descriptor: int, content: bytes) -> int:
        own = descriptor == page.desk.journal._file
        return full(descriptor, content) if own else written(descriptor, content)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", only_there)
        page.press("3")
        page.wait("!byId('trouble').hidden")
        assert "No space left on device; make room on that disk." in page.text("trouble-text")
        assert "This answer is not saved yet" in page.text("trouble-text")
        assert page.text("heading") == "Row 1 of 10"
        pressed = "[...byId('classes').children].map((b) => b.ariaPressed).indexOf('true')"
        assert page.browser.run(pressed) == 2
    page.browser.run("byId('retry').click()")
    page.wait("item.n === 1")
    assert page.browser.run("byId('trouble').hidden")
    assert read(page.desk.queue.path).labels == [page.desk.queue.label_names[2]]


def test_when_the_server_has_ended_the_page_says_so(page: Page) -> None:
    page.press("1")
    page.server.stop()
    page.press("2")
    page.wait("!byId('trouble').hidden")
    assert "gdw verify does not answer" in page.text("trouble-text")
    assert "all answers before this one are saved" in page.text("trouble-text")
    page.browser.run("clearTimeout(retryTimer); pending = null")
    page.server.stop = lambda: None  # type: ignore[method-assign]


def test_without_single_keys_only_buttons_answer(page: Page) -> None:
    page.press("?")
    page.browser.run("byId('keys').click()")
    page.press("Escape", "1")
    assert page.text("heading") == "Row 1 of 10"
    page.browser.run("byId('classes').children[0].click()")
    page.wait("item.n === 1")
    page.browser.run("byId('keys').click()")


def test_an_answered_row_shows_its_answer(page: Page) -> None:
    page.press("3", "ArrowLeft")
    pressed = "[...byId('classes').children].map((b) => b.ariaPressed).join(' ')"
    assert page.browser.run(pressed).split().index("true") == 2
    assert page.browser.run(pressed).count("false") == 9


def test_what_enter_saves_is_in_sight(page: Page) -> None:
    page.open(width=1280, height=700)
    page.press("m", "1", "2")
    assert page.browser.run("byId('keep').getBoundingClientRect().bottom") <= 700
    page.press("Escape")


def test_similar_rows_open_by_a_button_on_a_phone(browser: Browser, tmp_path: Path) -> None:
    page = Page(browser, made.image_queue(tmp_path))
    page.open(width=390, height=844)
    assert page.text("more-text") == "Similar rows"
    page.browser.run("byId('more').click()")
    page.wait("byId('more').ariaExpanded === 'true'")
    top, end = page.browser.run(
        "[byId('neighbours').getBoundingClientRect().top, byId('answers').getBoundingClientRect().top]"
    )
    assert top < end - 100
    page.close()


def test_long_names_break_between_their_words(browser: Browser, tmp_path: Path) -> None:
    name = "restaurant_suggestion.of-the/day"
    page = Page(browser, made.table_queue(tmp_path, classes=(name, "b", "c")))
    page.open(width=390, height=844)
    shown = "[...byId('classes').querySelectorAll('bdi')].at(-1)"
    assert browser.run(f"[{shown}.textContent, {shown}.querySelectorAll('wbr').length]") == [
        name,
        4,
    ]
    page.close()


@pytest.mark.parametrize("dark", [False, True])
def test_on_a_phone_everything_is_in_reach(page: Page, *, dark: bool) -> None:
    page.open(width=390, height=844, dark=dark)
    assert page.browser.run("document.documentElement.scrollWidth") == 390
    buttons = "[...document.querySelectorAll('#answers button')].filter((b) => b.offsetParent)"
    low = f"Math.min(...{buttons}.map((b) => b.getBoundingClientRect().height))"
    assert page.browser.run(low) >= 36
    assert page.browser.run("byId('undo').getBoundingClientRect().bottom") <= 844
    assert page.browser.run("byId('view').getBoundingClientRect().top") < 300


def test_on_a_phone_what_an_audit_suggests_comes_first(browser: Browser, tmp_path: Path) -> None:
    classes = tuple(f"class {k}" for k in range(10))
    page = Page(browser, made.table_queue(tmp_path, rows=10, classes=classes), suggest=True)
    page.open(width=390, height=844)
    tops = "[...byId('classes').children].map((b) => b.getBoundingClientRect().top)"
    top = page.browser.run(tops)
    assert page.text("classes").count("suggested") == 1
    assert top[0] == top[9] == min(top)
    page.close()


def test_a_picture_is_shown_and_zoomed(browser: Browser, tmp_path: Path) -> None:
    page = Page(browser, made.image_queue(tmp_path))
    page.open()
    image = "document.querySelector('#view img')"
    assert page.browser.run(f"[{image}.naturalWidth, {image}.naturalHeight]") == [9, 6]
    before = page.browser.run(f"{image}.clientWidth")
    assert before >= 240
    page.press("z")
    assert page.browser.run(f"{image}.clientWidth") == 2 * before
    page.press("x")
    page.wait(
        "[...document.images].length === 3 && [...document.images].every((i) => i.naturalWidth)"
    )
    page.press("1")
    page.wait("item.n === 1")
    assert not page.browser.run("zoomed")
    assert page.browser.problems == []
    page.close()
