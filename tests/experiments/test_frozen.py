"""The protocol of frozen features: its size, what each method is given, and a tiny part of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gdw.data import load
from gdw.data.loading import limited
from gdw.errors import ConfigError
from gdw.experiments.cell_settings import cell_settings
from gdw.experiments.cells import expand
from gdw.experiments.contenders import CONTENDERS
from gdw.experiments.grid import Grid
from gdw.experiments.protocol import Protocol, ProtocolPaths
from gdw.experiments.protocol_files import find_protocol, read_protocol
from gdw.experiments.results import Results
from gdw.experiments.row_choice import chosen_rows
from gdw.reweight import METHODS
from tests.experiments.conftest import silent, tiny, write_blobs


@pytest.fixture(scope="module")
def frozen() -> Protocol:
    return read_protocol(find_protocol("frozen"))


def test_it_has_enough_settings_and_seeds(frozen: Protocol) -> None:
    cells = expand(frozen)
    assert len({cell.setting for cell in cells}) >= 60
    assert {cell.seed for cell in cells} == {0, 1, 2}
    assert frozen.measure == "balanced_accuracy"


def test_every_method_but_plain_has_the_clean_examples_once(frozen: Protocol) -> None:
    for name in frozen.methods:
        entry = frozen.method_entry(name)
        is_given = entry.data == {"add_clean": True}
        takes = entry.method not in CONTENDERS and METHODS[entry.method].needs_clean
        assert takes != is_given or name == "plain", name


def test_other_rows_and_seeds_to_develop_a_method(frozen: Protocol, tmp_path: Path) -> None:
    other = read_protocol(find_protocol("frozen-validation"))
    assert (other.rows, other.methods, other.data) == ("validation", frozen.methods, frozen.data)
    assert not set(other.seeds) & set(frozen.seeds)
    paths = ProtocolPaths(tmp_path, tmp_path)
    mine, theirs = (
        cell_settings(p, expand(p)[0], paths=paths, data=tmp_path) for p in (frozen, other)
    )
    assert mine.builder is not None
    assert theirs.builder is not None
    assert (mine.builder.validation, theirs.builder.validation) == (False, True)
    assert mine.builder.key != theirs.builder.key
    protocol = tiny(rows="validation")
    with pytest.raises(
        ConfigError, match=r"data\.blobs: rows: validation needs files that prepare"
    ):
        cell_settings(protocol, expand(protocol)[0], paths=paths, data=tmp_path)


@pytest.mark.parametrize(("rows", "own"), [(200, True), (50, False)])
def test_validation_rows_are_no_test_rows(tmp_path: Path, rows: int, own: bool) -> None:
    write_blobs(tmp_path / "all.npz", rows, seed=0)
    source = load(tmp_path / "all.npz", label="y")
    sizes = {"train_rows": 40, "test_rows": 20}

    def unread() -> None:
        raise AssertionError("the test file is opened")

    trained, measured = chosen_rows(source, unread, **sizes, validation=True)  # type: ignore[arg-type]
    main, _ = chosen_rows(source, lambda: source, **sizes, validation=False)
    assert main.row_numbers.tolist() == limited(source, 40, 0).row_numbers.tolist()
    sets = [set(part.row_numbers.tolist()) for part in (trained, measured, main)]
    assert not sets[0] & sets[1]
    if own:
        assert [len(s) for s in sets] == [40, 20, 40]
        assert not (sets[0] | sets[1]) & sets[2]
    else:
        assert [len(s) for s in sets] == [30, 10, 40]
        assert sets[0] | sets[1] == sets[2]
    assert np.bincount(measured.known_labels).tolist() == [len(measured) // 2] * 2


def test_a_tiny_part_of_it_runs(frozen: Protocol, tmp_path: Path) -> None:
    methods = ("cufit", "ni_erm")
    base = {**frozen.base, "training": {**frozen.base["training"], "epochs": 2, "last_epochs": 1}}
    digits = {k: v for k, v in frozen.data["digits"].items() if k != "training"}
    protocol = frozen.model_copy(
        update={
            "base": base,
            "data": {"digits": digits},
            "methods": {name: frozen.methods[name] for name in methods},
            "seeds": [0],
            "reference": "cufit",
            "cells": [{"noise": "pair:0.4", "imbalance": "10"}],
        }
    )
    grid = Grid(protocol.check(), tmp_path / "grid", paths=ProtocolPaths(tmp_path))
    assert grid.run(jobs=1, log=silent) == 0
    results = Results(grid.folder)
    assert {cell.method for cell in results.results} == set(methods)
    assert len({result["wrong_labels"] for result in results.results.values()}) == 1


def test_a_protocol_can_be_based_on_another(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("based_on: smoke\nseeds: [7]\n", encoding="utf-8")
    mine = read_protocol(tmp_path / "mine.yaml")
    smoke = read_protocol(find_protocol("smoke"))
    assert (mine.name, mine.seeds, mine.methods) == ("mine", [7], smoke.methods)
    (tmp_path / "again.yaml").write_text("based_on: mine.yaml\nname: a\n", encoding="utf-8")
    assert read_protocol(tmp_path / "again.yaml").seeds == [7]
    (tmp_path / "mine.yaml").write_text("based_on: again.yaml\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"based_on: .*is based on this file itself"):
        read_protocol(tmp_path / "again.yaml")
    (tmp_path / "mine.yaml").write_text("based_on: smok\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"mine\.yaml: based_on: no protocol file 'smok'"):
        read_protocol(tmp_path / "mine.yaml")
