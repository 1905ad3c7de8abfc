"""`gdw verify` on the command line."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gdw.cli.verify import _closing
from gdw.data.verification import Answer, Journal, answers_of, read
from gdw.data.verification.queue_file import rewrite_queue
from tests.cli.conftest import Run
from tests.verify import made

GDW = (sys.executable, "-m", "gdw", "verify")


def sitting(folder: Path, *options: str, codes: Sequence[int]) -> str:
    """Answer rows through the page's own requests, then press Ctrl-C; what the command printed."""
    with subprocess.Popen(
        [*GDW, "v.jsonl", "--no-browser", *options],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        lines = []
        while not (found := re.search(r"(http://\S+)/\?token=(\S+)", lines[-1] if lines else "")):
            lines.append(process.stdout.readline())
            assert lines[-1], lines
        root, token = found.groups()
        name = f"gdw_verify_{root.rpartition(':')[2]}"

        def ask(path: str, **content: object) -> dict[str, object]:
            request = urllib.request.Request(
                root + path,
                json.dumps(content).encode(),
                {"Content-Type": "application/json", "Origin": root, "Cookie": f"{name}={token}"},
            )
            with urllib.request.urlopen(request, timeout=20) as response:
                answer: dict[str, object] = json.load(response)
            return answer

        page = ask("/start")
        for code in codes:
            item = page["item"]
            assert isinstance(item, dict)
            page = ask("/answer", n=item["n"], seen=item["seen"], answer="label", labels=[code])
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=30)
        assert process.returncode == 0, rest
    return "".join(lines) + rest


@pytest.fixture
def heard() -> Iterator[None]:
    """As in a terminal, also if the tests run in the background or under `nohup`, which ignore signals."""
    ignored = [
        one for one in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(one) is signal.SIG_IGN
    ]
    for one in ignored:
        signal.signal(one, signal.SIG_DFL)
    yield
    for one in ignored:
        signal.signal(one, signal.SIG_IGN)


def test_it_ends_with_what_is_saved_and_what_to_type_next(tmp_path: Path, heard: None) -> None:
    made.table_queue(tmp_path)
    said = sitting(tmp_path, "--annotator", "ann", codes=[0, 1, 1])
    assert "0 of 12 rows verified, 12 not answered; annotator ann" in said
    assert "saved in v.answers.jsonl: 3 answers in this sitting" in said
    assert "v.jsonl: 3 of 12 rows verified, 9 not answered" in said
    assert "of 3 verified rows, 1 had another label in the data" in said
    assert "to go on: gdw verify v.jsonl" in said
    assert "next: gdw train d.csv --meta v.jsonl --output RUN" in said
    said = sitting(tmp_path, "--annotator", "bob", codes=[0, 2])
    assert "ann and bob agree on 1 of 2 rows that both labelled (Cohen's kappa 0.33)" in said
    assert "to settle the conflicts: gdw verify v.jsonl --conflicts" in said
    assert read(tmp_path / "v.jsonl").counts["conflict"] == 1
    assert not list(tmp_path.glob(".*lock*"))


def test_what_to_type_next_keeps_all_answers_and_is_not_refused(tmp_path: Path) -> None:
    queue = made.table_queue(tmp_path)
    desk, folder = made.desk(queue, suggest=True), shlex.quote(str(tmp_path))
    desk.answer({**desk.start({})["item"], "answer": "label", "labels": [0]})
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text("format: 1\ndata: {path: d.csv}\n")
    *_, said, training = _closing(desk, run, None)
    words = f"{shlex.quote(str(run))} --apply RELABEL --issues {folder}/v.jsonl --output FILE"
    assert said.endswith(f"gdw audit {words}")
    assert training.endswith(f"--meta {folder}/v.jsonl --output RUN")
    (run / "config.yaml").write_text(f"format: 1\ndata: {{path: d.csv, meta: {queue.path}}}\n")
    *_, training = _closing(desk, run, None)
    assert training.endswith(f"gdw verify {folder}/v.jsonl --import {folder}/v.jsonl")
    (run / "config.yaml").write_text("format: 1\ndata: {path: d.csv, trusted: checked}\n")
    assert "--apply" in list(_closing(desk, run, None))[-1]
    *_, said = _closing(desk, queue.path, Path("bob.jsonl"))
    merged = f"{folder}/v.answers.jsonl"
    assert said.endswith(f"gdw verify {merged} bob.jsonl --merge {merged}")
    desk.close()


def test_to_label_studio_and_back_and_merged(tmp_path: Path, gdw: Run) -> None:
    made.table_queue(tmp_path)
    assert gdw("verify", "v.jsonl", "--export", "tasks.json").output == (
        "tasks.json, tasks.xml: 12 rows, 0 of 12 rows verified, 12 not answered\n"
        "to take the answers back: gdw verify v.jsonl --import FILE\n"
    )
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    for task in tasks[:3]:
        result = {"type": "choices", "value": {"choices": ["fox"]}}
        task["annotations"] = [{"result": [result], "completed_by": 1}]
    (tmp_path / "export.json").write_text(json.dumps(tasks))
    said = gdw("verify", "v.jsonl", "--import", "export.json").output
    assert said.startswith("export.json: 3 answers, 9 rows without an answer\n")
    assert "of 3 verified rows, 2 had another label in the data" in said
    (tmp_path / "v.answers.jsonl").rename(tmp_path / "one.answers.jsonl")
    for task in tasks[:2]:
        task["annotations"] = [
            {"result": [{**result, "value": {"choices": ["cat"]}}], "completed_by": 2}
        ]
    (tmp_path / "export.json").write_text(json.dumps(tasks[:2]))
    gdw("verify", "v.jsonl", "--import", "export.json")
    (tmp_path / "v.answers.jsonl").rename(tmp_path / "two.answers.jsonl")
    merge = ("verify", "one.answers.jsonl", "two.answers.jsonl", "--merge", "v.answers.jsonl")
    said = gdw(*merge).output
    assert "Label Studio 1 and Label Studio 2 agree on 0 of 2 rows that both labelled" in said
    assert "in conflict:\n  row 0 of d.csv (Label Studio 1: fox, Label Studio 2: cat)\n" in said
    assert "to settle the conflicts: gdw verify v.jsonl --conflicts" in said
    assert "exists already" in gdw(*merge).stderr
    assert "exclude each other" in gdw(*merge, "--export", "x.json").stderr


def test_answers_without_a_name_are_those_of_the_one_who_has_answered(
    tmp_path: Path, gdw: Run
) -> None:
    queue = made.table_queue(tmp_path)
    journal = Journal(answers_of(queue.path))
    row = queue.candidates[0]
    journal.append(Answer(row.index, row.digest, "label", ("fox",), annotator="ann"))
    journal.close()
    (tmp_path / "x.csv").write_text(f"index,label\n{row.index},cat\n")
    gdw("verify", "v.jsonl", "--import", "x.csv")
    assert read(queue.path).described() == "1 of 12 rows verified, 11 not answered"
    assert read(queue.path).labels == ["cat"]
    gdw("verify", "v.jsonl", "--import", "x.csv", "--annotator", "bob")
    assert read(queue.path).annotators == ("ann", "bob")


def test_the_decisions_of_a_run_become_verified_rows(tmp_path: Path, gdw: Run) -> None:
    queue = made.table_queue(tmp_path)
    rows = queue.candidates
    (tmp_path / "run").mkdir()
    rewrite_queue(replace(queue, path=tmp_path / "run/u.jsonl", data="../d.csv"))
    rewrite_queue(replace(queue, candidates=rows[:4]))
    journal = Journal(answers_of(tmp_path / "run/u.jsonl"))
    for row in rows[3:6]:
        journal.append(Answer(row.index, row.digest, "label", ("fox",), annotator="ann"))
    journal.close()
    outcome = gdw("verify", "v.jsonl", "--import", "run/u.jsonl")
    assert outcome.output.startswith("run/u.jsonl: 2 new rows with answers\n")
    assert "v.jsonl: 2 of 6 rows verified, 4 not answered" in outcome.output
    assert "next: gdw train d.csv --meta v.jsonl --output RUN" in outcome.output
    assert "1 row of it was in v.jsonl before: only what is answered there" in outcome.stderr
    said = gdw("verify", "v.jsonl", "--import", "run/u.jsonl", "--annotator", "bob").stderr
    assert "says itself who has answered: leave --annotator out" in said


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_page_as_ctrl_c_does(tmp_path: Path, heard: None, name: str) -> None:
    made.table_queue(tmp_path)
    words = [*GDW, "v.jsonl", "--no-browser"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "Ctrl-C" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(getattr(signal, name))
        said = process.communicate(timeout=60)[0]
    assert "saved in v.answers.jsonl: 0 answers in this sitting" in said
    assert "to go on: gdw verify v.jsonl\n" in said
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["d.csv"], "d.csv is not a verification file: gdw suggest DATA --output FILE makes one"),
        (["w.jsonl"], "no file or folder 'w.jsonl'. Did you mean 'v.jsonl'?"),
        (["v.jsonl", "--blind-share", "2"], "Input should be less than or equal to 1"),
        (["v.jsonl", "--rows", "3,x"], "expected row numbers separated by commas, such as 3,17"),
        (["v.jsonl", "--data", "x.csv"], "say where they are with --data"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, gdw: Run, arguments: list[str], message: str
) -> None:
    made.table_queue(tmp_path)
    found = gdw("verify", *arguments)
    assert found.exit_code == 2
    assert message in found.stderr
    assert found.stderr.count("\n") == 1
