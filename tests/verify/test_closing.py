"""What is said about the answers when a sitting ends."""

from __future__ import annotations

from pathlib import Path

from gdw.data.verification import Answer, Journal, answers_of, read
from gdw.verify.closing import results, training_command
from tests.verify import made


def test_how_much_is_verified_and_whether_the_shown_label_sways(tmp_path: Path) -> None:
    queue = made.table_queue(tmp_path)
    journal = Journal(answers_of(queue.path))
    for n, row in enumerate(queue.candidates[:6]):
        # Where the label is shown, all agree with it; where it is hidden, one of three does.
        label = row.given_label if n >= 2 else "cat" if row.given_label != "cat" else "fox"
        journal.append(Answer(row.index, row.digest, "label", (label,), "ann", blind=n < 3))
    journal.close()
    assert list(results(read(queue.path))) == [
        "v.jsonl: 6 of 12 rows verified, 6 not answered",
        "of 6 verified rows, 2 had another label in the data",
        "answers that agree with the data: 33% of 3 where its label was hidden, 100% of 3 where it was shown",
    ]


def test_the_command_that_trains_names_what_is_not_the_default(tmp_path: Path) -> None:
    (tmp_path / "my data").mkdir()
    queue = made.table_queue(tmp_path / "my data", label="kind of")
    found = training_command(read(queue.path))
    folder = tmp_path / "my data"
    assert found == (
        f"gdw train '{folder}/d.csv' --label 'kind of' --meta '{folder}/v.jsonl' --output RUN"
    )


def test_the_command_names_the_data_without_detours(tmp_path: Path) -> None:
    queue = made.table_queue(tmp_path)
    (tmp_path / "lists").mkdir()
    moved = tmp_path / "lists" / "v.jsonl"
    moved.write_text(queue.path.read_text().replace('"data": "d.csv"', '"data": "../d.csv"'))
    assert f"gdw train {tmp_path}/d.csv --meta" in training_command(read(moved))
