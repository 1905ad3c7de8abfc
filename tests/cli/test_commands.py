"""The commands on good input: what they print, what they leave behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

import gdw as package
from gdw.cli.app import COMMANDS
from tests.cli.conftest import Run


def test_train_evaluate_predict(train: Run, gdw: Run, here: Path) -> None:
    done = train("--test", "test.csv", "--drop", "note", "--seed", 3)
    assert done.exit_code == 0, done.output
    assert "80 training examples (table), 24 verified, 2 classes" in done.output
    assert "mean of the last 2 epochs" in done.output
    names = {path.name for path in (here / "run").iterdir()}
    assert names == {
        "config.yaml",
        "history.jsonl",
        "checkpoints",
        "model.safetensors",
        "evidence.safetensors",
        "encoder",
    }
    config = yaml.safe_load((here / "run" / "config.yaml").read_text())
    assert config["gdw_version"] == package.__version__
    assert config["data"]["drop"] == ["note"]
    assert (config["training"]["epochs"], config["training"]["seed"]) == (2, 3)

    shown = gdw("evaluate", "run", "test.csv", "--json", "figures.json")
    assert shown.exit_code == 0, shown.output
    for text in ("balanced accuracy", "calibration error", "dog, big"):
        assert text in shown.output
    figures = json.loads((here / "figures.json").read_text())
    assert figures["classes"] == ["cat", "dog, big"]
    assert sum(figures["support"]) == figures["examples"] == 40
    history = [
        json.loads(line) for line in (here / "run" / "history.jsonl").read_text().splitlines()
    ]
    assert figures["accuracy"] == pytest.approx(history[-1]["test_accuracy"], abs=1e-12)
    printed = gdw("evaluate", "run", "test.csv", "--json", "-")
    assert json.loads(printed.output) == figures

    written = gdw("predict", "run", "test.csv", "--output", "p.csv")
    assert written.exit_code == 0, written.output
    table = pd.read_csv(here / "p.csv")
    assert list(table) == ["row", "prediction", "confidence", "p(cat)", "p(dog, big)"]
    assert list(table["row"]) == list(range(40))
    assert table[["p(cat)", "p(dog, big)"]].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    labels = pd.read_csv(here / "test.csv", skipinitialspace=True)["animal"]
    assert (labels == table["prediction"]).mean() == pytest.approx(figures["accuracy"])
    for name in ("p.parquet", "p.jsonl"):
        assert gdw("predict", "run", "test.csv", "--output", name).exit_code == 0
    assert list(pd.read_parquet(here / "p.parquet")["prediction"]) == list(table["prediction"])


@pytest.mark.parametrize("method", ["gdw", "mwn", "l2rw", "plain"])
def test_every_method_by_name(train: Run, method: str) -> None:
    assert train("--method", method).exit_code == 0


def test_plain_training_needs_no_clean_examples(gdw: Run) -> None:
    done = gdw(
        "train", "data.csv", "--label", "animal", "--method", "plain", "--epochs", 1, "--output", "run"
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "none verified" in done.output


def test_stopping_and_resuming_gives_the_model_of_a_straight_run(
    train: Run, gdw: Run, here: Path
) -> None:
    assert train("--epochs", 4).exit_code == 0
    (here / "run").rename(here / "straight")
    stopped = train("--epochs", 4, "--stop-after", 2)
    assert (
        "stopped: 2 epochs are done and saved; to go on: gdw train --resume --output run"
        in stopped.output
    )
    done = gdw("train", "--resume", "--output", "run")
    assert done.exit_code == 0, done.output
    weights = [(here / name / "model.safetensors").read_bytes() for name in ("run", "straight")]
    assert weights[0] == weights[1]


def test_a_complete_run_says_so_and_trains_no_more(train: Run, gdw: Run, here: Path) -> None:
    assert "complete" not in train().output
    history = (here / "run" / "history.jsonl").read_bytes()
    done = gdw("train", "--resume", "--output", "run")
    assert done.exit_code == 0, done.output
    assert "complete: all 2 epochs were done before" in done.output
    assert (here / "run" / "history.jsonl").read_bytes() == history


def test_naming_data_and_options_again_when_resuming(train: Run, here: Path) -> None:
    assert train("--stop-after", 1).exit_code == 0
    done = train("--resume", "--progress", "none")
    assert done.exit_code == 0, done.output
    assert "complete" not in done.output
    assert len((here / "run" / "history.jsonl").read_text().splitlines()) == 2


def test_the_clean_examples_may_be_trained_on_by_any_method(train: Run, here: Path) -> None:
    for method in ("plain", "l2rw"):
        done = train("--method", method, "--add-clean", "--output", method)
        assert done.exit_code == 0, done.output
        assert "104 training examples (table), 24 verified (included in" in done.output
        config = yaml.safe_load((here / method / "config.yaml").read_text())
        assert config["data"]["add_clean"] is True


def test_options_of_a_file_and_of_the_command_line_which_win(gdw: Run, here: Path) -> None:
    sections = {
        "data": {"path": "data.csv", "label": "animal", "trusted": "checked"},
        "model": {"name": "mlp:4"},
        "training": {"epochs": 7, "method_options": {"folds": 2}},
    }
    (here / "run.yaml").write_text(yaml.safe_dump(sections))
    table = pd.read_csv(here / "data.csv", skipinitialspace=True)
    table["checked"] = ["yes" if i < 15 else "" for i in range(len(table))]
    table.to_csv(here / "data.csv", index=False)
    done = gdw("train", "--config", "run.yaml", "--epochs", 1, "--output", "run")
    assert done.exit_code == 0, done.output
    assert "65 training examples (table), 15 verified" in done.output
    config = yaml.safe_load((here / "run" / "config.yaml").read_text())
    assert config["training"]["epochs"] == 1
    assert config["training"]["method_options"] == {"folds": 2}
    assert config["model"]["name"] == "mlp:4"
    again = gdw("train", "--config", "run/config.yaml", "--output", "again")  # a run repeats itself
    assert again.exit_code == 0, again.output
    files = [here / name / "model.safetensors" for name in ("run", "again")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_spoiling_clean_data_says_how_much(train: Run) -> None:
    done = train("--noise", "pair:0.5", "--imbalance", 2)
    assert done.exit_code == 0, done.output
    assert "noise pair:0.5: " in done.output


def test_the_command_itself_pulls_in_nothing_heavy() -> None:
    code = "import sys, gdw.cli.app; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"torch", "numpy", "pandas", "datasets", "sklearn", "pydantic", "lightning_fabric"}
    assert heavy.isdisjoint(out.stdout.split())


def test_odd_cells_and_classes_are_named_in_one_line_each(train: Run, gdw: Run, here: Path) -> None:
    rows = (here / "data.csv").read_text().splitlines()
    for number in (5, 6, 9):
        rows[number] = "unknown," + rows[number].split(",", 1)[1]
    (here / "odd.csv").write_text("\n".join(rows))
    done = train("--drop", "note", data="odd.csv")
    assert done.exit_code == 0, done.output
    note = "cells that are not numbers are missing values: 3 in 'weight', such as 'unknown'"
    assert done.stdout.splitlines().count(note) == 1
    assert sum(line.startswith("classes: '") for line in done.stdout.splitlines()) == 1
    predicted = gdw("predict", "run", "odd.csv", "--output", "p.csv")
    measured = gdw("evaluate", "run", "odd.csv")
    for later in (predicted, measured):
        assert (later.exit_code, later.stderr) == (0, f"gdw: note: {note}\n")


@pytest.mark.parametrize(
    "words", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=" ".join
)
def test_help_pulls_in_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys; from typer.testing import CliRunner; from gdw.cli.app import app; "
        f"done = CliRunner().invoke(app, {words!r}); print(*sys.modules); print(done.output)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules, *shown = out.stdout.splitlines()
    assert {"torch", "numpy", "pandas", "datasets", "sklearn"}.isdisjoint(modules.split())
    assert "Examples:" in shown


def test_version_and_module_entry_point() -> None:
    words = [sys.executable, "-m", "gdw", "--version"]
    out = subprocess.run(words, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == f"gdw {package.__version__}"


def test_test_data_without_the_doubtful_column_are_measured_by_the_true_one(
    gdw: Run, here: Path
) -> None:
    table = pd.read_csv(here / "data.csv", skipinitialspace=True)
    table["guess"] = table["animal"][::-1].to_numpy()
    table.to_csv(here / "doubtful.csv", index=False)
    words = (
        "train",
        "doubtful.csv",
        "--label",
        "guess",
        "--meta-size",
        8,
        "--meta-label",
        "animal",
    )
    quick = ("--epochs", 1, "--model", "mlp:8", "--drop", "note")
    done = gdw(*words, *quick, "--test", "test.csv", "--output", "run")
    assert done.exit_code == 0, done.output
    other = table.drop(columns=["guess", "animal"]).assign(kind="cat")
    other.to_csv(here / "other.csv", index=False)
    done = gdw(*words, *quick, "--test", "other.csv", "--output", "second")
    assert done.exit_code == 2
    assert "no label column 'guess': name its label column with --test-label" in done.stderr


def test_features_are_named_and_predictions_have_the_key(gdw: Run, here: Path) -> None:
    for name in ("data", "clean", "test"):
        rows = (here / f"{name}.csv").read_text().splitlines()
        keyed = [
            f"{'visit_id' if i == 0 else f'{7919 * i % 997:05}'},{row}"
            for i, row in enumerate(rows)
        ]
        (here / f"{name}.csv").write_text("\n".join(keyed))
    quick = ("--epochs", 1, "--batch-size", 20, "--model", "mlp:8", "--accelerator", "cpu")
    done = gdw(
        "train", "data.csv", "--label", "animal", "--meta", "clean.csv", "--output", "run", *quick
    )
    assert done.exit_code == 0, done.output
    assert (
        "learning from 3 columns: 1 number ('weight'), 2 categories ('ears' with 2 values, 'note' with"
        in (done.output)
    )
    assert (
        "it is named like a key and differs in every row: 'visit_id'; to use it, name"
        in done.output
    )
    assert gdw("predict", "run", "test.csv", "--output", "p.csv").exit_code == 0
    test, table = (pd.read_csv(here / name, dtype=str) for name in ("test.csv", "p.csv"))
    assert list(table)[:3] == ["row", "visit_id", "prediction"]
    assert list(table["visit_id"]) == list(test["visit_id"])
    every = gdw("predict", "run", "test.csv", "--keep", "weight,animal", "--output", "q.csv")
    assert every.exit_code == 0, every.output
    assert list(pd.read_csv(here / "q.csv"))[:4] == ["row", "weight", "animal", "prediction"]


def test_names_that_training_never_saw_are_noted(train: Run, gdw: Run, here: Path) -> None:
    assert train().exit_code == 0
    text = (here / "test.csv").read_text().replace("pointed", "Pointed").replace("floppy", "Floppy")
    (here / "other.csv").write_text(text)
    for words in (("evaluate", "run"), ("predict", "run", "--force", "--output", "p.csv")):
        shown = gdw(*words, "other.csv")
        start = "gdw: note: 'ears': 100% of the values never occurred in training, such as '"
        assert (shown.exit_code, shown.stderr[: len(start)]) == (0, start)
        assert gdw(*words, "test.csv").stderr == ""
