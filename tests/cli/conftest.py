"""A folder with a small table, its clean examples, and the command line to use on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from gdw.cli.app import app

Run = Callable[..., Result]


def write_table(path: Path, rows: int, *, seed: int) -> Path:
    """Two numbers and a category that tell cats from dogs, some cells missing."""
    rng = np.random.default_rng(seed)
    lines = ["weight,ears,note,animal"]
    for i in range(rows):
        cat = rng.random() < 0.5
        weight = "" if i % 17 == 3 else f"{rng.normal(4 if cat else 20, 2):.2f}"
        ears = "pointed" if cat or i % 5 == 0 else "floppy"
        lines.append(
            f"{weight}, {ears},n{i % 3},{'cat' if cat else 'dog, big'!r}".replace("'", '"')
        )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with `data.csv` (80 rows), `clean.csv` and `test.csv`."""
    monkeypatch.chdir(tmp_path)
    for name, rows, seed in (("data", 80, 0), ("clean", 24, 1), ("test", 40, 2)):
        write_table(tmp_path / f"{name}.csv", rows, seed=seed)
    return tmp_path


@pytest.fixture
def gdw(here: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Call the command in that folder, without a terminal: `gdw("train", "data.csv", ...)`."""
    monkeypatch.delenv("COLUMNS", raising=False)
    runner = CliRunner()

    def run(*words: object) -> Result:
        return runner.invoke(app, [str(word) for word in words])

    return run


@pytest.fixture
def train(gdw: Run) -> Run:
    """`gdw train data.csv --label animal --meta clean.csv --output run` with few epochs; options win."""

    def run(*words: object, data: str = "data.csv", meta: str = "clean.csv") -> Result:
        quick = ("--epochs", 2, "--batch-size", 20, "--model", "mlp:8", "--accelerator", "cpu")
        paths = (data, "--label", "animal", "--meta", meta, "--output", "run")
        return gdw("train", *paths, *quick, *words)

    return run
