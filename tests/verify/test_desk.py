"""What one annotator sees, and what becomes of the answers."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gdw.data import load
from gdw.data.verification import Queue, read, write_queue
from gdw.errors import ConfigError, DataError, RunError
from gdw.verify import Desk
from gdw.verify.desk import _by_key, _with_keys
from gdw.verify.progress import Progress
from gdw.verify.requests import RefusedError
from tests.verify import made


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return made.table_queue(tmp_path)


@pytest.fixture
def desk(queue: Queue) -> Iterator[Desk]:
    opened = made.desk(queue)
    yield opened
    opened.journal.close()


def say(desk: Desk, page: dict[str, Any], answer: str, *codes: int, **more: Any) -> dict[str, Any]:
    item = page["item"]
    said = {"n": item["n"], "seen": item["seen"], "answer": answer, "labels": list(codes)}
    return desk.answer({**said, **more})


def reopened(desk: Desk, **settings: Any) -> Desk:
    desk.journal.close()
    return made.desk(desk.queue, **settings)


def test_one_row_follows_the_other_and_every_answer_is_on_disk(desk: Desk) -> None:
    page = desk.start({})
    assert page["names"] == ("cat", "dog", "fox")
    assert (page["total"], page["left"], page["item"]["n"]) == (12, 12, 0)
    page = say(desk, page, "label", 2, seconds=1.5)
    assert (page["item"]["n"], page["ahead"], page["left"]) == (1, 2, 11)
    page = say(desk, page, "cannot_tell")
    page = say(desk, page, "several", 0, 1)
    page = say(desk, page, "skip")
    assert page["item"]["n"] == 4
    found = read(desk.queue.path)
    assert [outcome.state for outcome in found.outcomes[:5]] == [
        "label", "cannot_tell", "several", "skip", "open"
    ]  # fmt: skip
    first, _, third = (outcome.answers[0] for outcome in found.outcomes[:3])
    assert (first.label, first.seconds, first.blind, first.annotator) == ("fox", 1.5, True, "ann")
    assert third.labels == ("cat", "dog")


def test_a_later_sitting_goes_on_where_the_first_one_ended(desk: Desk) -> None:
    page = desk.start({})
    for code in (0, 1, 2):
        page = say(desk, page, "label", code)
    again = reopened(desk)
    page = again.start({})
    assert (page["item"]["n"], page["left"]) == (3, 9)
    page = again.undo({})
    assert (page["item"]["n"], page["item"]["answer"], page["left"]) == (2, None, 10)
    again.journal.close()


def test_undo_takes_one_answer_after_the_other_back(desk: Desk) -> None:
    page = say(desk, desk.start({}), "label", 0)
    say(desk, page, "label", 1)
    assert desk.undo({})["item"]["n"] == 1
    assert desk.undo({})["item"]["n"] == 0
    with pytest.raises(RefusedError, match="no answer to take back"):
        desk.undo({})
    assert read(desk.queue.path).described() == "0 of 12 rows verified, 12 not answered"


def test_an_earlier_answer_can_be_looked_at_and_changed(desk: Desk) -> None:
    say(desk, desk.start({}), "label", 0)
    page = desk.item({"n": 0})
    assert page["item"]["answer"] == ["label", [0]]
    page = say(desk, page, "label", 1)
    assert page["item"]["n"] == 1
    assert read(desk.queue.path).labels == ["dog"]


def test_at_the_end_the_skipped_rows_come_again(desk: Desk) -> None:
    page = desk.start({})
    for n in range(12):
        page = say(desk, page, *(("skip",) if n in (3, 5) else ("label", 0)))
    assert page["item"] is None
    assert page["counts"] == {"label": 10, "several": 0, "cannot_tell": 0, "skip": 2, "open": 0}
    page = desk.skipped({})
    assert page["item"]["n"] == 3
    page = say(desk, page, "label", 0)
    assert page["item"]["n"] == 5


def test_the_given_label_is_hidden_unless_it_is_asked_for(desk: Desk) -> None:
    item = desk.start({})["item"]
    assert (item["blind"], item["given"], item["suggested"]) == (True, None, None)
    assert item["keys"] == [("1", 0), ("2", 1), ("3", 2)]
    shown = reopened(desk, blind_share=0.0)
    assert shown.start({})["item"]["given"] == "cat"
    half = reopened(shown, blind_share=0.5)
    blind = [half.item({"n": n})["item"]["blind"] for n in range(12)]
    assert 2 < sum(blind) < 10
    again = reopened(half, blind_share=0.5)
    assert [again.item({"n": n})["item"]["blind"] for n in range(12)] == blind
    again.journal.close()


def test_of_many_classes_the_likely_ones_have_keys(tmp_path: Path) -> None:
    classes = [f"class {k:02}" for k in range(40)]
    desk = made.desk(made.table_queue(tmp_path, rows=80, classes=classes))
    keys = desk.item({"n": 7})["item"]["keys"]
    codes = [code for _, code in keys]
    # The given label is among them at its place in the order of the classes, which tells nothing.
    assert {7, 39, 0} < set(codes)
    assert codes == sorted(codes)
    assert [key for key, _ in keys] == list("123456789")
    shown = reopened(desk, blind_share=0.0)
    assert [code for _, code in shown.item({"n": 7})["item"]["keys"]][:3] == [7, 39, 0]
    shown.journal.close()


def test_a_class_that_is_called_like_a_key_has_it(tmp_path: Path) -> None:
    names = ("3", "Ω", "a 1", "dog")
    keys = [("1", 1), ("2", 2), ("3", 0), ("4", 3)]
    assert _by_key(_with_keys(range(4), names), names) == keys
    many = [str(k) for k in range(40)]
    assert _with_keys([39, 7, 0], many) == [("1", 39), ("7", 7), ("0", 0)]


def test_digits_have_their_own_keys(tmp_path: Path) -> None:
    desk = made.desk(made.table_queue(tmp_path, rows=20, classes=[str(k) for k in range(10)]))
    assert desk.start({})["item"]["keys"] == [(str(k), k) for k in range(10)]
    desk.journal.close()


def test_columns_that_tell_the_label_are_hidden_with_it(tmp_path: Path) -> None:
    names = ["cat", "dog"] * 15
    lines = "".join(
        f"{i},{name},note {i % 5},{name},{i % 2 + 7},dir/{name}s/{i}.png\n"
        for i, name in enumerate(names)
    )
    (tmp_path / "d.csv").write_text(f"size,label,note,copy,code,file\n{lines}")
    source = load(tmp_path / "d.csv", label="label", features=["size"])
    queue = write_queue(
        tmp_path / "v.jsonl", source, np.arange(30), label="label", data=tmp_path / "d.csv"
    )
    desk = made.desk(queue)
    assert [name for name, _ in desk.start({})["item"]["context"]] == ["note"]
    shown = reopened(desk, blind_share=0.0)
    assert [n for n, _ in shown.start({})["item"]["context"]] == ["note", "copy", "code", "file"]
    shown.journal.close()


def test_the_folder_of_a_picture_is_its_label_and_hidden(tmp_path: Path) -> None:
    desk = made.desk(made.image_queue(tmp_path))
    item = desk.start({})["item"]
    assert item["place"] == "row 0"
    assert item["picture"]
    assert [near["label"] for near in item["neighbours"]] == ["a", "a"]
    content, kind = desk.picture(0, None, 100)
    assert (kind, content[:4]) == ("image/png", b"\x89PNG")
    assert desk.picture(0, 1, 100)[0] != content
    for n, near in ((99, None), (0, 7)):
        with pytest.raises(RefusedError, match="there is no such"):
            desk.picture(n, near, 100)
    desk.journal.close()


def test_a_picture_that_changed_or_cannot_be_read_gets_no_label(tmp_path: Path) -> None:
    desk = made.desk(made.image_queue(tmp_path))
    page = desk.start({})
    file = next((tmp_path / "images").glob("a/0.png"))
    file.write_bytes(made.png((1, 2, 3)))
    with pytest.raises(RefusedError, match=r"not kept: this row changed since v.jsonl was made"):
        say(desk, page, "label", 0)
    file.unlink()
    assert "changed" in desk.item({"n": 0})["item"]["problem"]
    assert say(desk, page, "skip")["item"]["n"] == 1
    desk.journal.close()


def test_two_windows_get_different_rows_and_are_told_of_each_other(desk: Desk) -> None:
    one, two = {"window": "one"}, {"window": "two"}
    first, second = desk.start(one), desk.start(two)
    assert (first["item"]["n"], second["item"]["n"]) == (0, 1)
    seen = desk.item({"n": 0, **two})
    say(desk, first, "label", 0, **one)
    with pytest.raises(RefusedError, match="answered in another window meanwhile") as refused:
        say(desk, seen, "label", 1, **two)
    assert refused.value.more["page"]["item"]["answer"] == ["label", [0]]
    assert read(desk.queue.path).labels == ["cat"]
    # Undo is of the own window.
    with pytest.raises(RefusedError, match="no answer to take back"):
        desk.undo(two)


def test_a_second_process_is_told(desk: Desk) -> None:
    with pytest.raises(
        RunError, match=r"is writing .*v.answers.jsonl already .*\(--answers FILE\)"
    ):
        made.desk(desk.queue)


def test_data_that_change_meanwhile_stop_the_sitting(desk: Desk, tmp_path: Path) -> None:
    page = say(desk, desk.start({}), "label", 0)
    path = tmp_path / "d.csv"
    path.write_text("size,label,note\n" + path.read_text().partition("\n")[2].replace("1,", "2,"))
    with pytest.raises(
        RefusedError, match=r"d.csv changed since .* this is not saved, all an"
    ) as e:
        say(desk, page, "label", 0)
    assert e.value.more["stop"]
    desk.journal.close()
    with pytest.raises(DataError, match=r"row 1 of d.csv is not as it was. Restore them, or make"):
        made.desk(desk.queue)


def test_a_full_disk_is_told_and_the_same_answer_can_be_sent_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = desk.start({})

    def full(descriptor: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(RefusedError, match="No space left on device; make room") as refused:
            say(desk, page, "label", 0)
    assert refused.value.status == 507
    assert desk.progress.left == 12
    assert say(desk, page, "label", 0)["left"] == 11


def test_conflicts_are_settled_by_a_pass_of_their_own(queue: Queue) -> None:
    for name, codes in (("ann", (0, 1, 2)), ("bob", (0, 2, 2))):
        desk = made.desk(queue, annotator=name)
        page = desk.start({})
        for code in codes:
            page = say(desk, page, "label", code)
        desk.journal.close()
    desk = made.desk(queue, annotator="ann", conflicts=True)
    page = desk.start({})
    assert (page["total"], page["left"]) == (1, 1)
    assert page["item"]["others"] == [["ann", "label", ["dog"]], ["bob", "label", ["fox"]]]
    assert page["item"]["given"] == "dog"
    assert say(desk, page, "label", 2)["item"] is None
    desk.journal.close()
    assert read(queue.path).labels == ["cat", "fox", "fox"]
    with pytest.raises(
        ConfigError, match=r"no two annotators differ in .*: there is nothing to sett"
    ):
        made.desk(queue, conflicts=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n": 12}, "n must be a whole number from 0 to 11"),
        ({"n": True}, "n must be a whole number"),
        ({"answer": "undone"}, "unknown answer 'undone'"),
        ({"answer": ["label"]}, "unknown answer"),
        ({"labels": [3]}, "labels must be numbers of classes"),
        ({"labels": ["cat"]}, "labels must be numbers of classes"),
        ({"labels": [0, 1]}, "2 classes do not fit the answer 'label'"),
        ({"answer": "skip"}, "1 classes do not fit the answer 'skip'"),
        ({"window": "w" * 65}, "window must be a short text"),
        ({"seen": -1}, "seen must be a whole number"),
    ],
)
def test_an_answer_that_makes_no_sense_is_refused(
    desk: Desk, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(RefusedError, match=message):
        desk.answer({"n": 0, "seen": 0, "answer": "label", "labels": [0], **change})
    assert not desk.journal.answers


def test_a_strange_time_is_not_kept(desk: Desk) -> None:
    for n, seconds in enumerate((-1, 1e9, "1", None, float("nan"))):
        say(desk, desk.item({"n": n}), "label", 0, seconds=seconds)
    assert {answer.seconds for answer in desk.journal.answers} == {None}


def test_a_window_that_went_away_frees_its_row() -> None:
    now = 0.0
    progress = Progress(3, clock=lambda: now)
    progress.show(0, window="one")
    assert progress.next_open(0, window="two") == 1
    assert progress.next_open(0, window="one") == 0
    now = 700.0
    assert progress.next_open(0, window="two") == 0


def test_some_rows_are_answered_again(tmp_path: Path) -> None:
    queue = made.table_queue(tmp_path)
    first = made.desk(queue)
    page = first.start({})
    for _ in range(12):
        page = say(first, page, "label", 0)
    first.journal.close()
    again = made.desk(queue, rows=(3, 7))
    page = again.start({})
    assert page["total"] == 2
    assert page["item"]["answer"] is None, "the first answer does not sway"
    say(again, page, "label", 2)
    assert again.open_rows == [7]
    assert [outcome.label for outcome in again.verification().outcomes][2:5] == [
        "cat",
        "fox",
        "cat",
    ]
    again.journal.close()
    with pytest.raises(ConfigError, match="has none of the rows 99: --rows takes row numbers of"):
        made.desk(queue, rows=(99,))
