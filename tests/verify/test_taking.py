"""The answered rows of one verification file in another."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gdw.data.verification import Answer, Journal, Queue, answers_of, read
from gdw.data.verification.queue_file import rewrite_queue
from gdw.errors import DataError, RunError
from gdw.suggestion.draws import draws_of
from gdw.verify.taking import take
from tests.verify import made

DECISIONS = "decisions.jsonl"


def answered(queue: Queue, *numbers: int, label: str = "fox") -> None:
    journal = Journal(answers_of(queue.path))
    for row in (queue.candidates[number] for number in numbers):
        journal.append(Answer(row.index, row.digest, "label", (label,), "ann"))
    journal.close()


@pytest.fixture
def queues(tmp_path: Path) -> tuple[Queue, Queue]:
    """Rows 0 to 3 of a table, drawn at random, of which row 0 is answered; and decisions on all its rows."""
    everything = made.table_queue(tmp_path)
    rows = (
        replace(row, selection_probability=1 / 3, reason="random", draw=1)
        for row in everything.candidates[:4]
    )
    drawn = replace(everything, candidates=tuple(rows))
    rewrite_queue(drawn)
    answered(drawn, 0)
    decisions = replace(everything, path=tmp_path / DECISIONS)
    rewrite_queue(decisions)
    return drawn, decisions


def test_answered_rows_are_added_as_chosen_rows(queues: tuple[Queue, Queue]) -> None:
    drawn, decisions = queues
    answered(decisions, 0, 3, 7, 9)
    taken = take(drawn.path, decisions.path)
    assert (taken.rows, taken.known) == (2, 2)
    found = read(drawn.path)
    assert found.index.tolist() == [0, 7, 9]
    assert found.queue.candidates[:4] == drawn.candidates
    assert (found.foreign, found.labels) == (0, ["fox"] * 3)
    probability, _ = draws_of(found)
    assert [p > 0 for p in probability.tolist()] == [True, False, False]


def test_the_same_again_adds_what_is_new(queues: tuple[Queue, Queue]) -> None:
    drawn, decisions = queues
    answered(decisions, 7)
    take(drawn.path, decisions.path)
    answered(decisions, 7, label="cat")
    answered(decisions, 8)
    taken = take(drawn.path, decisions.path)
    assert (taken.rows, taken.known) == (1, 1)
    found = read(drawn.path)
    assert (found.index.tolist(), found.labels) == ([0, 7, 8], ["fox"] * 3)


def test_a_power_cut_between_answers_and_rows_loses_nothing(
    queues: tuple[Queue, Queue], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn, decisions = queues
    answered(decisions, 7, 9)

    def cut(_: Queue) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("gdw.verify.taking.rewrite_queue", cut)
        with pytest.raises(KeyboardInterrupt):
            take(drawn.path, decisions.path)
    assert read(drawn.path).index.tolist() == [0]
    take(drawn.path, decisions.path)
    assert read(drawn.path).index.tolist() == [0, 7, 9]


def test_what_cannot_be_taken_changes_nothing(queues: tuple[Queue, Queue], tmp_path: Path) -> None:
    drawn, decisions = queues
    with pytest.raises(DataError, match=rf"{DECISIONS} has no answers yet"):
        take(drawn.path, decisions.path)
    answered(decisions, 7)
    before = drawn.path.read_bytes(), answers_of(drawn.path).read_bytes()
    (tmp_path / "other.csv").write_text("label\n")
    rewrite_queue(replace(decisions, data="other.csv"))
    with pytest.raises(DataError, match=r"is about .*other.csv, and .*v.jsonl about .*d.csv"):
        take(drawn.path, decisions.path)
    rewrite_queue(replace(decisions, label="name"))
    with pytest.raises(DataError, match=r"with the label label for .*, with name for"):
        take(drawn.path, decisions.path)
    rewrite_queue(decisions)
    data = tmp_path / "d.csv"
    data.write_text(data.read_text().replace("\n7,", "\n70,"))
    with pytest.raises(DataError, match=r"row 7 of .*d.csv is not as it was"):
        take(drawn.path, decisions.path)
    made_again = made.table_queue(tmp_path)
    rewrite_queue(replace(made_again, candidates=drawn.candidates))
    journal = Journal(answers_of(drawn.path))
    with pytest.raises(RunError):
        take(drawn.path, decisions.path)
    journal.close()
    assert (drawn.path.read_bytes(), answers_of(drawn.path).read_bytes()) == before
