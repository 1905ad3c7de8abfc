"""Decisions of a person on the label issues of a run, and the copies that take them."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from gdw.audit.evidence import EVIDENCE
from gdw.cli.app import app
from gdw.cli.audit_copy import Copy
from gdw.data import load as load_data
from gdw.data.verification import Answer, Journal, answers_of, read, write_queue
from gdw.errors import ConfigError, RunError
from gdw.runs import doubted_verified, load
from gdw.runs.auditing import RunAudit, audit
from gdw.runs.decisions import (
    decided,
    decisions,
    described,
    issues_to_verify,
    settled,
    verified_of_data,
)
from tests.audit.made import evidence
from tests.report import fabricated

NAMES = ("cat", "dog", "fox")
TRAINED, VERIFIED = 20, (20, 21, 22)
WRONG = (3, 5, 8, 12)


@pytest.fixture
def judged(tmp_path: Path) -> RunAudit:
    """A run on 24 rows of class i % 3, four of which the audit believes to be of the next class."""
    data = tmp_path / "d.csv"
    rows = "".join(f"{i},{NAMES[i % 3]}\n" for i in range(24))
    data.write_text(f"weight,label\n{rows}")
    source = load_data(data, label="label", features=["weight"])
    queue = write_queue(tmp_path / "v.jsonl", source, np.array(VERIFIED), label="label", data=data)
    say(queue.path, ["cat", "cat", "cat"])
    run = fabricated.run_folder(
        tmp_path / "run", NAMES, data=str(data), types={"weight": "number"}, meta=str(queue.path)
    )
    given = np.arange(TRAINED) % 3
    p = np.full((TRAINED, 3), 0.05)
    likely = np.where(np.isin(np.arange(TRAINED), WRONG), (given + 1) % 3, given)
    p[np.arange(TRAINED), likely] = 0.9
    evidence(p, given, rows=np.arange(TRAINED)).save(run / EVIDENCE)
    found = audit(run)
    frame = found.issues(problems=False)
    found.write(frame, found.noise_cells())
    return found


def say(queue: Path, labels: list[str | None]) -> None:
    """Answer the rows of a file in order; None: nobody can tell."""
    journal = Journal(answers_of(queue))
    for row, label in zip(read(queue).queue.candidates, labels, strict=False):
        kind = "cannot_tell" if label is None else "label"
        names = () if label is None else (label,)
        journal.append(Answer(row.index, row.digest, kind, names, annotator="ann"))
    journal.close()


def labels_of(path: Path) -> dict[int, str]:
    with path.open(newline="") as file:
        return {int(row["weight"]): row["label"] for row in csv.DictReader(file)}


def test_the_issues_of_the_audit_are_the_rows_to_verify(judged: RunAudit) -> None:
    path = issues_to_verify(judged)
    queue = read(path).queue
    assert path == judged.run.path / "verification.jsonl"
    assert sorted(row.index for row in queue.candidates) == list(WRONG)
    for row in queue.candidates:
        assert row.given_label == NAMES[row.index % 3]
        assert row.likely[0][0] == NAMES[(row.index + 1) % 3]
    assert decisions(judged.run) is None


def test_decisions_are_kept_when_the_list_is_written_again(judged: RunAudit) -> None:
    say(issues_to_verify(judged), ["cat"])
    again = read(issues_to_verify(judged))
    assert again.described() == "1 of 4 rows verified, 3 not answered"


def test_relabel_takes_the_decisions_and_the_verified_rows(
    judged: RunAudit, tmp_path: Path
) -> None:
    path = issues_to_verify(judged)
    first, second, third, fourth = (row.index for row in read(path).queue.candidates)
    before = labels_of(tmp_path / "d.csv")
    suggested = {i: NAMES[(i + 1) % 3] for i in WRONG}
    other = NAMES[(second + 2) % 3]
    say(path, [before[first], other, None])
    found = decisions(judged.run)
    assert found is not None
    assert described(found) == (
        "decisions of gdw verify: 1 new label, 1 kept, 1 without a clear class, 1 not decided"
    )
    frame = judged.issues(problems=False)
    on_issues = settled(judged.run, frame)
    assert on_issues is not None
    assert on_issues.described() == "3 of 4 issues decided (ann 3)"
    assert [on_issues.label(row) for row in (first, second, third, fourth)] == [
        before[first], other, "", None
    ]  # fmt: skip
    judged.write_copy("RELABEL", decided(judged, frame, found), tmp_path / "new.csv")
    # Of the verified rows 20, 21 and 22, whose classes are fox, cat and dog, two are really cats.
    expected = {**before, second: other, fourth: suggested[fourth], 20: "cat", 22: "cat"}
    assert labels_of(tmp_path / "new.csv") == expected
    alone = judged.edited_issues(path)
    judged.write_copy("RELABEL", alone, tmp_path / "alone.csv")
    assert labels_of(tmp_path / "alone.csv") == {**expected, fourth: before[fourth]}
    kept = decided(judged, frame, found, leave_out_unclear=True)
    copy = judged.write_copy("KEEP", kept, tmp_path / "kept.csv")
    assert set(before) - set(labels_of(tmp_path / "kept.csv")) == {second, third, fourth, 20, 22}
    assert (copy.left_out, copy.not_audited) == (5, 2)
    assert (copy.verified_right, copy.verified_wrong) == (1, 2)


def test_a_list_that_a_person_has_gone_through_is_applied_whatever_the_audit_is_worth(
    judged: RunAudit, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, frame = issues_to_verify(judged), judged.issues(problems=False)
    poor = judged.assessment(frame, judged.noise_cells())
    say(path, ["cat"])

    def copy() -> None:
        how = Copy("RELABEL", tmp_path / "new.csv", listed=None, checked=False, force=False)
        how.write(judged, frame, poor)

    assert not poor.allows("RELABEL")
    with pytest.raises(ConfigError, match=r"your decisions alone are applied by --issues .*jsonl$"):
        copy()
    say(path, ["cat", "cat", "cat", "cat"])
    copy()
    assert "decisions of gdw verify: " in capsys.readouterr().out
    assert labels_of(tmp_path / "new.csv")[12] == "cat"


def test_a_class_may_lose_all_that_a_person_has_decided_on(
    judged: RunAudit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gdw.audit.assessment._LARGEST_LOSS_OF_A_CLASS", 100)
    path, frame = issues_to_verify(judged), judged.issues(problems=False)
    doubted = judged.assessment(frame, judged.noise_cells())

    def copy(listed: Path | None) -> None:
        table = frame if listed is None else judged.edited_issues(listed)
        output = tmp_path / f"{listed is None}.csv"
        how = Copy("KEEP", output, listed=listed, checked=listed is not None, force=False)
        how.write(judged, table, doubted)

    with pytest.raises(ConfigError, match="more than a third of the rows of a class"):
        copy(None)
    say(path, ["dog", "cat", None, "cat"])
    for listed in (None, path):
        copy(listed)
    assert len(labels_of(tmp_path / "True.csv")) == 24 - 3 - 2
    assert len(labels_of(tmp_path / "False.csv")) == 24 - 2 - 2


def test_the_audit_says_what_is_decided_and_what_is_next(judged: RunAudit) -> None:
    run = judged.run.path

    def said() -> str:
        result = CliRunner().invoke(app, ["audit", str(run)])
        assert result.exit_code == 0, result.output
        return result.stdout

    verify, apply = f"gdw verify {run} --issues", f"gdw audit {run} --apply RELABEL --output FILE"
    assert "decided" not in said()
    say(issues_to_verify(judged), ["cat", None])
    assert "with gdw verify: 2 of 4 issues decided (ann 2)\n" in said()
    decisions_alone = apply.replace("--output", f"--issues {run}/verification.jsonl --output")
    assert f"next: {verify} goes on with the other 2; then {decisions_alone} writes" in said()
    assert said().count("decided: cat") == said().count("decided: unclear") == 1
    say(issues_to_verify(judged), ["cat"] * 4)
    assert f"next: {apply} writes a copy of the data with your decisions\n" in said()
    assert verify not in said()


def test_verified_labels_in_doubt_are_named_with_the_command_to_look_again(
    judged: RunAudit, tmp_path: Path
) -> None:
    def doubted(*doubts: int) -> str:
        check = np.full((3, 5), 0.5, dtype=np.float32)
        check[:, 0], check[:, 3] = 1, doubts
        known = {"clean_check": check, "clean_agreement": np.float32([0.8])}
        known["clean_true"] = np.zeros(3, dtype=np.int64)
        return replace(judged, evidence=replace(judged.evidence, **known)).verified_in_doubt

    assert doubted(0, 0, 0) == ""
    assert doubted(1, 1, 1) == "", "the models are too weak to tell"
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr(doubted_verified, "_MOST", 0.5)
        assert doubted(0, 1, 0) == (
            "look again at 1 of 3 verified labels, which models that were trained without them doubt (row 21 "
            f"of d.csv ('cat')): gdw verify {tmp_path / 'v.jsonl'} --rows 21"
        )
        say(tmp_path / "v.jsonl", ["fox"])
        assert doubted(0, 1, 0) == "", "answered again since"


def test_rows_that_were_verified_after_the_training_are_not_verified_rows_of_the_run(
    judged: RunAudit, tmp_path: Path
) -> None:
    assert verified_of_data(judged) == {20: 0, 21: 0, 22: 0}
    source = load_data(tmp_path / "d.csv", label="label", features=["weight"])
    more = write_queue(
        tmp_path / "v.jsonl", source, np.array([20, 5]), label="label", data=tmp_path / "d.csv"
    )
    say(more.path, ["fox", "fox"])
    assert verified_of_data(judged) == {20: 2}
    more.path.unlink()
    assert verified_of_data(judged) == {}


def test_decisions_of_another_run_and_runs_without_issues_are_refused(
    judged: RunAudit, tmp_path: Path
) -> None:
    path = issues_to_verify(judged)
    text = path.read_text()
    path.write_text(text.replace('"given_label": "cat"', '"given_label": "dog"'))
    say(path, ["cat"] * 4)
    with pytest.raises(
        RunError, match=r"not about the training examples of .*: row [0-9]+ of d.csv"
    ):
        judged.edited_issues(path)
    (judged.run.path / "label_issues.csv").unlink()
    with pytest.raises(RunError, match="gdw audit"):
        issues_to_verify(audit(load(judged.run.path)))
