"""`gdw suggest` on the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gdw.cli.app import app
from gdw.cli.introduction import suggest_command
from gdw.data.verification import Answer, Candidate, Journal, answers_of, read, read_queue
from gdw.runs import DataConfig
from tests.data.files import image_folder, png

CHECKED = {0, 1, 2, 3, 9}  # of all three labels


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(0)
    lines = ["x,y,checked,label"]
    for i in range(120):
        k = int(i % 10 > 6) + int(i % 10 > 8)  # 70 %, 20 %, 10 %
        given = "abc"[(k + (i % 7 == 0)) % 3]
        x, y = rng.normal((3 * k, -3 * k), 0.5)
        lines.append(f"{x:.3f},{y:.3f},{'yes' if i in CHECKED else ''},{given}")
    (tmp_path / "d.csv").write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def suggest(*arguments: str, status: int = 0) -> str:
    result = CliRunner().invoke(app, ["suggest", *arguments])
    assert result.exit_code == status, result.output
    return result.output


def answer(path: Path, labels: Sequence[str]) -> None:
    journal = Journal(answers_of(path))
    for row, label in zip(read_queue(path).candidates, labels, strict=False):
        journal.append(Answer(row.index, row.digest, "label", (label,), annotator="ann"))
    journal.close()


def test_the_file_is_balanced_over_the_likely_classes_and_is_what_verify_and_train_take(
    folder: Path,
) -> None:
    said = suggest("d.csv", "-n", "18", "--drop", "checked", "--output", "v.jsonl")
    assert "120 rows (table), 3 classes, none verified yet" in said
    assert "18 rows: v.jsonl (strategy mixed)" in said
    assert "by likely class: 'a' 6, 'b' 6, 'c' 6" in said
    assert "next: gdw verify v.jsonl (about 1 minute, 3 s each)" in said
    queue = read(folder / "v.jsonl").queue
    assert (queue.strategy, queue.seed, queue.columns) == ("mixed", 0, ("x", "y"))
    drawn = [row for row in queue.candidates if row.reason == "balanced"]
    assert len(drawn) == 9
    assert all(row.selection_probability for row in drawn)
    assert all(len(row.likely) == 3 and len(row.neighbours) == 4 for row in queue.candidates)
    doubted = [row for row in queue.candidates if row.reason == "doubtful"]
    assert all(row.selection_probability is None for row in doubted)


def test_the_same_command_adds_rows_and_counts_those_that_are_there(folder: Path) -> None:
    suggest("d.csv", "-n", "12", "--output", "v.jsonl")
    before = read_queue(folder / "v.jsonl").candidates
    answer(folder / "v.jsonl", "aaaa")
    said = suggest("d.csv", "-n", "6", "--output", "v.jsonl")
    assert "v.jsonl: 4 of 12 rows verified, 8 not answered" in said
    assert "4 verified before" in said
    assert "6 rows more, 18 in all: v.jsonl" in said
    found = read(folder / "v.jsonl")
    assert found.queue.candidates[:12] == before
    assert len({row.index for row in found.queue.candidates}) == 18
    assert len(found.index) == 4
    assert "worth can be told from 60 verified rows drawn at random; there are 2" in said
    said = suggest("d.csv", "-n", "6", "--drop", "y", "--output", "v.jsonl", status=2)
    assert "rows cannot be added to v.jsonl, which has other columns" in said
    suggest("d.csv", "-n", "6", "--drop", "y", "--output", "v.jsonl", "--force")
    assert len(read_queue(folder / "v.jsonl")) == 6


def test_rows_verified_elsewhere_are_counted_and_not_suggested(folder: Path) -> None:
    said = suggest(
        "d.csv", "-n", "20", "--strategy", "balanced", "--trusted", "checked", "--output", "v.jsonl"
    )
    assert "5 verified before" in said
    assert "learning from 2 columns" in said
    queue = read_queue(folder / "v.jsonl")
    assert not CHECKED & {row.index for row in queue.candidates}
    answer(folder / "v.jsonl", "abcabc")
    suggest("d.csv", "-n", "90", "--verified", "v.jsonl", "--output", "w.jsonl")
    others = {row.index for row in read_queue(folder / "w.jsonl").candidates}
    assert not others & {row.index for row in queue.candidates[:6]}
    (folder / "meta.csv").write_text("x,y,label\n" + "0,0,a\n" * 30)
    said = suggest(
        "d.csv", "-n", "8", "--drop", "checked", "--meta", "meta.csv", "--output", "u.jsonl"
    )
    assert "30 verified before" in said
    assert "by likely class: 'a' 0, 'b' 4, 'c' 4" in said


def test_what_more_rows_are_worth_is_said(folder: Path) -> None:
    options = ["d.csv", "--drop", "checked", "--strategy", "balanced", "--output", "v.jsonl"]
    suggest(*options, "-n", "90")
    rows = [row.index % 10 for row in read_queue(folder / "v.jsonl").candidates]
    answer(folder / "v.jsonl", ["abc"[int(i > 6) + int(i > 8)] for i in rows])
    said = suggest(*options, "-n", "10")
    assert (
        "the balanced accuracy of quick models is 100 % now, and as much with 100 more verified rows: "
        "they are hardly worth it" in said
    )


def test_what_is_missing_is_said(folder: Path) -> None:
    said = suggest("d.csv", "-n", "500", "--output", "v.jsonl")
    assert "500 rows were asked for; the data have 120 that are left" in said
    said = suggest("d.csv", "--output", "v.jsonl", status=2)
    assert "nothing is left to suggest: all 120 rows" in said
    said = suggest("d.csv", "-n", "2", "--output", "w.jsonl")
    assert "1 class gets no row, and 10 of each class are worth having: -n 30" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "v.jsonl"], "name the data: gdw suggest DATA"),
        (["dd.csv", "--output", "v.jsonl"], "Did you mean 'd.csv'?"),
        (["d.csv", "--output", "v.csv"], "v.csv has no suffix of a known format"),
        (["d.csv", "--output", "d.jsonl"], "d.jsonl exists already"),
        (["d.csv", "--output", "v.jsonl", "--strategy", "balancd"], "Did you mean 'balanced'?"),
        (["d.csv", "--output", "v.jsonl", "--verified", "d.csv"], "d.csv is not a verification file"),
        (["d.csv", "--output", "v.jsonl", "--trusted", "check"], "Did you mean 'checked'?"),
        (["d.csv", "--output", "v.jsonl", "--label", "lable"], "no column 'lable'"),
        (["d.csv", "--output", "v.jsonl", "--backbone", "package:minlm"], "Did you mean 'package:minilm'?"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(folder: Path, arguments: list[str], message: str) -> None:
    (folder / "d.jsonl").write_text("{}\n")
    said = suggest(*arguments, status=2)
    assert message in said
    assert said.count("\n") == 1
    assert not (folder / "v.jsonl").exists()


def test_images_and_texts(folder: Path) -> None:
    colours = {"a": (200, 0, 0), "b": (0, 0, 200)}
    files = {f"{k}/{i}.png": png(c, (9, 9 + i)) for k, c in colours.items() for i in range(6)}
    image_folder(folder / "images", files)
    said = suggest("images", "-n", "4", "--output", "i.jsonl")
    assert "12 rows (image), 2 classes" in said
    texts = [
        {"text": f"{'good' if i % 2 else 'bad'} thing {i}", "label": "np"[i % 2]} for i in range(30)
    ]
    (folder / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts))
    said = suggest("t.jsonl", "-n", "4", "--backbone", "none", "--output", "o.jsonl")
    assert "learning from the texts of 'text'" in said
    assert read_queue(folder / "o.jsonl").kind == "text"


def test_from_a_run_by_what_it_has_learned(folder: Path) -> None:
    runner = CliRunner()
    options = ["--epochs", "2", "--model", "mlp:8", "--method", "plain", "--output", "run"]
    trained = runner.invoke(app, ["train", "d.csv", "--trusted", "checked", *options])
    assert trained.exit_code == 0, trained.output
    said = suggest("--run", "run", "-n", "9", "--output", "v.jsonl")
    assert "115 rows (table), 3 classes, 5 verified before" in said
    assert "by what run has learned" in said
    queue = read_queue(folder / "v.jsonl")
    assert queue.columns == ("x", "y")
    assert not CHECKED & {row.index for row in queue.candidates}
    said = suggest("--run", "run", "--label", "x", "--output", "w.jsonl", status=2)
    assert "the options of the data are those of the run: leave --label out" in said


def test_training_without_verified_rows_says_how_to_make_some(folder: Path) -> None:
    config = DataConfig(path="my data.csv", drop=["x", "z"], header=False, noise="flip:0.1")
    expected = "gdw suggest 'my data.csv' --drop x,z --no-header --output verify.jsonl"
    assert suggest_command(config, 100) == expected
    assert "-n 300 --output" in suggest_command(config, 150)
    result = CliRunner().invoke(
        app, ["train", "d.csv", "--epochs", "1", "--model", "mlp:8", "--output", "r"]
    )
    assert (
        "to verify some: gdw suggest d.csv --output verify.jsonl; then gdw verify" in result.output
    )
    assert "the same command with --meta verify.jsonl" in result.output


def test_training_with_few_verified_rows_names_the_classes_and_how_to_verify_more(
    folder: Path,
) -> None:
    suggest("d.csv", "-n", "20", "--output", "v.jsonl")
    queue = read_queue(folder / "v.jsonl")
    journal = Journal(answers_of(queue.path))
    words = ["train", "d.csv", "--epochs", "1", "--model", "mlp:8", "--meta", "v.jsonl"]

    def answer(rows: Sequence[Candidate], run: str) -> str:
        for row in rows:
            label = row.likely[0][0]
            journal.append(Answer(row.index, row.digest, "label", (label,)))
        return CliRunner().invoke(app, [*words, "--output", run]).output

    said = answer(queue.candidates[:8], "few")
    assert "3 of 3 classes have fewer than 5 verified rows ('" in said
    assert "): others whose labels look right stand in; 3 more trainings find them\n" in said
    assert "to verify more: gdw verify v.jsonl goes on with 12 rows\n" in said
    for row in queue.candidates:
        journal.append(Answer(row.index, row.digest, "label", ("a",)))
    said = answer(queue.candidates[:0], "one")
    assert "2 of 3 classes have fewer than 5 verified rows ('b' 0, 'c' 0)" in said
    more = "gdw suggest d.csv --output v.jsonl adds rows of such classes; then gdw verify v.jsonl"
    assert f"to verify more: {more}\n" in said
    journal.close()
