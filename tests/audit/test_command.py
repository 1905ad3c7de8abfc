"""`gdw audit` from a trained run to a cleaned copy, and what it says to mistakes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import Result
from typer.testing import CliRunner

from gdw.audit import Evidence
from gdw.audit.issues import COLUMNS, PROBLEM_COLUMNS
from gdw.cli.app import app

Run = Callable[..., Result]
FLIPPED = (3, 10, 41, 77)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `data.csv`, whose rows `FLIPPED` have the other label, and the run `run` on it."""
    folder = tmp_path_factory.mktemp("trained")
    _write(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        done = _call(*_train("run"))
    assert done.exit_code == 0, done.output
    return folder


def _write(folder: Path, rows: int = 120) -> None:
    rng = np.random.default_rng(0)
    true = np.arange(rows) % 2
    given = true.copy()
    given[list(FLIPPED)] = 1 - given[list(FLIPPED)]
    names = np.array(["=cat", "[red]dog"])
    pd.DataFrame(
        {
            "weight": rng.normal(4 + 6 * true, 1).round(3),
            "label": names[given],
            "truth": names[true],
            "checked": ["yes" if i >= rows - 20 else "" for i in range(rows)],
        }
    ).to_csv(folder / "data.csv", index=False)


def _train(output: str, *more: object) -> tuple[object, ...]:
    return (
        "train", "data.csv", "--trusted", "checked", "--meta-label", "truth", "--output", output,
        "--method", "plain_clean", "--epochs", 4, "--batch-size", 10, "--model", "mlp:8",
        "--accelerator", "cpu", "--progress", "none", "--lr", 0.1, *more,
    )  # fmt: skip


def _call(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture
def gdw(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command, in a folder with copies of the data and the run."""
    import shutil

    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return _call


def one_line(result: Result, *parts: str) -> None:
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("gdw: ")
    for part in parts:
        assert part in line, line


def test_from_run_to_list_to_cleaned_copy(gdw: Run, tmp_path: Path) -> None:
    evidence = Evidence.load("run/evidence.safetensors")
    assert len(evidence) == 100
    assert evidence.clean_given is not None
    np.testing.assert_array_equal(evidence.rows, np.arange(100))
    done = gdw("audit", "run", "--top", 6)
    assert done.exit_code == 0, done.output
    for text in ("=cat", "[red]dog", "row 3 of", "4 of 100", "With 20 verified rows", "next: "):
        assert text in done.output
    frame = pd.read_csv("run/label_issues.csv")
    assert tuple(frame) == (*COLUMNS, *PROBLEM_COLUMNS)
    assert set(frame["index"][frame["is_label_issue"]]) == set(FLIPPED)
    assert sorted(frame["index"][:4]) == list(FLIPPED)
    assert set(frame["given_label"]) == {"'=cat", "[red]dog"}
    report = json.loads(Path("run/audit.json").read_text())
    assert (report["examples"], report["issues"]) == (100, 4)
    matrix = pd.read_csv("run/noise_matrix.csv")
    assert list(matrix) == ["true_label", "given_label", "probability", "low", "high", "count"]

    original = Path("data.csv").read_text()
    kept = gdw("audit", "run", "--apply", "KEEP", "--output", "kept.csv")
    assert (
        "116 rows, 4 left out, 20 kept as they are because they were not training examples"
        in kept.output
    )
    lines = original.splitlines(keepends=True)
    expected = [line for i, line in enumerate(lines) if i - 1 not in FLIPPED]
    assert Path("kept.csv").read_text() == "".join(expected)
    words = ("--apply", "RELABEL", "--output", "new.csv")
    one_line(
        gdw("audit", "run", *words),
        "no copy is written: nothing shows whether",
        "--issues",
        "--force",
    )
    assert not Path("new.csv").exists()
    done = gdw("audit", "run", *words, "--force")
    assert "120 rows, 4 with a new label" in done.output
    new = pd.read_csv("new.csv")
    assert (new["label"] == new["truth"]).all()
    assert Path("data.csv").read_text() == original
    one_line(gdw("audit", "run", "--apply", "KEEP", "--output", "kept.csv"), "exists already")


def test_a_copy_searches_no_near_duplicates_again(
    gdw: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gdw("audit", "run").exit_code == 0
    written = Path("run/label_issues.csv").read_bytes()
    searched: list[object] = []

    def nothing(*arguments: object, **options: object) -> None:
        searched.append(arguments)

    monkeypatch.setattr("gdw.audit.data_problems.data_problems", nothing)
    copied = gdw("audit", "run", "--apply", "keep", "--output", "kept.csv", "--force")
    assert "116 rows, 4 left out" in copied.output
    assert not searched
    assert Path("run/label_issues.csv").read_bytes() == written
    # Another threshold gives another list.
    words = ("--apply", "keep", "--threshold", 1, "--output", "all.csv", "--force")
    assert gdw("audit", "run", *words).exit_code == 0
    assert searched
    assert Path("run/label_issues.csv").read_bytes() != written


def test_an_edited_list_is_used_and_not_lost(gdw: Run) -> None:
    assert gdw("audit", "run").exit_code == 0
    frame = pd.read_csv("run/label_issues.csv")
    frame.loc[frame["index"] == FLIPPED[0], "is_label_issue"] = False
    frame.to_csv("run/label_issues.csv", index=False)
    edited = Path("run/label_issues.csv").read_bytes()
    one_line(gdw("audit", "run"), "label_issues.csv was edited", "--issues run/label_issues.csv")
    words = ("--issues", "run/label_issues.csv", "--apply", "KEEP", "--output", "kept.csv")
    done = gdw("audit", "run", *words)
    assert "117 rows, 3 left out" in done.output
    assert Path("run/label_issues.csv").read_bytes() == edited
    Path("run/label_issues.csv").write_text("given_label\ncat\n")
    one_line(gdw("audit", "run", *words[:2]), "no column 'suggested_label'")


def test_to_and_from_cleanlab(gdw: Run) -> None:
    filter_ = pytest.importorskip("cleanlab.filter")
    assert gdw("audit", "run", "--pred-probs", "p.npy").exit_code == 0
    evidence, p = Evidence.load("run/evidence.safetensors"), np.load("p.npy")
    found = filter_.find_label_issues(evidence.given, p, n_jobs=1)
    assert set(np.flatnonzero(found)) == set(FLIPPED)
    pd.DataFrame(
        {
            "is_label_issue": found,
            "label_quality": p[range(100), evidence.given],
            "given_label": evidence.given,
            "predicted_label": p.argmax(1),
        }
    ).to_csv("cleanlab.csv")
    words = ("--issues", "cleanlab.csv", "--apply", "RELABEL", "--output", "new.csv")
    assert "4 with a new label" in gdw("audit", "run", *words).output
    one_line(gdw("audit", "run", "--pred-probs", "p.npy"), "p.npy exists already")


def test_data_that_were_moved(gdw: Run, tmp_path: Path) -> None:
    Path("data.csv").rename("there.csv")
    done = gdw("audit", "run", "--top", 1)
    assert done.exit_code == 0, done.output
    assert "training data were not found as they were" in done.stderr
    assert "--data" in done.stderr
    assert "of data.csv" in pd.read_csv("run/label_issues.csv")["where"][0]
    words = ("--apply", "KEEP", "--output", "kept.csv")
    one_line(gdw("audit", "run", *words), "not found", "--data")
    assert gdw("audit", "run", "--data", "there.csv", *words).exit_code == 0
    table = pd.read_csv("there.csv")
    table.loc[0, "label"] = "[red]dog"
    table.to_csv("there.csv", index=False)
    one_line(gdw("audit", "run", "--data", "there.csv"), "row 0 of there.csv is '[red]dog' now")


def test_options_that_do_not_go_together(gdw: Run) -> None:
    one_line(gdw("audit", "run", "--apply", "KEEP"), "--apply and --output belong together")
    one_line(gdw("audit", "run", "--output", "x.csv"), "--apply and --output belong together")
    words = ("audit", "run", "--apply", "KEEP", "--output")
    one_line(gdw(*words, "data.csv"), "would overwrite data.csv, which this command reads")
    one_line(gdw(*words, "data.csv", "--force"), "would overwrite data.csv")
    one_line(gdw(*words, "kept.parquet"), "expected a name ending in .csv")
    refused = gdw("audit", "run", "--apply", "RELABLE", "--output", "x.csv")
    one_line(refused, "expected KEEP, ", "or RELABEL, ", "found 'RELABLE'. Did you mean 'RELABEL'?")
    assert "Value error" not in refused.stderr
    assert gdw("audit", "run", "--threshold", 2).exit_code == 2
    assert not Path("run/label_issues.csv").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "evidence.safetensors",
            b"\x80\x04K\x01.",
            "evidence.safetensors is damaged or not a safetens",
        ),
        ("evidence.safetensors", None, "the run is not finished"),
        ("config.yaml", b"format: 99\ngdw_version: '9'\n", "was written by gdw 9 (format 99)"),
        ("encoder/schema.json", b"{", "schema.json is damaged"),
    ],
)
def test_a_damaged_or_newer_run(gdw: Run, name: str, content: Any, message: str) -> None:
    if content is None:
        Path("run", name).unlink()
    else:
        Path("run", name).write_bytes(content)
    one_line(gdw("audit", "run"), message)


def test_other_bad_input_of_the_commands_around(gdw: Run) -> None:
    table = pd.read_csv("data.csv")
    table["label"] = table["label"].replace("=cat", "=cta")
    table.to_csv("typo.csv", index=False)
    one_line(gdw("evaluate", "run", "typo.csv"), "'=cta' is not a known class", "mean '=cat'")
    Path("run/model.safetensors").write_bytes(b"\x80\x04K\x01.")
    one_line(gdw("evaluate", "run", "data.csv"), "model.safetensors is damaged")
    one_line(gdw("audit", "nowhere"), "no run folder at nowhere")


def test_predictions_escape_formulas(gdw: Run) -> None:
    assert gdw("predict", "run", "data.csv", "--output", "p.csv").exit_code == 0
    assert set(pd.read_csv("p.csv")["prediction"]) == {"'=cat", "[red]dog"}
    assert gdw("predict", "run", "data.csv", "--output", "p.parquet").exit_code == 0
    assert set(pd.read_parquet("p.parquet")["prediction"]) == {"=cat", "[red]dog"}


def test_a_run_that_spoiled_its_labels_has_nothing_to_clean(gdw: Run) -> None:
    done = gdw(*_train("spoiled", "--noise", "uniform:0.4", "--epochs", 1))
    assert done.exit_code == 0, done.output
    assert gdw("audit", "spoiled").exit_code == 0
    words = ("audit", "spoiled", "--apply", "KEEP", "--output", "k.csv")
    one_line(gdw(*words), "spoiled its labels itself", "nothing to clean")


def test_a_stopped_run_has_no_evidence_yet_and_resumed_that_of_a_straight_one(gdw: Run) -> None:
    assert gdw(*_train("stopped", "--stop-after", 3)).exit_code == 0
    one_line(gdw("audit", "stopped"), "gdw train --resume --output stopped")
    assert gdw("train", "--resume", "--output", "stopped").exit_code == 0
    straight, resumed = (
        Evidence.load(Path(name, "evidence.safetensors")) for name in ("run", "stopped")
    )
    for name, value in vars(straight).items():
        np.testing.assert_array_equal(getattr(resumed, name), value, err_msg=name)


def test_a_list_that_doubts_most_labels_is_not_believed_blindly(gdw: Run) -> None:
    assert gdw("audit", "run").exit_code == 0
    frame = pd.read_csv("run/label_issues.csv")
    frame["is_label_issue"] = frame["index"] < 51
    frame.to_csv("most.csv", index=False)
    done = gdw("audit", "run", "--issues", "most.csv")
    assert "most.csv has 51 label issues; the other 49 training labels stay" in done.output
    assert "how far to trust the list that gdw computes: " in done.output
    # A person has checked this list, but a class would vanish.
    words = ("--issues", "most.csv", "--apply", "KEEP", "--output", "kept.csv")
    one_line(gdw("audit", "run", *words), "more than a third of the rows", "'=cat' 25 of 52")
    assert not Path("kept.csv").exists()
    assert gdw("audit", "run", *words, "--force").exit_code == 0


def test_the_list_of_the_audit_without_a_change_is_no_check(gdw: Run) -> None:
    assert gdw(*_train("unproven", "--method", "plain")).exit_code == 0
    assert "how far to trust this list: unproven" in gdw("audit", "unproven").output
    relabel = ("--apply", "RELABEL", "--output", "c.csv")
    one_line(gdw("audit", "unproven", *relabel), "no copy is written", "nothing shows whether")
    shutil.copy("unproven/label_issues.csv", "same.csv")
    again = ("audit", "unproven", "--issues", "same.csv", *relabel)
    one_line(gdw(*again), "no copy is written", "nothing shows whether")
    assert not Path("c.csv").exists()
    pd.read_csv("same.csv").drop(index=0).to_csv("same.csv", index=False)
    done = gdw(*again)
    assert done.exit_code == 0, done.output


def test_a_list_with_decisions_changes_keeps_and_removes(gdw: Run) -> None:
    head = "index,given_label,suggested_label,score,is_label_issue,decision"
    rows = ("3,'=cat,[red]dog,0.9,true,change", "10,[red]dog,'=cat,0.8,true,remove",
            "41,'=cat,[red]dog,0.7,false,keep", "77,'=cat,[red]dog,0.6,false,undecided")  # fmt: skip
    Path("reviewed.csv").write_text("\n".join([head, *rows]) + "\n")
    original = pd.read_csv("data.csv", dtype=str, keep_default_na=False)
    done = gdw(
        "audit", "run", "--issues", "reviewed.csv", "--apply", "RELABEL", "--output", "c.csv"
    )
    assert "reviewed.csv has 2 label issues; the other 98 training labels stay" in done.output
    assert "how far to trust the list that gdw computes: " in done.output
    assert "c.csv: 119 rows, 1 with a new label, 1 left out" in done.output
    expected = original.copy()
    expected.loc[3, "label"] = "[red]dog"
    copy = pd.read_csv("c.csv", dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(copy, expected.drop(10).reset_index(drop=True))
    gdw("audit", "run", "--issues", "reviewed.csv", "--apply", "KEEP", "--output", "k.csv")
    kept = pd.read_csv("k.csv", dtype=str, keep_default_na=False)
    pd.testing.assert_frame_equal(kept, original.drop([3, 10]).reset_index(drop=True))


def test_a_decision_to_remove_that_is_no_issue_is_refused(gdw: Run) -> None:
    head = "index,given_label,suggested_label,score,is_label_issue,decision"
    Path("l.csv").write_text(f"{head}\n3,'=cat,[red]dog,0.9,FALSE,Remove\n")
    one_line(gdw("audit", "run", "--issues", "l.csv"), "row 0 of l.csv: decision is 'remove'",
             "is_label_issue is false", "write true")  # fmt: skip
    Path("l.csv").write_text(
        "index,given_label,suggested_label,is_label_issue\n3,'=cat,'=cat,true\n"
    )
    one_line(gdw("audit", "run", "--issues", "l.csv"), "no column 'label_quality' or 'score'")
