"""Runs whose clean set nobody has verified: chosen by the run, or drawn from the data as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gdw.audit.evidence import EVIDENCE, Evidence
from gdw.errors import ConfigError, RunError
from gdw.runs import DataConfig, RunConfig, Training
from gdw.runs.chosen import CHOSEN, read_chosen
from gdw.train import chosen_clean
from gdw.train.before_training import StoppedInPreparation
from tests.runs.test_continuing import configuration, run
from tests.train.small import interrupt_fit


@pytest.fixture
def table(files: dict[str, str]) -> DataConfig:
    """60 rows of which every seventh has the other label; the column `true` has the right one."""
    frame = pd.read_csv(files["path"])
    frame["true"] = frame["label"]
    frame.loc[::7, "label"] = np.where(frame["label"][::7] == "cat", "dog", "cat")
    frame.to_csv("doubtful.csv", index=False)
    return DataConfig(path="doubtful.csv", drop=["true"])


def robust(data: DataConfig) -> RunConfig:
    return configuration(data, epochs=4, lr=0.05)


def test_without_a_clean_set_labels_that_look_right_stand_in(table: DataConfig) -> None:
    training = Training(robust(table), "run")
    prepared = training.prepare()
    assert prepared.meta is None
    assert training.needs_choice(prepared)
    training.fit(prepared, training.build_model(prepared))
    rows = read_chosen(Path("run/encoder"), 60)
    assert rows is not None
    assert len(rows) == 10
    labels = prepared.train.targets[rows]
    assert labels.bincount().tolist() == [5, 5], "balanced"
    assert (rows % 7 != 0).all(), "no wrong label among them"


def test_nobody_vouches_for_them(table: DataConfig) -> None:
    run(Training(robust(table), "run"))
    evidence = Evidence.load(Path("run") / EVIDENCE)
    assert evidence.clean is None
    assert evidence.clean_check is None
    assert len(evidence) == 60, "the chosen examples are audited like the others"


def test_a_resumed_run_has_the_same_clean_set(
    table: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = run(Training(robust(table), "straight"))
    run(Training(robust(table), "run"), stop_after=2)

    def choose_for(*_: object) -> None:
        raise AssertionError("chosen before")

    monkeypatch.setattr(chosen_clean, "choose_for", choose_for)
    assert run(Training.resume("run")) == straight


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "{}",
        '{"examples": []}',
        '{"examples": [1, 60]}',
        '{"examples": [-1]}',
        '{"examples": ["a"]}',
    ],
)
def test_a_damaged_choice_is_one_line(table: DataConfig, content: str) -> None:
    run(Training(robust(table), "run"), stop_after=2)
    (Path("run/encoder") / CHOSEN).write_text(content)
    with pytest.raises(RunError, match=r"chosen.json is damaged .* start the run again") as caught:
        run(Training.resume("run"))
    assert "\n" not in str(caught.value)


def test_methods_that_need_no_clean_set_choose_none(table: DataConfig) -> None:
    run(Training(configuration(table, method="plain"), "run"))
    assert not (Path("run/encoder") / CHOSEN).exists()


@pytest.mark.parametrize(
    ("changes", "verified"),
    [
        ({"meta_size": 20}, False),
        ({"meta_size": 20, "meta_label": "true", "drop": []}, True),
        ({"meta_size": 20, "noise": "uniform:0.3"}, True),
    ],
)
def test_rows_drawn_from_the_data_are_not_verified_by_that(
    table: DataConfig, changes: dict[str, object], verified: bool
) -> None:
    data = table.model_copy(update=changes)
    assert data.verified == verified
    run(Training(robust(data), "run"))
    evidence = Evidence.load(Path("run") / EVIDENCE)
    assert (evidence.clean is not None) == verified
    assert (evidence.clean_check is not None) == verified


def test_a_stop_while_choosing_keeps_what_is_finished(
    table: DataConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(Training(robust(table), "straight"))
    for number, training in ((3, Training(robust(table), "run")), (2, None)):
        with monkeypatch.context() as patch:
            begun = interrupt_fit(patch, number)
            with pytest.raises(StoppedInPreparation) as stopped:
                run(training or Training.resume("run"))
        assert len(begun) == number
    assert stopped.value.kept == "none of its trainings had finished"
    assert len(list(Path("run/preparation/choice").iterdir())) == 3
    with monkeypatch.context() as patch:
        begun = interrupt_fit(patch, 99)
        run(Training.resume("run"))
    models = [Path(folder, "model.safetensors").read_bytes() for folder in ("straight", "run")]
    assert models[0] == models[1]
    assert not Path("run/preparation").exists()


def test_what_only_training_would_find_is_found_before_the_choice(table: DataConfig) -> None:
    config = configuration(table, epochs=4, lr=0.05, augment="standard")
    with pytest.raises(ConfigError, match="crops and flips images"):
        run(Training(config, "run"))
    assert not Path("run").exists()
