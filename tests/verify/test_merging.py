"""The answers of several files in one."""

from __future__ import annotations

from pathlib import Path

import pytest

from gdw.data.verification import Answer, Journal, Queue, read
from gdw.errors import ConfigError
from gdw.verify.merging import conflicts, merge
from tests.verify import made


def file_of(queue: Queue, name: str, who: str, labels: str, *, start: int = 0) -> Path:
    path = queue.path.with_name(f"{name}.answers.jsonl")
    journal = Journal(path)
    short = {"c": "cat", "d": "dog", "f": "fox"}
    for row, letter in zip(queue.candidates[start:], labels, strict=False):
        journal.append(Answer(row.index, row.digest, "label", (short[letter],), who))
    journal.close()
    return path


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return made.table_queue(tmp_path)


def test_two_annotators_and_their_conflicts(queue: Queue, tmp_path: Path) -> None:
    paths = [file_of(queue, "one", "ann", "cdfc"), file_of(queue, "two", "bob", "cffcd")]
    found, notes = merge(paths, tmp_path / "v.answers.jsonl", force=False)
    assert notes == []
    assert found.described() == "4 of 12 rows verified, 1 in conflict, 7 not answered"
    assert list(conflicts(found)) == ["  row 1 of d.csv (ann: dog, bob: fox)"]
    (pair,) = found.agreements()
    assert (pair.one, pair.other, pair.rows, pair.agree) == ("ann", "bob", 4, 3)
    assert read(queue.path).answers == found.answers


def test_two_people_with_one_name_are_told_apart(queue: Queue, tmp_path: Path) -> None:
    paths = [file_of(queue, "one", "root", "cd"), file_of(queue, "two", "root", "cf")]
    found, notes = merge(paths, tmp_path / "v.answers.jsonl", force=False)
    assert found.annotators == ("root (one)", "root (two)")
    assert "several files have answers of 'root' to the same rows" in notes[0]
    assert found.counts["conflict"] == 1


def test_one_person_with_two_files_stays_one(queue: Queue, tmp_path: Path) -> None:
    paths = [file_of(queue, "one", "ann", "cd"), file_of(queue, "two", "ann", "f", start=2)]
    found, notes = merge(paths, tmp_path / "v.answers.jsonl", force=False)
    assert (found.annotators, notes) == (("ann",), [])
    assert found.labels == ["cat", "dog", "fox"]


def test_nothing_is_overwritten(queue: Queue, tmp_path: Path) -> None:
    one, two = file_of(queue, "one", "ann", "c"), file_of(queue, "v", "bob", "d")
    before = two.read_bytes()
    with pytest.raises(
        ConfigError, match=f"name it too .gdw verify {two} {one} --merge {two}.; --force"
    ):
        merge([one], two, force=False)
    with pytest.raises(ConfigError, match="should be named like the verification file beside it"):
        merge([one], tmp_path / "x.answers.jsonl", force=False)
    assert two.read_bytes() == before
    merge([one], two, force=True)
    assert read(queue.path).annotators == ("ann",)


def test_answers_are_added_to_a_file_that_has_some(queue: Queue, tmp_path: Path) -> None:
    one, two = file_of(queue, "one", "ann", "cd"), file_of(queue, "v", "bob", "cf")
    first, _ = merge([two, one], two, force=False)
    again, notes = merge([two, one], two, force=False)
    assert again.answers == first.answers
    assert (first.annotators, notes) == (("ann", "bob"), [])
    assert first.counts["conflict"] == 1
