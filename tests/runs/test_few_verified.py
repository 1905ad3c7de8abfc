"""Runs with few verified rows of some class: rows whose labels look right stand in for the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gdw.audit.evidence import EVIDENCE, Evidence
from gdw.audit.part_of_check import checked_on
from gdw.runs import DataConfig, RunConfig, Training
from gdw.runs.chosen import CHOSEN, read_chosen
from tests.runs.test_continuing import configuration, run


@pytest.fixture
def data(files: dict[str, str]) -> DataConfig:
    """60 rows, of which every seventh has the other label and six rows of cats are verified."""
    frame = pd.read_csv(files["path"])
    frame["checked"] = (np.arange(60) % 2 == 0) & (np.arange(60) < 12)
    frame["label"] = frame["label"].where(
        (np.arange(60) % 7 != 6) | frame["checked"],
        frame["label"].map({"cat": "dog", "dog": "cat"}),
    )
    frame["few"] = np.arange(60) < 6
    frame.to_csv("doubtful.csv", index=False)
    return DataConfig(path="doubtful.csv", trusted="checked", drop=["few"])


def robust(data: DataConfig) -> RunConfig:
    return configuration(data, epochs=4, lr=0.05)


def test_rows_whose_labels_look_right_are_added_to_a_class_with_few(data: DataConfig) -> None:
    training = Training(robust(data), "run")
    prepared = training.prepare()
    assert prepared.lacking(training.config).tolist() == [0, 5]
    assert training.needs_choice(prepared)
    run(training)
    rows = read_chosen(Path("run/encoder"), len(prepared.source))
    assert rows is not None
    numbers = prepared.source.row_numbers[rows]
    assert prepared.source.known_labels[rows].tolist() == [1] * 5
    assert (numbers % 2 == 1).all(), "right labels"


def test_they_do_not_count_as_verified(data: DataConfig) -> None:
    run(Training(robust(data), "run"))
    evidence = Evidence.load(Path("run") / EVIDENCE)
    assert evidence.clean_true is not None
    assert evidence.clean_true.tolist() == [0] * 6
    assert evidence.clean_check is None, "half of the labels are of a class without a verified row"
    assert len(evidence) == 54, "they are audited like the others"


def test_methods_without_a_clean_set_and_drawn_ones_get_none(data: DataConfig) -> None:
    for config in (
        configuration(data, method="plain"),
        configuration(data.model_copy(update={"trusted": None, "meta_size": 4})),
    ):
        training = Training(config, "run")
        assert not training.needs_choice(training.prepare())
        training._release()


def test_a_run_that_was_interrupted_has_the_same_ones(data: DataConfig) -> None:
    straight = run(Training(robust(data), "straight"))
    run(Training(robust(data), "run"), stop_after=2)
    assert run(Training.resume("run")) == straight


def test_a_run_of_an_earlier_version_goes_on_with_few(data: DataConfig) -> None:
    few = robust(data.model_copy(update={"trusted": "few", "drop": ["checked"]}))
    old = Training(few, "run")
    old.needs_choice = lambda prepared: False  # type: ignore[method-assign]
    run(old, stop_after=2)
    resumed = Training.resume("run")
    assert resumed.needs_choice(resumed.prepare())
    run(resumed)
    assert not (Path("run/encoder") / CHOSEN).exists()


def test_the_check_is_of_verified_examples_alone() -> None:
    given = np.repeat([0, 1, 2], [50, 45, 5])
    verified, others = np.array([0, 0, 0, 0, 1]), np.array([1, 1, 1, 2])
    weights = np.float32([50 / 4] * 4 + [45 / 4] * 4 + [5])
    check = np.full((9, 5), 0.5, dtype=np.float32)
    check[:, 0], check[5:, 1:] = weights / weights.mean(), 0.0
    one, top = np.ones(100, dtype=np.float32), np.tile([0, 1, 2], (100, 1))
    evidence = Evidence(
        num_classes=3, given=given, p_given=one, top_classes=top, top_probabilities=top.astype(np.float32),
        weight_given=one, weight_top=one, visits=np.ones(100, dtype=np.int32), clean_check=check,
        clean_agreement=np.float32([0.5]),
    )  # fmt: skip
    labels = np.concatenate([verified, others])
    found = checked_on(evidence, labels, np.arange(9) < 5).clean_check
    assert found is not None
    np.testing.assert_allclose(found[:, 1:], 0.5)
    # Each class counts by its number of labels, the rare one without a verified example not at all.
    np.testing.assert_allclose(found[4, 0] / found[0, 0], 45 / (50 / 4), rtol=1e-5)
    assert found[:, 0].mean() == pytest.approx(1)
    assert checked_on(evidence, labels, np.arange(9) < 4).clean_check is None
