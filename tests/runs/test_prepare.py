"""What becomes of configured data before it is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gdw.errors import ConfigError
from gdw.runs import DataConfig
from gdw.runs.prepare import prepare


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"test": "path.csv"}, "the training data"),
        ({"test": "folder/../path.csv"}, "the training data"),
        ({"test": "meta.csv"}, "the clean examples"),
        ({"test": "link.csv"}, "the clean examples"),
        ({"test": "path.csv", "test_label": "other"}, "the training data"),
    ],
)
def test_test_data_that_are_trained_on_are_refused(
    files: dict[str, Any], tmp_path: Path, change: dict[str, Any], what: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.csv").symlink_to(tmp_path / "meta.csv")
    with pytest.raises(ConfigError, match=f"the test data .*csv are {what}: expected"):
        prepare(DataConfig(**{**files, **change}), seed=0)


@pytest.mark.parametrize("clean", [{"meta": "meta.csv"}, {"meta_size": 10}, {"trusted": "checked"}])
def test_clean_examples_are_trained_on_as_they_are(
    files: dict[str, Any], tmp_path: Path, clean: dict[str, Any]
) -> None:
    header, *rows = (tmp_path / "path.csv").read_text().splitlines()
    marked = [f"{header},checked", *(f"{row},{i < 10}" for i, row in enumerate(rows))]
    (tmp_path / "path.csv").write_text("\n".join(marked) + "\n")
    options = {"path": "path.csv", "noise": "pair:1.0", "imbalance": "5", **clean}
    if "trusted" not in clean:
        options["drop"] = ["checked"]
    without = prepare(DataConfig(**options), seed=4)
    found = prepare(DataConfig(**options, add_clean=True), seed=4)
    assert found.meta is not None
    n, m = len(without.train), len(found.meta)
    assert m == 10
    assert n < 50, "imbalance takes from the doubtful examples"
    assert len(found.train) == n + m
    assert found.spoiled == without.spoiled == 1.0
    # The doubtful rows come first, as without the option; the clean ones follow, with their own labels.
    for start, part in ((0, without.train), (n, found.meta)):
        here = range(start, start + len(part))
        inputs, targets = found.train.__getitems__(list(here))
        expected = part.__getitems__(list(range(len(part))))
        assert torch.equal(inputs, expected[0])
        assert torch.equal(targets, expected[1])
    inputs, targets = found.meta.__getitems__(list(range(m)))
    assert torch.equal(targets, (inputs[:, 0] > inputs[:, 0].mean()).long()), "unspoiled"
    assert len(found.source) == n
    assert (found.source.row_numbers == without.source.row_numbers).all()
    assert found.fingerprint == without.fingerprint


def test_adding_clean_examples_needs_some(files: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="add_clean trains on the clean examples too") as caught:
        prepare(DataConfig(path=files["path"], add_clean=True), seed=0)
    assert "--meta-size" in str(caught.value)


def test_the_fingerprint_knows_rows_labels_and_clean_labels(
    data: DataConfig, tmp_path: Path
) -> None:
    def changed(**options: Any) -> set[str]:
        found = prepare(data.model_copy(update=options), seed=0).fingerprint
        return {name for name in first if first[name] != found[name]}

    data = data.model_copy(update={"test": None})
    first = prepare(data, seed=0).fingerprint
    assert changed() == set()
    assert changed(noise="uniform:0.5") == changed(limit=40) == {"training"}
    rows = (tmp_path / "meta.csv").read_text()
    (tmp_path / "meta.csv").write_text(
        rows.replace("cat", "x").replace("dog", "cat").replace("x", "dog")
    )
    assert changed() == {"clean"}
    (tmp_path / "meta.csv").write_text(rows)
    table = (tmp_path / "path.csv").read_text()
    (tmp_path / "path.csv").write_text(table.replace("cat", "dog", 1))
    assert changed() == {"training"}
    (tmp_path / "path.csv").write_text(table.replace("cat", "bee"))
    (tmp_path / "meta.csv").write_text(rows.replace("cat", "bee"))
    # The codes are the same; what they are called is not.
    assert np.bincount(prepare(data, seed=0).train.targets).tolist() == [30, 30]
    assert changed() == {"training", "clean"}
