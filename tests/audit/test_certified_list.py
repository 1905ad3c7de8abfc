"""What is certified of the list of an audit itself, by rows that were verified after the training."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from numpy.typing import NDArray
from typer.testing import CliRunner

from gdw.audit import score
from gdw.certify import decide, share_wrong, verified_sample
from gdw.cli.app import app
from gdw.data.verification import Answer, Journal, answers_of, read_queue
from gdw.runs.audited_parts import verified_examples
from gdw.runs.auditing import RunAudit, audit
from gdw.suggestion.changes import Changes
from gdw.suggestion.drawn_rows import drawn_rows
from gdw.suggestion.later_rows import LaterRows, later_rows
from gdw.suggestion.run_certificate import _is_of_list, certify_run

Ints = NDArray[np.int64]
ROWS = 420
NAMES = ("ant", "bee", "cow")
CODES = np.random.default_rng(1).integers(0, 3, ROWS)
TRUE = np.array(NAMES)[CODES]
WRONG = np.random.default_rng(2).random(ROWS) < 0.2
GIVEN = np.array(NAMES)[np.where(WRONG, (CODES + 1) % 3, CODES)]
FIRST, LATER = 50, 90
TRAIN = (
    "train", "d.csv", "--label", "label", "--method", "plain", "--epochs", 20, "--model", "linear",
    "--accelerator", "cpu", "--progress", "none",
)  # fmt: skip


def call(*words: object) -> Result:
    """Run the command; it may end with a mistake of the user."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code in (0, 2), done.output
    return done


def suggest(n: int, output: str, *more: object) -> None:
    """Draw rows at random."""
    data = () if "--run" in more else ("d.csv", "--label", "label")
    words = ("suggest", *data, "-n", n, "--output", output, *more)
    strategy = () if "--strategy" in more or "--for" in more else ("--strategy", "random")
    done = call(*words, *strategy)
    assert done.exit_code == 0, done.output


def answer(path: str, rows: Iterable[int] | None = None, label: str | None = None) -> None:
    """Answer the open rows of a file, or `rows` of it, by the truth."""
    journal = Journal(answers_of(path))
    answered = {answer.index for answer in journal.answers}
    for place, row in enumerate(read_queue(path).candidates):
        if row.index not in answered and (rows is None or place in rows):
            name = label or str(TRUE[row.index])
            journal.append(Answer(row.index, row.digest, "label", (name,)))
    journal.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that knows 50 verified rows, and a file with 90 more that were drawn and verified later."""
    folder = tmp_path_factory.mktemp("listed")
    x = np.random.default_rng(3).normal(0, 1, (ROWS, 2))
    x += 2.6 * np.array([[1, 0], [-1, 1], [-1, -1]])[CODES]
    columns = {"x": x[:, 0].round(3), "z": x[:, 1].round(3), "label": GIVEN}
    pd.DataFrame(columns).to_csv(folder / "d.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        suggest(FIRST, "v.jsonl")
        answer("v.jsonl")
        assert call(*TRAIN, "--meta", "v.jsonl", "--output", "run").exit_code == 0
        suggest(LATER, "v.jsonl", "--run", "run")
        answer("v.jsonl")
    return folder


@pytest.fixture
def here(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunAudit:
    """The audit of the run, in a copy of the folder."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return audit("run")


def later(found: RunAudit, path: str | None = None) -> LaterRows | None:
    return later_rows(found, drawn_rows(found, path))


def in_file(path: str = "v.jsonl") -> Ints:
    """The rows of a file in its order."""
    return np.array([row.index for row in read_queue(path).candidates])


def trained_without(found: RunAudit, rows: Iterable[int]) -> RunAudit:
    """As if the run had been trained on all rows but these."""
    numbers = np.setdiff1d(np.arange(ROWS), np.array([*rows], dtype=np.int64))
    given = np.zeros(len(numbers), dtype=np.int64)
    return replace(found, evidence=replace(found.evidence, rows=numbers, given=given))


def check(found: LaterRows | None, rows: Iterable[int], left_out: Iterable[int]) -> None:
    """The sample is `rows`, of all rows but `left_out`."""
    assert found is not None
    assert sorted(found.numbers) == sorted(rows)
    np.testing.assert_array_equal(found.labels, CODES[found.numbers])
    assert len(found.population) == ROWS - len({*left_out})


def test_decisions_are_about_the_list_and_do_not_know_its_verified_labels(here: RunAudit) -> None:
    before = certify_run(here, target=0.1)
    assert before.changes.scores == "list"
    assert before.scores == "quick models", (
        "the share is of all rows, also those that the run knows"
    )
    evidence, changes = here.evidence, before.changes
    np.testing.assert_array_equal(changes.numbers, evidence.numbers)
    np.testing.assert_array_equal(changes.doubt, score(evidence))
    frame = here.issues(problems=False).set_index("index").loc[changes.numbers]
    np.testing.assert_array_equal(changes.doubt, frame["score"])
    np.testing.assert_array_equal(np.array(NAMES)[changes.suggested], frame["suggested_label"])
    left_out = changes.numbers[changes.first(200, relabelled=False)]
    assert [*left_out] == [*here.issues(problems=False)["index"][:200]], "as in label_issues.csv"
    assert not {*in_file()[:FIRST]} & {*changes.numbers}
    for decision in before.certificate.decisions:
        assert (decision.total, decision.verified) == (ROWS - FIRST, LATER)
        assert f"{LATER} rows verified after the training" in decision.sentence
    answers_of("v.jsonl").unlink()
    answer("v.jsonl", range(FIRST))
    answer("v.jsonl", label="ant")
    after = certify_run(audit("run"), target=0.1)
    np.testing.assert_array_equal(after.changes.doubt, changes.doubt)
    np.testing.assert_array_equal(after.changes.suggested, changes.suggested)
    assert after.certificate.decisions != before.certificate.decisions


@pytest.mark.parametrize(("kind", "target"), [("drop", 0.035), ("relabel", 0.11)])
def test_it_holds_in_as_many_draws_as_it_says(here: RunAudit, kind: str, target: float) -> None:
    """Of one run, many draws of later rows."""
    evidence, relabelled = here.evidence, kind == "relabel"
    everything, true = np.arange(len(evidence)), CODES[here.evidence.numbers]
    changes = Changes.of_list(evidence, everything)
    wrong = changes.given != true
    rng, covered, decided, failed = np.random.default_rng(0), 0, 0, 0
    draws, m = 400, 100
    for _ in range(draws):
        rows = rng.choice(len(evidence), m, replace=False)
        probability, draw = np.full(m, m / len(evidence)), np.zeros(m)
        drawn = LaterRows(everything, rows, evidence.numbers[rows], true[rows], probability, draw)
        ranked = changes.ranking(drawn, relabelled=relabelled)
        share = share_wrong(verified_sample(len(evidence), rows, wrong[rows]), changes.doubt)
        covered += share.low <= wrong.mean() <= share.high
        found = decide(ranked, kind, target=target)
        if found.rows is None:
            continue
        decided += 1
        first = changes.first(found.rows, relabelled=relabelled)
        left = np.delete(wrong, first)
        if relabelled:
            left = wrong.copy()
            left[first] = changes.suggested[first] != true[first]
        failed += left.mean() > target
    assert 0.925 <= covered / draws <= 0.975
    assert decided / draws >= 0.2
    assert 0 < failed / draws <= 0.07, "it comes near the limit"


def test_rows_that_the_training_knew_are_not_used(here: RunAudit) -> None:
    rows = in_file()
    check(later(here), rows[FIRST:], left_out=rows[:FIRST])
    answers_of("v.jsonl").unlink()
    answer("v.jsonl", range(FIRST + 9))
    assert later(here) is None, "9 rows are too few"
    for name in ("v.jsonl", answers_of("v.jsonl").name):
        shutil.copy(name, f"copy-{name}")
    answer("copy-v.jsonl")
    check(later(here, "copy-v.jsonl"), rows[FIRST:], left_out=rows[:FIRST])
    skipped = trained_without(here, {*rows[:FIRST]} - {rows[7]})
    check(later(skipped, "copy-v.jsonl"), rows[FIRST:], left_out=rows[:FIRST])
    quick = certify_run(here, target=0.1)
    assert quick.changes.scores == quick.scores == "quick models"
    for decision in quick.certificate.decisions:
        assert "quick models" in decision.sentence


def test_a_random_draw_that_was_half_answered_before_the_training(here: RunAudit) -> None:
    rows = in_file()
    half = trained_without(here, rows[:20])
    check(later(half), rows[20:], left_out=rows[:20])
    skipped = trained_without(here, {*rows[:20]} - {rows[7]})
    check(later(skipped), rows[20:], left_out=rows[:20])


def test_draws_with_rows_that_were_chosen_for_their_doubt(here: RunAudit) -> None:
    suggest(40, "m.jsonl", "--strategy", "mixed", "--verified", "v.jsonl", "--run", "run")
    suggest(30, "m.jsonl", "--run", "run")
    answer("m.jsonl")
    rows, known = in_file("m.jsonl"), in_file()[:FIRST]
    check(later(here, "m.jsonl"), rows[40:], left_out=[*known, *rows[:40]])
    suggest(40, "w.jsonl", "--strategy", "mixed")
    suggest(30, "w.jsonl")
    answer("w.jsonl")
    rows = in_file("w.jsonl")
    known = trained_without(here, rows[:11])
    check(later(known, "w.jsonl"), rows[40:], left_out=rows[:40])
    balanced = [row.index for row in read_queue("w.jsonl").candidates if row.reason == "balanced"]
    everything = trained_without(here, ())
    check(later(everything, "w.jsonl"), rows[40:], left_out=rows[:40])
    suggest(90, "w.jsonl", "--strategy", "mixed")
    answer("w.jsonl")
    assert len(balanced) == 20
    many = later(everything, "w.jsonl")
    assert many is not None
    assert len(many.numbers) == 30 + 45, "from where most rows are a sample"


def test_rows_of_another_file_drawn_from_all_rows(here: RunAudit) -> None:
    suggest(100, "r.jsonl", "--seed", 8)
    answer("r.jsonl")
    rows, known = in_file("r.jsonl"), in_file()[:FIRST]
    new = np.setdiff1d(rows, known)
    assert 0 < len(rows) - len(new) < 25, "by chance"
    check(later(here, "r.jsonl"), new, left_out=known)


def test_a_new_file_with_rows_of_the_run_certifies_its_list(here: RunAudit) -> None:
    suggest(60, "n.jsonl", "--run", "run")
    answer("n.jsonl")
    suggest(15, "n.jsonl", "--run", "run")
    answer("n.jsonl")
    rows, known = in_file("n.jsonl"), in_file()[:FIRST]
    assert not {*rows} & {*known}
    check(later(here, "n.jsonl"), rows, left_out=known)
    found = certify_run(here, verified="n.jsonl", target=0.1)
    assert found.scores == found.changes.scores == "list"
    share, true = found.certificate.share, CODES[here.evidence.numbers]
    assert (share.rows, share.verified) == (ROWS - FIRST, 75)
    assert share.low <= (here.evidence.given != true).mean() <= share.high
    other = trained_without(here, [*known, np.setdiff1d(np.arange(ROWS), [*known, *rows])[0]])
    assert later(other, "n.jsonl") is None, "it was drawn from other rows than this run's"


def test_methods_that_learn_all_labels_leave_the_share_to_quick_models(here: RunAudit) -> None:
    suggest(60, "r.jsonl", "--seed", 8)
    answer("r.jsonl")
    everything = trained_without(here, ())
    plain = everything.evidence
    assert plain.posterior_given is None
    estimated = replace(everything, evidence=replace(plain, posterior_given=np.zeros(1)))
    for found, by_list in ((everything, False), (estimated, True)):
        drawn = drawn_rows(found, "r.jsonl")
        rows = later_rows(found, drawn)
        assert rows is not None
        assert rows.all_of(drawn)
        assert _is_of_list(found, drawn, rows) == by_list


def test_a_second_draw_with_the_same_seed_is_another_one(here: RunAudit) -> None:
    suggest(60, "s.jsonl")
    suggest(60, "s.jsonl")
    rows = in_file("s.jsonl")
    assert np.median(np.abs(rows[:60] - rows[60:])) > 60, "not the rows beside the first ones"


def test_rows_verified_later_are_no_verified_examples_of_the_run(here: RunAudit) -> None:
    found = verified_examples(here)
    assert found is not None
    np.testing.assert_array_equal(np.sort(found.row_numbers), np.sort(in_file()[:FIRST]))


@pytest.mark.parametrize(("mode", "target"), [("KEEP", 0.07), ("RELABEL", 0.2)])
def test_the_copy_changes_exactly_the_rows_of_the_decision(
    here: RunAudit, mode: str, target: float
) -> None:
    words = ("audit", "run", "--target-error", target, "--apply", mode, "--output", "new.csv")
    done = call(*words, "--top", 0, "--force")
    assert done.exit_code == 0, done.output
    said, relabelled = " ".join(done.output.split()), mode == "RELABEL"
    report = json.loads(Path("run/audit.json").read_text())["certificate"]
    (decision,) = [d for d in report["decisions"] if d["what"] == ("drop", "relabel")[relabelled]]
    assert (decision["scores"], report["scores"]) == ("list", "quick models")
    assert (report["relabelled"]["scores"], report["relabelled"]["of"]) == ("list", ROWS - FIRST)
    assert f"certified: {decision['sentence']}" in said
    assert f"the {decision['rows']} most suspicious rows of this list: at most" in said
    assert report["decided_by"] in said
    changes = Changes.of_list(here.evidence, np.arange(len(here.evidence)))
    first = changes.first(decision["rows"], relabelled=relabelled)
    verified = in_file()
    label, left_out = GIVEN.copy(), np.zeros(ROWS, dtype=bool)
    label[changes.numbers[first]] = np.array(NAMES)[changes.suggested[first]]
    left_out[changes.numbers[first]] = True
    label[verified], left_out[verified] = TRUE[verified], WRONG[verified]
    new = pd.read_csv("new.csv")
    if relabelled:
        np.testing.assert_array_equal(new["label"], label)
    else:
        pd.testing.assert_frame_equal(new, pd.read_csv("d.csv")[~left_out].reset_index(drop=True))


def test_without_later_rows_it_says_how_to_certify_the_list(here: RunAudit) -> None:
    answers_of("v.jsonl").unlink()
    answer("v.jsonl", range(FIRST))
    done = call("audit", "run", "--target-error", 0.1, "--top", 0)
    said = " ".join(done.output.split())
    assert done.exit_code == 0, said
    assert "quick models, which have not seen the verified labels; the list of this run may" in said
    command = "gdw suggest --run run --strategy random -n 100 --output v.jsonl"
    assert f"to certify the list itself: {command}; then gdw verify v.jsonl; then the same" in said
    share = json.loads(Path("run/audit.json").read_text())["certificate"]["share"]
    assert share["rows"] == ROWS
