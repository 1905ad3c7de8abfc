"""A verification file in the place of a clean set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gdw.audit import Evidence
from gdw.cli.train import _training
from gdw.data import load
from gdw.data.verification import Answer, Journal, answers_of, write_queue
from gdw.errors import ConfigError, DataError
from gdw.runs import DataConfig
from gdw.runs.prepare import prepare, read
from gdw.runs.prepared_data import with_rows


@pytest.fixture
def data(tmp_path: Path) -> Path:
    rows = "".join(f"{i % 2 + i / 100},{'ab'[i % 2]}\n" for i in range(30))
    (tmp_path / "d.csv").write_text(f"x,label\n{rows}")
    source = load(tmp_path / "d.csv", label="label")
    queue = write_queue(
        tmp_path / "v.jsonl", source, np.array([4, 9, 2, 7]), label="label", data=tmp_path / "d.csv"
    )
    journal = Journal(answers_of(queue.path))
    for row, label in zip(queue.candidates, "baa", strict=False):
        journal.append(Answer(row.index, row.digest, "label", (label,)))
    journal.close()
    return tmp_path / "d.csv"


def test_the_audit_knows_the_given_labels_of_verified_rows(data: Path, tmp_path: Path) -> None:
    config = DataConfig(path=str(data), meta=str(tmp_path / "v.jsonl"))
    prepared = prepare(config, seed=0)
    assert len(prepared.train) == 27
    assert prepared.meta is not None
    assert prepared.meta.targets.tolist() == [1, 0, 0]
    count = len(prepared.train)
    ones, top = np.ones(count, dtype=np.float32), np.tile([0, 1], (count, 1))
    evidence = Evidence(
        num_classes=2, given=prepared.source.known_labels, p_given=ones, top_classes=top,
        top_probabilities=np.tile(np.float32([1, 0]), (count, 1)), weight_given=ones, weight_top=ones,
        visits=np.ones(count, dtype=np.int32),
    )  # fmt: skip
    known = with_rows(evidence, prepared, config)
    assert known.clean_true is not None
    assert known.clean_given is not None
    assert known.clean_true.tolist() == [1, 0, 0]
    assert known.clean_given.tolist() == [0, 1, 0]
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
    assert "copy.csv: found by what is in them" in found.clean.notes[-1]
    (tmp_path / "copy.csv").write_text("".join([head, *reversed(lines[5:])]))
    with pytest.raises(DataError, match=r"the data are not those of v\.jsonl"):
        read(config, seed=0)


def test_as_the_trusted_rows_it_is_the_same(data: Path, tmp_path: Path) -> None:
    file = str(tmp_path / "v.jsonl")
    training = _training({"path": str(data), "trusted": file}, None, tmp_path / "run", resume=False)
    assert (training.config.data.meta, training.config.data.trusted) == (file, None)


def test_it_has_its_own_labels(data: Path, tmp_path: Path) -> None:
    config = DataConfig(path=str(data), meta=str(tmp_path / "v.jsonl"), meta_label="label")
    with pytest.raises(ConfigError, match="which has its own labels: leave --meta-label out"):
        read(config, seed=0)


def test_a_class_that_nobody_verified_yet_is_told_with_the_command_that_adds_rows(
    data: Path, tmp_path: Path
) -> None:
    journal = Journal(answers_of(tmp_path / "v.jsonl"))
    row = journal.answers[0]
    journal.append(Answer(row.index, row.digest, "label", ("a",)))
    journal.close()
    with pytest.raises(
        DataError, match=r"1 class has no clean example: 'b'.*: gdw suggest with the same"
    ):
        read(DataConfig(path=str(data), meta=str(tmp_path / "v.jsonl")), seed=0)
