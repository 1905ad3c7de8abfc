"""Where a first user stumbles: other label columns, few rows, other folders, runs cut short."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cli.conftest import Run
from tests.cli.test_mistakes import one_line
from tests.train.small import interrupt_fit


@pytest.fixture
def two_labels(here: Path) -> Path:
    """`data.csv` with a doubtful column `human` beside `animal`; the other files have `animal` alone."""
    table = pd.read_csv(here / "data.csv", skipinitialspace=True)
    table["human"] = table["animal"].where(np.arange(len(table)) % 7 > 0, "cat")
    table.to_csv(here / "data.csv", index=False)
    return here


def test_evaluation_falls_back_to_the_column_of_the_clean_labels(
    two_labels: Path, gdw: Run
) -> None:
    done = gdw(
        "train", "data.csv", "--label", "human", "--meta-label", "animal", "--meta-size", 20,
        "--epochs", 1, "--model", "mlp:8", "--output", "run"
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    shown = gdw("evaluate", "run", "test.csv", "--json", "-")
    assert shown.exit_code == 0, shown.output
    assert shown.stderr == "labels: column 'animal', because test.csv has no column 'human'\n"
    asked = gdw("evaluate", "run", "test.csv", "--label", "animal", "--json", "-")
    assert json.loads(shown.stdout) == json.loads(asked.stdout)
    assert asked.stderr == ""
    (two_labels / "bare.csv").write_text("weight,ears,note\n3.1,pointed,n0\n")
    one_line(
        gdw("evaluate", "run", "bare.csv"), r"no label column 'human'.*--label.*'weight', 'ears'"
    )
    both = gdw("evaluate", "run", "data.csv")
    assert (both.exit_code, both.stderr) == (0, "")


def test_limits_below_the_number_of_classes(train: Run, gdw: Run) -> None:
    assert train().exit_code == 0
    shown = gdw("evaluate", "run", "test.csv", "--limit", 1, "--json", "-")
    assert json.loads(shown.output)["examples"] == 1
    one_line(
        gdw("evaluate", "run", "test.csv", "--limit", 0), r"limit \(--limit, limit=\) must be at"
    )
    done = train("--limit", 1, "--output", "few")
    one_line(done, r"single class.* \(--limit 1 drew 1 of 2 classes\)")


def test_one_epoch_is_no_mean_of_epochs(train: Run) -> None:
    done = train("--test", "test.csv", "--epochs", 1)
    assert "(of the last epoch)" in done.output
    assert "epochs)" not in done.output


def test_columns_left_out_are_said(train: Run, here: Path) -> None:
    table = pd.read_csv(here / "data.csv", skipinitialspace=True)
    table["id"] = [f"u{i:04x}" for i in range(len(table))]
    table.to_csv(here / "data.csv", index=False)
    done = train()
    assert done.exit_code == 0, done.output
    assert "not used, because almost no value occurs twice: 'id'; to use it, " in done.output
    schema = json.loads((here / "run" / "encoder" / "schema.json").read_text())
    assert schema["feature_columns"] == ["weight", "ears", "note"]


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (("--batch-size", 1), r"train: a batch has 1 example.*--batch-size\) of 2 or more"),
        (
            ("--meta-batch-size", 1),
            r"meta: a batch has 1 example.*--meta-batch-size\) of 2 or more",
        ),
        (("--augment", "standard"), r"augment='standard' \(--augment\) crops and flips images"),
    ],
)
def test_what_only_training_would_find_leaves_the_output_free(
    train: Run, here: Path, words: tuple[object, ...], pattern: str
) -> None:
    one_line(train(*words), pattern)
    assert not (here / "run").exists()


def test_advice_of_runs_that_are_not_there_or_not_finished(
    train: Run, gdw: Run, here: Path
) -> None:
    nothing = gdw("evaluate", "nothing", "test.csv")
    one_line(nothing, r"no run folder at nothing: check the path$")
    one_line(gdw("train", "--resume", "--output", "nothing"), r"start a run there without --resume")
    assert train("--output", "a run").exit_code == 0
    (here / "a run" / "model.safetensors").unlink()  # as after kill -9
    advice = r"has not finished; continue it with gdw train --resume --output 'a run'"
    one_line(gdw("evaluate", "a run", "test.csv"), advice)


def test_a_signal_during_preparation_says_what_is_kept_and_how_to_go_on(
    train: Run, gdw: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train("--output", "whole")
    assert whole.exit_code == 0, whole.output
    command = r"gdw train --resume --output 'a run'$"
    for fits, kept in ((1, "none of its trainings had finished"), (4, "3 of 11")):
        resume = ("--output", "a run") if fits == 1 else ("--resume", "--output", "a run")
        with monkeypatch.context() as patch:
            interrupt_fit(patch, fits)
            done = train(*resume) if fits == 1 else gdw("train", *resume)
        one_line(done, rf"stopped during preparation; {kept}.*; to go on: {command}", status=130)
    again = gdw("train", "--resume", "--output", "a run")
    assert again.exit_code == 0, again.output
    models = [(here / run / "model.safetensors").read_bytes() for run in ("whole", "a run")]
    assert models[0] == models[1]
    assert not (here / "a run" / "preparation").exists()


def test_relative_paths_of_a_run_resumed_elsewhere(
    train: Run, gdw: Run, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert train("--stop-after", 1).exit_code == 0
    (here / "elsewhere").mkdir()
    monkeypatch.chdir(here / "elsewhere")
    for data in ((), ("../data.csv",)):
        done = gdw("train", *data, "--resume", "--output", "../run")
        one_line(
            done,
            r"'clean.csv' does not exist in .*elsewhere: ../run/config.yaml names it \(meta\) relative to",
        )
    monkeypatch.chdir(here)
    assert gdw("train", "--resume", "--output", "run").exit_code == 0
