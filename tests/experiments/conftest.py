"""Grids that take a second: two blobs of points, a network of eight units."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gdw.experiments.grid import Grid
from gdw.experiments.protocol import Protocol, ProtocolPaths

MakeGrid = Callable[..., Grid]

TINY: dict[str, Any] = {
    "name": "tiny",
    "base": {
        "data": {"path": "train.npz", "test": "test.npz", "meta_size": 8},
        "model": {"name": "mlp:8"},
        "training": {"epochs": 4, "batch_size": 20, "meta_batch_size": 8, "accelerator": "cpu"},
    },
    "data": {"blobs": {}},
    "noise": ["uniform:0.4"],
    "imbalance": [None],
    "methods": {"plain": {}, "l2rw": {}},
    "seeds": [0],
}


def write_blobs(path: Path, rows: int, *, seed: int) -> None:
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % 2
    np.savez(path, X=rng.normal(size=(rows, 3)) + 2.0 * y[:, None], y=y)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with `train.npz` (80 rows) and `test.npz` (40)."""
    folder = tmp_path / "files"
    folder.mkdir()
    write_blobs(folder / "train.npz", 80, seed=0)
    write_blobs(folder / "test.npz", 40, seed=1)
    return folder


def tiny(**changes: Any) -> Protocol:
    """The tiny protocol with other entries; `training` and `data_options` change the base."""
    content = deepcopy(TINY)
    content["base"]["training"] |= changes.pop("training", {})
    content["base"]["data"] |= changes.pop("data_options", {})
    return Protocol(**{**content, **changes}).check()


@pytest.fixture
def make_grid(files: Path, tmp_path: Path) -> MakeGrid:
    """`make_grid(**changes)`: a grid of `tiny(**changes)` in the folder `grid`, or another `output`."""

    def make(output: str = "grid", only: tuple[str, ...] = (), **changes: Any) -> Grid:
        return Grid(tiny(**changes), tmp_path / output, paths=ProtocolPaths(files), only=only)

    return make


def silent(text: str) -> None:
    del text
