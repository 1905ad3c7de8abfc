"""The verification file, its answers, and the verified rows that come of them."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gdw.data import Source, from_arrays, load, train_and_clean
from gdw.data.verification import (
    Answer,
    Journal,
    Queue,
    answers_of,
    is_queue,
    read,
    read_queue,
    verified_rows,
    write_queue,
)
from gdw.data.verification.agreement import kappa
from gdw.data.verification.contents import digests
from gdw.errors import DataError, OutputError, RunError
from tests.data.files import image_folder, png

NAMES = ("a", "b", "c d")


@pytest.fixture
def source(tmp_path: Path) -> Source:
    rows = "".join(f"{i},{NAMES[i % 3]},note {i}\n" for i in range(12))
    (tmp_path / "d.csv").write_text(f"size,label,note\n{rows}")
    return load(tmp_path / "d.csv", label="label", features=["size"])


@pytest.fixture
def queue(source: Source, tmp_path: Path) -> Queue:
    likely = [[("a", 0.75), ("b", float("nan"))]] * 5
    return write_queue(
        tmp_path / "v.jsonl", source, np.array([7, 2, 9, 0, 11]), label="label",
        data=tmp_path / "d.csv", likely=likely, selection_probability=[0.5] * 5,
        reasons=["doubtful"] * 5, neighbours=[[4], [], [], [], []], strategy="mixed", seed=3,
    )  # fmt: skip


def answer(queue: Queue, position: int, label: str | None = None, **other: Any) -> Answer:
    row = queue.candidates[position]
    kind = {"answer": "label", "labels": (label,)} if label is not None else {}
    return Answer(**{"index": row.index, "digest": row.digest, "annotator": "ann", **kind, **other})


def answered(queue: Queue, *answers: Answer) -> None:
    journal = Journal(answers_of(queue.path))
    for each in answers:
        journal.append(each)
    journal.close()


def test_what_is_written_is_read_again(queue: Queue, tmp_path: Path) -> None:
    found = read_queue(queue.path)
    assert vars(found) == vars(queue)
    assert found.data == "d.csv"
    assert found.place == tmp_path / "d.csv"
    first = found.candidates[0]
    assert (first.index, first.where, first.given_label) == (7, "row 7 of d.csv", "b")
    assert first.likely == (("a", 0.75), ("b", None))
    assert first.neighbours == ((4, "b"),)
    header = json.loads(queue.path.read_text().splitlines()[0])
    assert (header["strategy"], header["seed"], header["rows_in_data"]) == ("mixed", 3, 12)


def test_indices_are_rows_of_the_data_also_of_a_selection(source: Source, tmp_path: Path) -> None:
    part = source.select(np.array([3, 8, 10]))
    found = write_queue(tmp_path / "v.jsonl", part, np.array([2, 0]), label="label", data="x.csv")
    assert [row.index for row in found.candidates] == [10, 3]


def test_answers_are_kept_one_by_one_and_the_last_one_counts(queue: Queue) -> None:
    answered(
        queue,
        answer(queue, 0, "a"),
        answer(queue, 1, "b"),
        answer(queue, 0, "b", seconds=2.5, blind=False),
        answer(queue, 2, answer="cannot_tell"),
        answer(queue, 3, answer="several", labels=("a", "b")),
        answer(queue, 1, answer="undone"),
    )
    found = read(queue.path)
    assert found.index.tolist() == [7]
    assert (found.labels, found.given) == (["b"], ["b"])
    assert found.selection_probability.tolist() == [0.5]
    assert found.described() == (
        "1 of 5 rows verified, 1 cannot be told, 1 of several classes, 2 not answered"
    )
    assert found.outcomes[3].answers[0].labels == ("a", "b")


def test_half_a_line_is_left_out_and_removed(queue: Queue) -> None:
    answered(queue, answer(queue, 0, "a"), answer(queue, 1, "b"))
    path = answers_of(queue.path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    found = read(queue.path)
    assert found.torn
    assert found.index.tolist() == [7]
    answered(queue, answer(queue, 1, "c d"))
    assert not read(queue.path).torn
    assert read(queue.path).labels == ["a", "c d"]


def test_a_damaged_line_is_named(queue: Queue) -> None:
    answered(queue, answer(queue, 0, "a"))
    path = answers_of(queue.path)
    path.write_text(path.read_text() + '{"index": 2}\n')
    with pytest.raises(DataError, match=r"v.answers.jsonl is damaged in line 3: remove this line"):
        read(queue.path)
    path.write_text('{"gdw_answers": 9, "gdw_version": "7.0"}\n')
    with pytest.raises(DataError, match=r"written by gdw 7.0 \(format 9\)"):
        read(queue.path)


def test_one_process_writes_the_answers(queue: Queue) -> None:
    journal = Journal(answers_of(queue.path))
    with pytest.raises(RunError, match=r"this process is writing .*v.answers.jsonl already"):
        Journal(answers_of(queue.path))
    journal.close()
    Journal(answers_of(queue.path)).close()


def test_a_full_disk_adds_nothing_and_the_next_try_does(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(answers_of(queue.path))
    journal.append(answer(queue, 0, "a"))
    write = os.write

    def full(descriptor: int, content: bytes) -> int:
        write(descriptor, content[:7])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OutputError, match="No space left on device; make room"):
        journal.append(answer(queue, 1, "b"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", lambda descriptor, size: full(descriptor, b""))
        with pytest.raises(OutputError, match="No space left"):
            journal.append(answer(queue, 1, "b"))
    monkeypatch.setattr(os, "write", write)
    assert len(journal.answers) == 1
    assert read(queue.path).torn
    journal.append(answer(queue, 1, "b"))
    journal.close()
    assert read(queue.path).labels == ["a", "b"]


@pytest.mark.parametrize("change", ["remove", "append", "replace"])
def test_answers_that_somebody_else_changed_are_not_written_on(queue: Queue, change: str) -> None:
    journal = Journal(answers_of(queue.path))
    path = journal.path
    if change == "append":
        path.write_text(path.read_text() + "\n")
    else:
        content = path.read_text()
        path.unlink()
        if change == "replace":
            path.write_text(content)
    with pytest.raises(OutputError, match="it was removed or changed by another program"):
        journal.append(answer(queue, 0, "a"))
    journal.close()


def test_annotators_agree_or_are_in_conflict_until_it_is_settled(queue: Queue) -> None:
    answered(
        queue,
        answer(queue, 0, "a"),
        answer(queue, 1, "b"),
        answer(queue, 2, "c d"),
        answer(queue, 3, answer="cannot_tell"),
        answer(queue, 0, "a", annotator="bob"),
        answer(queue, 1, "a", annotator="bob"),
        answer(queue, 3, "b", annotator="bob"),
        answer(queue, 2, answer="several", annotator="bob"),
    )
    found = read(queue.path)
    assert found.annotators == ("ann", "bob")
    assert [row.candidate.index for row in found.conflicts] == [2, 9]
    assert dict(zip(found.index.tolist(), found.labels, strict=True)) == {7: "a", 0: "b"}
    (pair,) = found.agreements()
    # Of two shared rows one agrees. ann: a b, bob: a a. By chance 1/2 * 1 agree.
    assert (pair.rows, pair.agree, pair.kappa) == (2, 1, 0.0)
    answered(queue, answer(queue, 1, "c d", annotator="eve", resolves=True))
    assert read(queue.path).labels == ["a", "c d", "b"]


def test_kappa_is_that_of_cohen() -> None:
    # The table of Cohen's example in textbooks: 20 and 15 agree, 5 and 10 do not; kappa is 0.4.
    counts = {("y", "y"): 20, ("y", "n"): 5, ("n", "y"): 10, ("n", "n"): 15}
    pairs = [pair for pair, count in counts.items() for _ in range(count)]
    assert kappa(pairs) == pytest.approx(0.4)
    assert kappa([("y", "y")] * 3) is None


def test_verified_rows_are_the_clean_set_and_are_not_trained_on(
    source: Source, queue: Queue
) -> None:
    answered(queue, *(answer(queue, k, NAMES[k % 3]) for k in range(4)))
    clean = verified_rows(source, queue.path).clean
    train, kept = train_and_clean(source, meta=clean, seed=0)
    assert kept.row_numbers.tolist() == [7, 2, 9, 0]
    assert [kept.label_names[k] for k in kept.known_labels] == ["a", "b", "c d", "a"]
    assert train.row_numbers.tolist() == [1, 3, 4, 5, 6, 8, 10, 11]
    assert "4 of 5 rows verified, 1 not answered" in train.notes[0]
    assert list(kept.frame()["size"]) == [7, 2, 9, 0]
    part = source.select(np.arange(6))
    assert verified_rows(part, queue.path).clean.row_numbers.tolist() == [7, 2, 9, 0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("7,b,", "8,b,", "row 7 of d.csv is not as it was"),
        ("11,c d,note 11\n", "", "has 11 rows now, it had 12"),
        ("size,", "length,", "has no column 'size' now"),
    ],
)
def test_data_that_changed_are_refused(
    source: Source, queue: Queue, tmp_path: Path, old: str, new: str, message: str
) -> None:
    answered(queue, answer(queue, 0, "a"), answer(queue, 4, "a"))
    path = tmp_path / "d.csv"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(DataError, match=f"{message}. Restore them, or make v.jsonl again"):
        verified_rows(load(path, label="label"), queue.path)


def test_labels_that_change_and_rows_that_are_added_do_not_matter(
    source: Source, queue: Queue, tmp_path: Path
) -> None:
    answered(queue, answer(queue, 0, "a"))
    path = tmp_path / "d.csv"
    path.write_text(path.read_text().replace("7,b,", "7,a,") + "12,a,a row more\n")
    now = load(path, label="label", features=["size"])
    assert verified_rows(now, queue.path).clean.row_numbers.tolist() == [7]


def test_answers_count_for_a_new_file_about_the_same_rows(
    source: Source, queue: Queue, tmp_path: Path
) -> None:
    answered(queue, answer(queue, 0, "a"), answer(queue, 1, "b"))
    again = write_queue(
        queue.path, source, np.array([5, 7]), label="label", data=tmp_path / "d.csv"
    )
    found = read(again.path)
    assert (found.index.tolist(), found.labels, found.foreign) == ([7], ["a"], 1)


def test_errors_say_what_to_do(source: Source, queue: Queue, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no verified row yet \(0 of 5 rows verified, 5 not"):
        verified_rows(source, queue.path)
    answered(queue, answer(queue, 0, "z"))
    with pytest.raises(DataError, match=r"v.jsonl, row 7 of d.csv: .*'z'"):
        verified_rows(source, queue.path)
    with pytest.raises(
        DataError, match=r"it has the answers of .*v.jsonl, which is the one to giv"
    ):
        read(answers_of(queue.path))
    with pytest.raises(DataError, match="not a verification file: gdw suggest DATA"):
        read(tmp_path / "d.csv")
    lines = queue.path.read_text().splitlines()
    queue.path.write_text("\n".join([*lines[:2], "{}", *lines[3:]]) + "\n")
    with pytest.raises(DataError, match="damaged in line 3: make it again: gdw suggest"):
        read(queue.path)
    queue.path.write_text(lines[0].replace(": 1,", ": 2,", 1))
    with pytest.raises(DataError, match=r"written by gdw .* upgrade"):
        read(queue.path)
    assert is_queue(queue.path)
    assert not is_queue(tmp_path / "none.jsonl")


def test_a_checksum_is_of_what_is_in_a_row(tmp_path: Path) -> None:
    files = {"a/1.png": png((1, 2, 3)), "a/2.png": png((1, 2, 3)), "b/3.png": png((9, 9, 9))}
    images = load(image_folder(tmp_path / "images", files), label="label")
    one, two, three = digests(images.rows, "image", ("image",), np.arange(3))
    assert one == two != three
    (tmp_path / "images/b/3.png").unlink()
    assert digests(images.rows, "image", ("image",), np.array([2])) == [""]
    arrays = from_arrays(np.array([[1.0, 2.0], [1.0, 2.0], [2.0, 1.0]]), [0, 1, 1])
    one, two, three = digests(arrays.rows, "array", ("X",), np.arange(3))
    assert one == two != three
