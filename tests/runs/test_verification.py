"""A verification file in the place of a clean set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gdw.audit import Evidence
from gdw.cli.train import _training
from gdw.data import load
from gdw.data.verification import Answer, Journal, answers_of, read_queue, write_queue
from gdw.errors import ConfigError, DataError, RunError
from gdw.runs import DataConfig, Training
from gdw.runs.prepare import prepare, read
from gdw.runs.prepared_data import with_rows
from tests.runs.test_continuing import configuration, run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = "".join(f"{i % 2 + i / 100},{'ab'[i % 2]}\n" for i in range(30))
    (tmp_path / "d.csv").write_text(f"x,label\n{rows}")
    source = load(tmp_path / "d.csv", label="label")
    queue = write_queue(
        tmp_path / "v.jsonl", source, np.array([4, 9, 2, 7]), label="label", data=tmp_path / "d.csv",
        selection_probability=[0.5, None, 0.5, None],
    )  # fmt: skip
    journal = Journal(answers_of(queue.path))
    for row, label in zip(queue.candidates, "baa", strict=False):
        journal.append(Answer(row.index, row.digest, "label", (label,)))
    journal.close()
    return tmp_path / "d.csv"


def made_of(count: int) -> Evidence:
    ones, top = np.ones(count, dtype=np.float32), np.tile([0, 1], (count, 1))
    return Evidence(
        num_classes=2, given=np.zeros(count, dtype=np.int64), p_given=ones, top_classes=top,
        top_probabilities=np.tile(np.float32([1, 0]), (count, 1)), weight_given=ones, weight_top=ones,
        visits=np.ones(count, dtype=np.int32),
    )  # fmt: skip


def test_the_audit_knows_the_given_labels_of_verified_rows(data: Path, tmp_path: Path) -> None:
    config = DataConfig(path=str(data), meta=str(tmp_path / "v.jsonl"))
    prepared = prepare(config, seed=0)
    assert len(prepared.train) == 27
    assert prepared.meta is not None
    assert prepared.meta.targets.tolist() == [1, 0, 0]
    evidence = made_of(len(prepared.train))
    known = with_rows(evidence, prepared, config)
    assert known.clean_true is not None
    assert known.clean_given is not None
    assert known.clean_true.tolist() == [1, 0, 0]
    assert known.clean_given.tolist() == [0, 1, 0]
    assert known.drawn.tolist() == [True, False, True], (
        "row 9 was chosen for the doubt in its label"
    )
    assert known.clean is not None
    assert [part.tolist() for part in known.clean] == [[0, 0], [1, 0]]  # type: ignore[union-attr]
    spoiled = with_rows(evidence, prepared, config.model_copy(update={"noise": "flip:0.2"}))
    assert spoiled.clean_given is None


def test_a_limit_does_not_lose_verified_rows(data: Path, tmp_path: Path) -> None:
    config = DataConfig(path=str(data), meta=str(tmp_path / "v.jsonl"), limit=10)
    found = read(config, seed=0)
    assert found.clean is not None
    assert found.clean.row_numbers.tolist() == [4, 9, 2]
    assert not {4, 9, 2} & set(found.train.row_numbers.tolist())


def test_the_rows_are_found_in_a_copy_in_another_order(data: Path, tmp_path: Path) -> None:
    head, *lines = data.read_text().splitlines(keepends=True)
    (tmp_path / "copy.csv").write_text("".join([head, *reversed(lines)]))
    config = DataConfig(path=str(tmp_path / "copy.csv"), meta=str(tmp_path / "v.jsonl"))
    found = read(config, seed=0)
    assert found.clean is not None
    assert found.clean.row_numbers.tolist() == [25, 20, 27]
    assert "copy.csv: found by what is in them" in found.train.notes[-1]


def test_rows_that_a_copy_leaves_out_are_taken_from_the_original(
    data: Path, tmp_path: Path
) -> None:
    head, *lines = data.read_text().splitlines(keepends=True)
    copy = tmp_path / "kept.csv"
    config = DataConfig(path=str(copy), meta=str(tmp_path / "v.jsonl"))
    copy.write_text("".join([head, *lines[5:]]))  # without the verified rows 4 and 2, with 9
    found = read(config, seed=0)
    assert found.clean is not None
    assert found.clean.row_numbers.tolist() == [4, 9, 2]
    assert found.clean.frame()["x"].tolist() == [0.04, 1.09, 0.02]
    assert found.clean.known_labels.tolist() == [1, 0, 0]
    assert len(found.train) == 24
    assert 4 not in found.train.row_numbers, "row 9 of the original is row 4 of the copy"
    note = found.train.notes[-1]
    assert note.startswith("2 of 3 rows verified in v.jsonl are not in")
    assert note.endswith("taken from " + str(data))


def test_other_data_are_refused(data: Path, tmp_path: Path) -> None:
    head, *lines = data.read_text().splitlines(keepends=True)
    copy = tmp_path / "copy.csv"
    config = DataConfig(path=str(copy), meta=str(tmp_path / "v.jsonl"))
    copy.write_text("".join([head, *lines[10:]]))
    with pytest.raises(DataError, match=r"the data are not those of v\.jsonl"):
        read(config, seed=0)
    copy.write_text("".join([head, *lines[:4], *lines[5:]]))
    data.write_text("".join([head, *reversed(lines)]))
    with pytest.raises(
        DataError,
        match=r"1 of 3 rows verified in v\.jsonl are not in .*copy.csv, and .*, which it was made of, has",
    ) as caught:
        read(config, seed=0)
    assert "\n" not in str(caught.value)


def test_corrected_labels_are_no_sample_of_the_labels(data: Path, tmp_path: Path) -> None:
    head, *lines = data.read_text().splitlines(keepends=True)
    lines[4] = lines[4].replace("a", "b")
    (tmp_path / "new.csv").write_text("".join([head, *lines]))
    for path, known in ((data, True), (tmp_path / "new.csv", False)):
        config = DataConfig(path=str(path), meta=str(tmp_path / "v.jsonl"))
        prepared = prepare(config, seed=0)
        found = with_rows(made_of(len(prepared.train)), prepared, config)
        assert (found.clean_given is not None) == known


def test_as_the_trusted_rows_it_is_the_same(data: Path, tmp_path: Path) -> None:
    file = str(tmp_path / "v.jsonl")
    training = _training({"path": str(data), "trusted": file}, None, tmp_path / "run", resume=False)
    assert (training.config.data.meta, training.config.data.trusted) == (file, None)


def test_it_has_its_own_labels(data: Path, tmp_path: Path) -> None:
    config = DataConfig(path=str(data), meta=str(tmp_path / "v.jsonl"), meta_label="label")
    with pytest.raises(ConfigError, match="which has its own labels: leave --meta-label out"):
        read(config, seed=0)


def test_a_run_is_not_resumed_with_more_answers(data: Path, tmp_path: Path) -> None:
    config = configuration(DataConfig(path=str(data), meta=str(tmp_path / "v.jsonl")), method="mwn")
    run(Training(config, tmp_path / "run"), stop_after=1)
    queue = read_queue(tmp_path / "v.jsonl")
    journal = Journal(answers_of(queue.path))
    last, first = queue.candidates[3], queue.candidates[0]
    journal.append(Answer(last.index, last.digest, "label", ("a",)))
    message = (
        r"run cannot be resumed: .*v.jsonl has 1 more verified row \(4 in all\) than when it was"
    )
    with pytest.raises(RunError, match=message):
        Training.resume(tmp_path / "run").prepare()
    journal.append(Answer(last.index, last.digest, "undone"))
    journal.append(Answer(first.index, first.digest, "label", ("a",)))
    journal.close()
    with pytest.raises(
        RunError, match=r"v.jsonl has other answers than when it was started, and a run"
    ):
        Training.resume(tmp_path / "run").prepare()
