"""`gdw audit` certifies the share of wrong labels, and its copies keep what they promise."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from gdw.cli.app import app
from gdw.data.verification import Answer, Candidate, Journal, answers_of, read_queue
from gdw.suggestion.changes import Changes
from gdw.suggestion.draws import draws_of
from gdw.suggestion.run_certificate import RunCertificate

Run = Callable[..., Result]
ROWS = 400
TRUE = np.where(np.arange(ROWS) % 2, "dog", "cat")
WRONG = np.arange(ROWS) % 9 == 0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data of which 11 % are wrong, a run without verified rows, and files of random and of mixed rows."""
    folder = tmp_path_factory.mktemp("certified")
    x = np.random.default_rng(0).normal(8 * (TRUE == "dog"), 1)
    given = np.where(WRONG, np.where(TRUE == "dog", "cat", "dog"), TRUE)
    pd.DataFrame({"x": x.round(3), "label": given}).to_csv(folder / "d.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _suggest("random.jsonl", 150, "random")
        _suggest("mixed.jsonl", 80, "mixed")
        _call(*_TRAIN, "run")
        _call(*_TRAIN, "run_mixed", "--meta", "mixed.jsonl")
    return folder


_TRAIN = (
    "train", "d.csv", "--label", "label", "--method", "plain", "--epochs", "2", "--model", "mlp:4",
    "--accelerator", "cpu", "--progress", "none", "--output",
)  # fmt: skip


def _call(*words: object) -> Result:
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code in (0, 2), done.output
    return done


def _suggest(output: str, n: int, strategy: str) -> None:
    words = ("suggest", "d.csv", "--label", "label", "-n", n, "--strategy", strategy)
    assert _call(*words, "--output", output).exit_code == 0
    _answer(output)


def _answer(path: str) -> None:
    journal = Journal(answers_of(path))
    answered = {answer.index for answer in journal.answers}
    for row in read_queue(path).candidates:
        if row.index not in answered:
            journal.append(Answer(row.index, row.digest, "label", (str(TRUE[row.index]),)))
    journal.close()


@pytest.fixture
def gdw(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, in a copy of the folder."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return _call


def _refused(done: Result, *parts: str) -> None:
    assert done.exit_code == 2, done.output
    (line,) = done.stderr.splitlines()
    for part in parts:
        assert part in line, line


def _shown(done: Result) -> str:
    assert done.exit_code == 0, done.output
    return " ".join(done.output.split())


def test_without_random_rows_it_says_what_to_do(gdw: Run) -> None:
    said = _shown(gdw("audit", "run", "--top", 0))
    assert "no certificate of the share of wrong labels: no row of the data was drawn at" in said
    command = "gdw suggest d.csv --strategy random -n 60 --output random.jsonl"
    assert f"to get one: {command}; then gdw verify random.jsonl; then gdw audit run --ver" in said
    assert "estimated share of wrong labels: " in said
    assert json.loads(Path("run/audit.json").read_text())["certificate"] is None
    assert "probability_wrong" not in pd.read_csv("run/label_issues.csv")
    asked = gdw("audit", "run", "--target-error", 0.03)
    _refused(asked, "no certificate: no row of the data was drawn at random and verified")


def test_random_rows_certify_the_share_with_its_basis(gdw: Run) -> None:
    said = _shown(gdw("audit", "run", "--verified", "random.jsonl", "--top", 0))
    report = json.loads(Path("run/audit.json").read_text())["certificate"]
    share = report["share"]
    assert f"certified: {share['sentence']}" in said
    assert "estimated share" not in said
    assert (share["rows"], share["verified"], share["confidence"]) == (ROWS, 150, 0.95)
    assert share["low"] <= WRONG.mean() <= share["high"]
    assert share["high"] - share["low"] < 0.08, "the scores of all rows help"
    for sentence in share["assumptions"]:
        assert sentence in said
    assert "wrong labels by class (each interval is 95% sure by itself)" in said
    for by_class in report["classes"]:
        limits = f"{by_class['low']:.1%} to {by_class['high']:.1%}"
        assert limits in said
        assert f"{by_class['wrong']} of {by_class['verified']}" in said
    now = 100 * (share["high"] - share["low"])
    then = 100 * report["expected_widths"]["100"]
    more = "gdw suggest --run run --for certificate -n 100 --output random.jsonl"
    with_more = f"with 100 more rows it would be about {then:.1f}: {more}"
    assert f"the interval is {now:.1f} points wide; {with_more}" in said
    assert "of the rows labelled dog belong to another class" in said
    assert len(report["relabelled"]["rows"]) == len(report["relabelled"]["high"])
    frame = pd.read_csv("run/label_issues.csv").set_index("index").sort_index()
    likely = frame["probability_wrong"]
    assert likely[WRONG].min() > 0.5 > likely[~WRONG].max()
    summary = json.loads(Path("run/audit.json").read_text())
    classes = summary["by_class"]
    of_classes = np.average(
        [row["wrong_share"] for row in classes], weights=[row["examples"] for row in classes]
    )
    assert summary["estimated_wrong_share"] == pytest.approx(likely.mean(), abs=1e-5)
    assert of_classes == pytest.approx(likely.mean(), abs=1e-5), "the classes agree with it"
    listed = _shown(gdw("audit", "run", "--issues", "run/label_issues.csv", "--top", 0))
    assert "estimated share" not in listed
    assert gdw("audit", "run", "--top", 0).exit_code == 0, "the list is not taken for edited"


def test_the_scores_do_not_know_the_verified_labels(gdw: Run) -> None:
    """The verified labels of the training rows are those of another class: the scores stay."""
    from gdw.runs.auditing import audit
    from gdw.suggestion.run_certificate import certify_run

    before = certify_run(audit("run"), verified="random.jsonl")
    answers_of("random.jsonl").unlink()
    journal = Journal(answers_of("random.jsonl"))
    for row in read_queue("random.jsonl").candidates:
        journal.append(Answer(row.index, row.digest, "label", ("dog",)))
    journal.close()
    after = certify_run(audit("run"), verified="random.jsonl")
    assert (before.scores, before.changes.scores) == ("quick models", "list")
    np.testing.assert_array_equal(before.certificate.doubt, after.certificate.doubt)
    np.testing.assert_array_equal(before.changes.doubt, after.changes.doubt)
    np.testing.assert_array_equal(before.changes.suggested, after.changes.suggested)
    assert after.certificate.share.wrong != before.certificate.share.wrong


@pytest.mark.parametrize("mode", ["KEEP", "RELABEL"])
def test_a_copy_with_a_target_changes_exactly_the_rows_of_the_decision(gdw: Run, mode: str) -> None:
    words = ("audit", "run", "--verified", "random.jsonl", "--target-error", 0.04, "--top", 0)
    said = _shown(gdw(*words, "--apply", mode, "--output", "new.csv"))
    report = json.loads(Path("run/audit.json").read_text())["certificate"]
    what = "drop" if mode == "KEEP" else "relabel"
    (decision,) = [found for found in report["decisions"] if found["what"] == what]
    assert decision["sentence"] in said
    applied = {"mode": mode, "output": "new.csv", "sentence": decision["sentence"]}
    assert report["applied"] == applied
    assert "note: each of these statements is 95% sure by itself, not all together" in said
    old, new = pd.read_csv("d.csv"), pd.read_csv("new.csv")
    verified = {row.index for row in read_queue("random.jsonl").candidates}
    if mode == "RELABEL":
        changed = np.flatnonzero(old["label"] != new["label"])
        assert (new["label"] != TRUE).mean() <= 0.04
        by_decision = len(set(changed) - verified)
    else:
        kept = old.reset_index().merge(new, on=["x", "label"])["index"]
        assert WRONG[kept].mean() <= 0.04
        by_decision = len(set(range(ROWS)) - set(kept) - verified)
    assert 0 < by_decision <= decision["rows"]
    most = decision["rows"] + len([row for row in verified if WRONG[row]])
    assert len(set(range(ROWS))) - len(new) <= most


def test_the_rows_of_a_decision_come_in_the_order_that_was_certified() -> None:
    # The most doubtful row has no other likely class. It is not relabelled, and of a list left out first.
    doubt, suggested = np.array([0.9, 0.7, 0.8, 0.1]), np.array([0, 1, 1, 0])
    frame = pd.DataFrame({"index": np.arange(4), "given_label": "a", "suggested_label": "a"})

    def changed(scores: Any, rows: int, *, relabelled: bool) -> list[bool]:
        given = np.zeros(4, dtype=np.int64)
        changes = Changes(np.arange(4), given, doubt, suggested, 1 - doubt, scores)
        certificate: Any = None
        found = RunCertificate(certificate, changes.numbers, scores, changes, ("a", "b"), {}, {})
        issues: list[bool] = found.applied(frame, rows, relabelled=relabelled)[
            "is_label_issue"
        ].tolist()
        return issues

    for scores in ("list", "quick models"):
        assert changed(scores, 1, relabelled=True) == [False, False, True, False]
        assert changed(scores, 2, relabelled=True) == [False, True, True, False]
    assert changed("list", 1, relabelled=False) == [True, False, False, False]
    assert changed("quick models", 1, relabelled=False) == [False, False, True, False]


def test_the_run_says_what_was_applied_also_after_an_audit_without_a_target(gdw: Run) -> None:
    words = ("audit", "run", "--verified", "random.jsonl", "--top", 0)
    gdw(*words)
    before = json.loads(Path("run/audit.json").read_text())
    assert "applied" not in before["certificate"]
    gdw(*words, "--target-error", 0.04, "--apply", "KEEP", "--output", "new.csv")
    after = json.loads(Path("run/audit.json").read_text())
    assert after["certificate"]["applied"]["output"] == "new.csv"
    assert len(after["certificate"]["decisions"]) == 2
    after["certificate"] = before["certificate"]
    assert after == before, "the rest stays"


def test_rows_that_training_drew_by_true_labels_are_a_sample(gdw: Run) -> None:
    pd.read_csv("d.csv").assign(true=TRUE).to_csv("t.csv", index=False)
    train = [word if word != "d.csv" else "t.csv" for word in _TRAIN]
    _call(*train, "run_drawn", "--meta-size", 80, "--meta-label", "true")
    said = _shown(gdw("audit", "run_drawn", "--top", 0))
    share = json.loads(Path("run_drawn/audit.json").read_text())["certificate"]["share"]
    assert (share["rows"], share["verified"]) == (ROWS, 80)
    assert share["low"] <= WRONG.mean() <= share["high"]
    assert f"certified: {share['sentence']}" in said
    _call(*train, "run_unknown", "--meta-size", 80, "--drop", "true")
    said = _shown(gdw("audit", "run_unknown", "--top", 0))
    assert "nobody has verified the rows that --meta-size drew" in said


def test_the_file_that_the_run_was_trained_with_has_to_be_there(gdw: Run) -> None:
    answers_of("mixed.jsonl").unlink()
    Path("mixed.jsonl").unlink()
    asked = gdw("audit", "run_mixed", "--verified", "random.jsonl")
    _refused(asked, "mixed.jsonl, with which the run was trained, is not there")


def test_verifiers_who_err_widen_what_is_certified(gdw: Run) -> None:
    words = ("audit", "run", "--verified", "random.jsonl", "--top", 0, "--target-error", 0.06)

    def certified(*more: object) -> dict[str, Any]:
        said = _shown(gdw(*words, *more))
        found: dict[str, Any] = json.loads(Path("run/audit.json").read_text())["certificate"]
        assert all(sentence in said for sentence in found["share"]["assumptions"])
        return found

    right, erring = certified(), certified("--verifier-error", 0.02)
    assert erring["share"]["low"] < right["share"]["low"]
    assert erring["share"]["high"] > right["share"]["high"]
    assert erring["decisions"][0]["rows"] > right["decisions"][0]["rows"]
    assert {share["by"] for share in erring["classes"]} == {"given"}
    _refused(
        gdw(*words, "--verifier-error", "overlap"),
        "no row of random.jsonl has the answers of two people: let another person answer some",
    )
    journal = Journal(answers_of("random.jsonl"))
    for i, row in enumerate(read_queue("random.jsonl").candidates):
        label = "dog" if i % 10 == 0 else str(TRUE[row.index])
        journal.append(Answer(row.index, row.digest, "label", (label,), annotator="bob"))
        settled = (str(TRUE[row.index]),)
        journal.append(Answer(row.index, row.digest, "label", settled, "bob", resolves=True))
    journal.close()
    estimated = certified("--verifier-error", "overlap")
    assert estimated["notes"][-1].startswith("two people answered 150 rows, and differ in ")
    assert estimated["notes"][-1].split()[-1] != "0"
    assert estimated["share"]["low"] < erring["share"]["low"]
    assert "are wrong in at most " in estimated["share"]["assumptions"][1]


def test_a_target_that_is_not_shown_is_refused(gdw: Run) -> None:
    words = (
        "audit",
        "run",
        "--verified",
        "random.jsonl",
        "--target-error",
        0.01,
        "--apply",
        "KEEP",
    )
    _refused(gdw(*words, "--output", "new.csv"), "no copy is written: 150 rows verified after the")
    assert not Path("new.csv").exists()


def test_rows_chosen_for_doubt_are_no_sample_and_the_others_stand_for_all_rows(gdw: Run) -> None:
    said = _shown(gdw("audit", "run_mixed", "--top", 0))
    share = json.loads(Path("run_mixed/audit.json").read_text())["certificate"]["share"]
    assert (share["rows"], share["verified"]) == (ROWS, 40)
    assert share["low"] <= WRONG.mean() <= share["high"]
    assert "note: 40 verified rows are left out, because they were not drawn at random" in said
    assert "more rows it would" not in said, "rows drawn after doubtful ones are no sample"


def test_draws_after_doubtful_ones_are_from_a_part_of_the_rows(gdw: Run) -> None:
    _suggest("mixed.jsonl", 50, "random")
    assert [row.draw for row in read_queue("mixed.jsonl").candidates] == [1] * 80 + [2] * 50
    gdw("audit", "run_mixed", "--top", 0)
    share = json.loads(Path("run_mixed/audit.json").read_text())["certificate"]["share"]
    assert share["verified"] == 40
    words = ("suggest", "d.csv", "--label", "label", "-n", 50, "--strategy", "random")
    assert gdw(*words, "--verified", "mixed.jsonl", "--output", "r.jsonl").exit_code == 0
    assert {row.draw for row in read_queue("r.jsonl").candidates} == {0}
    _answer("r.jsonl")
    _refused(gdw("audit", "run", "--verified", "r.jsonl"), "no certificate", "found 0 of 50")


def test_rows_that_were_drawn_for_a_certificate_give_one(gdw: Run) -> None:
    words = ("suggest", "--run", "run", "--for", "certificate", "-n", 40, "--output", "c.jsonl")
    first = _shown(gdw(*words))
    assert "points wide after 50 verified rows" in first
    assert "none verified yet" in first
    _answer("c.jsonl")
    second = _shown(gdw(*words))
    assert "40 rows more, 80 in all: c.jsonl" in second
    assert second.endswith("then: gdw audit run --verified c.jsonl")
    rows = read_queue("c.jsonl").candidates
    assert [row.draw for row in rows] == [1] * 40 + [2] * 40
    assert {row.reason for row in rows} == {"random", "certificate"}
    likely = np.array([row.selection_probability for row in rows])
    assert likely.max() > 2 * likely.min() > 0
    _answer("c.jsonl")
    said = _shown(gdw("audit", "run", "--verified", "c.jsonl", "--top", 0))
    share = json.loads(Path("run/audit.json").read_text())["certificate"]["share"]
    assert (share["rows"], share["verified"]) == (ROWS, 80)
    assert share["low"] <= WRONG.mean() <= share["high"]
    assert share["sentence"] in said
    again = _shown(gdw(*words))
    assert f"so far, by quick models: {share['sentence']}" in again, "both say the same"


def test_what_does_not_go_together_with_a_certificate(gdw: Run) -> None:
    def refused(*words: object, said: str) -> None:
        _refused(gdw("suggest", *words, "--for", "certificate", "--output", "mixed.jsonl"), said)

    data = ("d.csv", "--label", "label")
    refused(*data, said="mixed.jsonl has 40 rows that were not drawn from all rows of the data")
    refused(*data, "--limit", 100, said="leave --limit out (rows are drawn from all of DATA)")
    refused(*data, "--verified", "random.jsonl", said="--output FILE adds to a file that has some")
    refused("--run", "run", "--label", "label", said="the options of the data are those of the run")
    frame = pd.read_csv("d.csv")
    frame.loc[[row.index for row in read_queue("random.jsonl").candidates], "label"] = "cat"
    frame.to_csv("d.csv", index=False)
    _refused(
        gdw("suggest", *data, "--for", "certificate", "--output", "random.jsonl"),
        "of random.jsonl have changed since it was made, so its rows are no sample",
    )


def test_a_run_whose_rows_were_drawn_at_random_says_so(gdw: Run) -> None:
    _call(*_TRAIN, "run_random", "--meta", "random.jsonl")
    words = ("suggest", "--run", "run_random", "--for", "certificate", "-n", 20, "--output")
    assert "--output random.jsonl would add to them" in _shown(gdw(*words, "c.jsonl"))
    assert "20 rows more, 170 in all" in _shown(gdw(*words, "random.jsonl"))
    gdw("audit", "run_random", "--top", 0)
    share = json.loads(Path("run_random/audit.json").read_text())["certificate"]["share"]
    assert (share["rows"], share["verified"]) == (ROWS, 150)


def test_draws_after_rows_of_a_part_are_no_sample() -> None:
    rows = [Candidate(i, "", "a", (), 0.1, "random", draw=d) for i, d in enumerate([1, 0, 2])]
    drawn: Any = SimpleNamespace(
        queue=SimpleNamespace(candidates=tuple(rows)),
        index=np.arange(3),
        selection_probability=np.full(3, 0.1),
    )
    assert np.isnan(draws_of(drawn)[0]).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--target-error", "1"), "--target-error: expected a share above 0 and below 1"),
        (
            ("--confidence", "95"),
            "--confidence: expected a share above 0 and below 1, such as 0.95",
        ),
        (
            ("--verified", "d.csv"),
            "expected a verification file that gdw suggest wrote, found d.csv",
        ),
        (("--verified", "random.jsonl", "--issues", "d.csv"), "leave one of them out"),
        (("--verifier-error", "2"), "--verifier-error: expected a share from 0 to below 0.5, such"),
        (("--verifier-error", "two"), "or overlap, found 'two'"),
    ],
)
def test_mistakes(gdw: Run, words: tuple[str, ...], said: str) -> None:
    _refused(gdw("audit", "run", *words), said)


def test_labels_that_were_corrected_are_no_sample(gdw: Run) -> None:
    frame = pd.read_csv("d.csv")
    rows = [row.index for row in read_queue("mixed.jsonl").candidates]
    frame.loc[rows, "label"] = TRUE[rows]
    frame.to_csv("d.csv", index=False)
    said = _shown(gdw("audit", "run_mixed", "--top", 0))
    assert "of mixed.jsonl have changed since it was made, so its rows are no sample" in said


def test_the_command_for_random_rows_shows_no_verified_labels(tmp_path: Path) -> None:
    from gdw.cli.introduction import random_rows_command
    from gdw.runs import DataConfig

    data = DataConfig(path="d.csv", label="y", trusted="ok", meta_label="truth", drop=["id"])
    said = random_rows_command(data, 60, "r.jsonl")
    draw = "--strategy random -n 60 --output r.jsonl"
    assert said == f"gdw suggest d.csv --drop id,truth,ok --label y {draw}"
