"""A mistake is one line on standard error, status 2, before training, and nothing is written."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Run

ROW = "3.1,pointed,n0,"


_PROGRESS = r"epoch |step |about \d|less than a minute: |\d+% done: "


def one_line(result: object, pattern: str, *, status: int = 2) -> None:
    stderr = result.stderr  # type: ignore[attr-defined]
    assert result.exit_code == status, result.output  # type: ignore[attr-defined]
    lines = [line for line in stderr.splitlines() if not re.match(_PROGRESS, line)]
    assert len(lines) == 1, stderr
    assert re.search(pattern, lines[0]), lines[0]
    assert lines[0].startswith("gdw: ")


def write(here: Path, name: str, *rows: str) -> str:
    (here / name).write_text("\n".join(("weight,ears,note,animal", *rows)) + "\n")
    return name


def test_wrong_path(train: Run, here: Path) -> None:
    one_line(train(data="dataa.csv"), r"no file or folder 'dataa.csv'. Did you mean 'data.csv'")
    assert not (here / "run").exists()


def test_missing_column(gdw: Run) -> None:
    words = ("train", "data.csv", "--label", "Animal", "--meta", "clean.csv", "--output", "run")
    one_line(gdw(*words), r"no column 'Animal'. Did you mean 'animal'.*Its columns: 'weight'")


def test_a_clean_label_that_the_data_never_have(train: Run, here: Path) -> None:
    name = write(here, "m.csv", ROW + "cat", ROW + "cta")
    one_line(train(meta=name), r"row 1 of m.csv: the label 'cta'.*Did you mean 'cat'")


def test_one_class_only(train: Run, here: Path) -> None:
    name = write(here, "one.csv", *[ROW + "cat"] * 9)
    one_line(train(data=name), r"one.csv has a single class, 'cat': expected at least two")


def test_empty_files(train: Run, here: Path) -> None:
    one_line(train(data=write(here, "e.csv")), r"e.csv has no rows")
    (here / "zero.csv").write_text("")
    one_line(train(meta="zero.csv"), r"zero.csv is an empty file")


def test_columns_of_another_type(train: Run, here: Path) -> None:
    name = write(here, "m.csv", "heavy,pointed,n0,cat", 'light,floppy,n1,"dog, big"')
    one_line(
        train(meta=name), r"row 0 of m.csv: column 'weight' is a number in data.csv, found 'heavy'"
    )


def test_an_unlabelled_row(train: Run, here: Path) -> None:
    name = write(here, "d.csv", ROW + "cat", ROW, ROW + '"dog, big"')
    one_line(train(data=name), r"row 1 of d.csv has no label in column 'animal'")


def test_features_that_are_not_numbers(gdw: Run, here: Path) -> None:
    x = np.ones((6, 3))
    np.savez(here / "ok.npz", X=x, y=np.arange(6) % 2)
    x[4, 1] = np.nan
    np.savez(here / "bad.npz", X=x, y=np.arange(6) % 2)
    done = gdw("train", "bad.npz", "--meta", "ok.npz", "--output", "run")
    one_line(done, r"row 4 of bad.npz, column 1.*nan")


def test_an_unreadable_image_is_named(gdw: Run, here: Path) -> None:
    for folder in ("photos", "verified"):
        for name in ("a b", "-é"):
            (here / folder / name).mkdir(parents=True)
            for i in range(3):
                Image.new("RGB", (9, 9)).save(here / folder / name / f"{i}.png")
    (here / "photos" / "a b" / "1.png").write_bytes(b"not an image")
    done = gdw("train", "photos", "--meta", "verified", "--output", "run")
    one_line(done, r"photos/a b/1.png: cannot read the image")


def test_an_output_that_holds_a_run_is_not_touched(train: Run, here: Path) -> None:
    assert train().exit_code == 0
    before = {p: p.read_bytes() for p in (here / "run").rglob("*") if p.is_file()}
    one_line(train(), r"run already holds a run .*--resume")
    assert {p: p.read_bytes() for p in (here / "run").rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (("--method", "gwd"), r"unknown method 'gwd'.*Did you mean 'gdw'"),
        (("--set", "clipp=1"), r"no option 'clipp'.*Did you mean 'clip'"),
        (("--method", "gdw", "--set", "clip=much"), r"clip: found 'much', expected a number"),
        (("--method", "gdw", "--set", "clip=true"), r"clip: found True, expected a number"),
        (("--set", "clip"), r"--set takes NAME=VALUE"),
        (("--epochs", 0), r"epochs: .*greater than or equal to 1, found '0'"),
        (("--lr", "nan"), r"lr: .*finite"),
        (("--optimizer", "sgdd"), r"optimizer: expected 'sgd' or 'adamw', found 'sgdd'"),
        (("--model", "mpl"), r"unknown model 'mpl'.*Did you mean 'mlp'"),
        (("--model", "resnet20"), r"needs images"),
        (("--noise", "unifrom:0.4"), r"unknown noise.*Did you mean 'uniform'"),
        (("--imbalance", "much"), r"imbalance"),
        (("--features", "weight,eras"), r"no column 'eras'.*Did you mean 'ears'"),
        (("--trusted", "checked"), r"exactly one way.*found 2 of them"),
        (("--test", "nothing.csv"), r"no file or folder 'nothing.csv'"),
        (("--resume",), r"no run folder at run"),
    ],
)
def test_options_that_cannot_be_used(
    train: Run, here: Path, words: tuple[object, ...], pattern: str
) -> None:
    one_line(train(*words), pattern)
    assert not (here / "run").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--noise", "uniform:0.4"), r"noise \(was None, now 'uniform:0.4'\)"),
        (("--model", "mlp:9"), r"name \(was 'mlp:8', now 'mlp:9'\)"),
        (("--seed", 5), r"seed \(was 0, now 5\)"),
    ],
)
def test_a_run_is_resumed_with_its_own_options(
    train: Run, gdw: Run, here: Path, words: tuple[object, ...], message: str
) -> None:
    assert train("--stop-after", 1).exit_code == 0
    message = f"run cannot be resumed with other settings: {message}; use those"
    one_line(train("--resume", *words), message)
    one_line(gdw("train", "--resume", "--output", "run", *words), message)
    (here / "c.yaml").write_text("model: {name: mlp:7}")
    resumed = gdw("train", "--resume", "--output", "run", "--config", "c.yaml")
    one_line(resumed, r"name \(was 'mlp:8', now 'mlp:7'\)")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("trian", r"no command 'trian'. Did you mean 'train'\?"),
        ("train data.csv --output run --epoch 3", r"no option --epoch. Did you mean '--epochs'\?"),
        ("train data.csv --output run --epochs two", r"epochs: .*valid integer.*, found 'two'"),
        (
            "train data.csv --label animal",
            r"gdw train needs --output FOLDER \(the run folder, which is created\). See gdw train --help",
        ),
        ("train data.csv --label", r"option '--label' requires an argument. See gdw train --help"),
        (
            "evaluate run",
            r"gdw evaluate needs DATA \(a file or folder of .*\). See gdw evaluate --help",
        ),
        ("demo --seeds 0", r"'--seeds': .*[^.]\. See gdw demo --help"),
        ("--verison", r"gdw has no option --verison. Did you mean '--version'"),
    ],
)
def test_a_command_line_that_cannot_be_read(gdw: Run, here: Path, words: str, message: str) -> None:
    one_line(gdw(*words.split()), message)
    assert not (here / "run").exists()


def test_test_data_that_are_training_data(train: Run, here: Path) -> None:
    one_line(train("--test", "data.csv"), r"the test data data.csv are the training data")
    one_line(train("--test", "clean.csv"), r"the test data clean.csv are the clean examples")
    assert not (here / "run").exists()


def test_numbers_in_place_of_the_names_trained_on(train: Run, gdw: Run, here: Path) -> None:
    numbers = write(here, "numbers.csv", ROW + "0", ROW + "1")
    one_line(train(meta=numbers), r"row 0 of numbers.csv: the label '0'.*'cat', 'dog, big'")
    assert train().exit_code == 0
    one_line(gdw("evaluate", "run", numbers), r"row 0 of numbers.csv: the label '0'.*'cat'")


def test_adding_clean_examples_names_the_three_ways(gdw: Run) -> None:
    words = ("--method", "plain", "--add-clean", "--output", "run")
    done = gdw("train", "data.csv", "--label", "animal", *words)
    one_line(done, r"add_clean trains on the clean .*none: .*--meta.*--trusted.*--meta-size")


def test_a_configuration_file_that_does_not_fit(gdw: Run, here: Path) -> None:
    (here / "c.yaml").write_text("trainning: {epochs: 3}")
    one_line(
        gdw("train", "data.csv", "--config", "c.yaml", "--output", "run"),
        r"unknown section 'trainning'",
    )
    (here / "c.yaml").write_text("training: {epoch: 3}")
    one_line(
        gdw("train", "data.csv", "--config", "c.yaml", "--output", "run"), r"Did you mean 'epochs'"
    )
    (here / "c.yaml").write_text("{")
    one_line(
        gdw("train", "data.csv", "--config", "c.yaml", "--output", "run"), r"cannot be read as YAML"
    )
    (here / "c.yaml").write_text("data: 3")
    one_line(gdw("train", "--config", "c.yaml", "--output", "run"), r"'data' must hold options")
    one_line(
        gdw("train", "data.csv", "--config", "d.yaml", "--output", "run"),
        r"no file d.yaml: check the path",
    )


def test_a_diverging_run_stops_with_its_last_checkpoint(train: Run, here: Path) -> None:
    done = train("--method", "plain", "--lr", "1e30", "--epochs", 3)
    one_line(done, r"not finite in epoch \d, step \d+; the last good checkpoint is run/", status=1)
    assert list((here / "run" / "checkpoints").glob("*.pt"))


def test_runs_that_cannot_be_used(train: Run, gdw: Run, here: Path) -> None:
    one_line(gdw("evaluate", "nothing", "test.csv"), r"no run folder at nothing")
    assert train().exit_code == 0
    config = here / "run" / "config.yaml"
    original = config.read_text()
    config.write_text(original.replace("format: 2", "format: 99"))
    one_line(
        gdw("evaluate", "run", "test.csv"),
        r"was written by gdw \d.* \(format 99\); this is gdw .* \(format 2\): upgrade it",
    )
    config.write_text("[]")
    one_line(gdw("evaluate", "run", "test.csv"), r"config.yaml is damaged")
    config.write_text(original)
    schema = here / "run" / "encoder" / "schema.json"
    kept = schema.read_text()
    schema.write_text(kept[:20])
    one_line(gdw("evaluate", "run", "test.csv"), r"schema.json is damaged")
    schema.write_text(kept)
    (here / "run" / "model.safetensors").write_bytes(b"x" * 50)
    one_line(
        gdw("predict", "run", "test.csv", "--output", "p.csv"), r"model.safetensors is damaged"
    )


def test_predictions_never_overwrite(train: Run, gdw: Run, here: Path) -> None:
    assert train().exit_code == 0
    (here / "p.csv").write_text("mine")
    one_line(gdw("predict", "run", "test.csv", "--output", "p.csv"), r"exists already")
    assert (here / "p.csv").read_text() == "mine"
    one_line(
        gdw("predict", "run", "test.csv", "--output", "p.txt"), r"ending in .csv, .parquet, .jsonl"
    )
    one_line(
        gdw("predict", "run", "test.csv", "--output", "no/p.csv"), r"the folder no does not exist"
    )


def test_an_evaluation_file_of_another_form(train: Run, gdw: Run, here: Path) -> None:
    assert train().exit_code == 0
    (here / "other.csv").write_text("weight,animal\n1.0,cat\n")
    one_line(gdw("evaluate", "run", "other.csv"), r"other.csv has no column 'ears'")
    name = write(here, "new.csv", ROW + "cat", ROW + "cow")
    one_line(
        gdw("evaluate", "run", name), r"row 1 of new.csv: the label 'cow'.*Known classes: 'cat'"
    )
