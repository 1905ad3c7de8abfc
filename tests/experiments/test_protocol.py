"""Protocols: which cells they make, and errors that name the entry."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gdw.errors import ConfigError
from gdw.experiments.cell_settings import cell_settings, differences
from gdw.experiments.cells import Cell, expand
from gdw.experiments.protocol import Protocol, ProtocolPaths
from gdw.experiments.protocol_files import find_protocol, read_protocol, shipped_protocols
from gdw.reweight import GDW
from tests.experiments.conftest import TINY, tiny


def test_the_grid_is_every_combination_seed_by_seed() -> None:
    cells = expand(tiny(noise=[None, "flip:0.2"], imbalance=[None, 10], seeds=[3, 1]))
    assert len(cells) == len(set(cells)) == 2 * 2 * 2 * 2
    assert [cell.seed for cell in cells] == [1] * 8 + [3] * 8
    assert cells[-1] == Cell("blobs", "flip:0.2", "10", "l2rw", 3)
    assert cells[-1].slug == "blobs__flip-0.2__imbalance-10__l2rw__seed-3"
    assert cells[0].slug == "blobs__plain__seed-1"


def test_cells_name_parts_of_the_grid() -> None:
    cells = expand(
        tiny(
            noise=[None, "flip:0.2"],
            cells=[
                {"noise": None, "methods": "plain"},
                {"noise": "flip:0.2"},
                {"noise": "flip:0.2"},
            ],
        )
    )
    assert [(c.noise, c.method) for c in cells] == [
        (None, "plain"),
        ("flip:0.2", "plain"),
        ("flip:0.2", "l2rw"),
    ]


def test_only_keeps_what_matches_every_condition() -> None:
    protocol = tiny(noise=[None, "flip:0.2"], seeds=[0, 1, 2])
    kept = expand(protocol, ["method=l2*", "noise=none", "seed=[12]"])
    assert [(c.method, c.noise, c.seed) for c in kept] == [("l2rw", None, 1), ("l2rw", None, 2)]
    either = expand(protocol, ["seed=0", "seed=2", "noise=none", "method=l2rw"])
    assert [c.seed for c in either] == [0, 2]
    with pytest.raises(ConfigError, match="no cell of tiny matches method=gdw"):
        expand(protocol, ["method=gdw"])
    with pytest.raises(ConfigError, match=r"found 'metod=x'. Did you mean 'method'"):
        expand(protocol, ["metod=x"])


def test_cells_that_would_share_a_folder_are_refused() -> None:
    with pytest.raises(ConfigError, match="would share a folder"):
        expand(tiny(methods={"plain": {}, "Plain": {"method": "plain"}}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metods": {}}, "unknown protocol option 'metods'. Did you mean 'methods'"),
        ({"methods": {}}, "methods: expected at least one entry"),
        ({"methods": {"a/b": {}}}, "methods: the name 'a/b' becomes part of a folder name"),
        ({"methods": {"plain": {"lr": 1}}}, "methods.plain: unknown method option 'lr'"),
        ({"data": {"x": {"truht": "y"}, "y": {"prepar": {}}}}, None),
        ({"base": {"model": {}, "modle": {}}}, "base: unknown section 'modle'"),
        ({"seeds": [-1]}, "seeds.0: input should be greater than or equal to 0"),
        ({"reference": "gwd"}, "reference: methods has no entry 'gwd'"),
        (
            {"cells": [{"methods": ["plian"]}]},
            "cells.1: methods has no entry 'plian'.*Did you mean 'plain'",
        ),
        ({"cells": [{"nois": None}]}, "cells.1: unknown cells option 'nois'. Did you mean 'noise'"),
    ],
)
def test_errors_name_the_entry(change: dict[str, object], message: str | None) -> None:
    if message is None:
        # Options of the data itself are checked when the cells are made.
        tiny(**change)
        return
    with pytest.raises(ConfigError, match=message):
        Protocol(**{**TINY, **change}).check()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": {"x": {"pth": "a"}}}, "data.x with methods.plain: unknown data option 'pth'"),
        ({"methods": {"plian": {}}}, "data.blobs with methods.plian: .*unknown method 'plian'"),
        (
            {"methods": {"l2rw": {"method_options": {"clip": 1}}}},
            "methods.l2rw: .*method 'l2rw' has no option 'clip'",
        ),
        ({"methods": {"plain": {"training": {"epoch": 1}}}}, "unknown training option 'epoch'"),
        ({"data_options": {"test": None}}, "data.blobs: expected test data to measure on"),
        (
            {"data": {"x": {"prepare": {"how": "digit"}}}},
            "data.x: prepare: .*Did you mean 'digits'",
        ),
        ({"data": {"x": {"path": "${data}/a.csv"}}}, "data.x: .*name it with --data-root DIR"),
    ],
)
def test_settings_that_do_not_fit_name_the_entry(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    protocol = tiny(**change)
    with pytest.raises(ConfigError, match=message):
        cell_settings(protocol, expand(protocol)[0], paths=ProtocolPaths(tmp_path), data=tmp_path)


def test_what_a_cell_is_told(tmp_path: Path) -> None:
    protocol = tiny(
        data={
            "x": {"path": "${data}/a.npz", "truth": "true", "training": {"epochs": 7, "lr": 0.5}}
        },
        methods={
            "soft": {
                "method": "l2rw",
                "training": {"lr": 0.25},
                "method_options": {"retain_graph": True},
            }
        },
        imbalance=[5],
        seeds=[4],
    )
    found = cell_settings(
        protocol,
        expand(protocol)[0],
        paths=ProtocolPaths(tmp_path / "p", tmp_path / "d"),
        data=tmp_path,
    )
    data, training = found.config.data, found.config.training
    assert data.path == str(tmp_path / "d" / "a.npz")
    assert data.test == str(tmp_path / "p" / "test.npz")
    assert (data.noise, data.imbalance, data.drop) == ("uniform:0.4", "5", ["true"])
    assert (training.method, training.method_options) == ("l2rw", {"retain_graph": True})
    assert (training.epochs, training.lr, training.seed, training.batch_size) == (7, 0.25, 4, 20)
    assert found.written["data"]["path"] == "${data}/a.npz"
    elsewhere = cell_settings(
        protocol,
        expand(protocol)[0],
        paths=ProtocolPaths(tmp_path, tmp_path),
        data=tmp_path / "other",
    )
    assert differences(found.written, elsewhere.written) == []


def test_prepared_files_of_equal_options_are_shared(tmp_path: Path) -> None:
    protocol = tiny(
        base={"data": {"meta_size": 20}},
        data={
            "a": {"prepare": {"how": "digits"}},
            "b": {"prepare": {"how": "digits"}, "limit": 500},
            "c": {"prepare": {"how": "digits", "test": 300}},
        },
    )
    paths = {
        cell.data: cell_settings(
            protocol, cell, paths=ProtocolPaths(tmp_path), data=tmp_path
        ).config.data.path
        for cell in expand(protocol)
    }
    assert paths["a"] == paths["b"] != paths["c"]


def test_a_bare_name_finds_a_shipped_protocol(tmp_path: Path) -> None:
    assert find_protocol("smoke") == shipped_protocols()["smoke"]
    with pytest.raises(ConfigError, match=r"no protocol file 'smok'.*Did you mean 'smoke'"):
        find_protocol("smok")
    with pytest.raises(ConfigError, match=r"'nothing.yaml': it does not exist.*verified\.$"):
        find_protocol("nothing.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("methods: [", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"broken.yaml cannot be read as YAML"):
        read_protocol(broken)
    broken.write_text("name: x\nmethod: {}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"broken.yaml: .*unknown protocol option 'method'"):
        read_protocol(broken)


@pytest.mark.parametrize("name", shipped_protocols())
def test_shipped_protocols_fit(name: str, tmp_path: Path) -> None:
    protocol = read_protocol(find_protocol(name))
    assert protocol.name == name
    assert protocol.hours
    cells = expand(protocol)
    one_of_each = {(cell.data, cell.method): cell for cell in cells}.values()
    paths = ProtocolPaths(tmp_path, tmp_path)
    for cell in one_of_each:
        cell_settings(protocol, cell, paths=paths, data=tmp_path)


@pytest.mark.parametrize(("name", "outer_lr"), [("paper-cifar10", 100), ("paper-cifar100", 1000)])
def test_the_paper_protocol_is_the_papers(name: str, outer_lr: float, tmp_path: Path) -> None:
    protocol = read_protocol(find_protocol(name))
    cells = [cell for cell in expand(protocol) if cell.method == "gdw" and cell.seed == 0]
    settings = {(cell.noise, cell.imbalance) for cell in cells}
    noises = {None, "uniform:0.4", "uniform:0.6", "flip:0.2", "flip:0.4"}
    tails = {"10", "50", "100", "200"}
    assert {noise for noise, tail in settings if tail is None} == noises
    assert {tail for noise, tail in settings if noise is None} == {None, *tails}
    assert {tail for noise, tail in settings if noise == "uniform:0.4"} == {None, *tails}
    config = cell_settings(
        protocol, cells[0], paths=ProtocolPaths(tmp_path, tmp_path), data=tmp_path
    ).config
    training = config.training
    assert config.model.name == "resnet32"
    assert config.data.meta_size == 1000
    assert (training.epochs, training.lr, training.momentum, training.weight_decay) == (
        80,
        0.1,
        0.9,
        5e-4,
    )
    assert (training.batch_size, training.meta_batch_size, training.schedule) == (
        100,
        100,
        "cosine",
    )
    assert (training.augment, training.last_epochs) == ("standard", 5)
    options = training.method_options
    assert options.get("outer_lr", GDW.Options().outer_lr) == outer_lr


def test_a_protocol_survives_being_written(tmp_path: Path) -> None:
    protocol = tiny(noise=[None, "flip:0.2"], imbalance=[5, None])
    text = yaml.safe_dump(protocol.model_dump(), sort_keys=False)
    assert expand(Protocol(**yaml.safe_load(text)).check()) == expand(protocol)
