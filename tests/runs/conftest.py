"""Small tables to prepare and to train on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gdw.runs import DataConfig


def write(path: Path, rows: int, *, seed: int) -> Path:
    """Two numbers that tell cats from dogs."""
    rng = np.random.default_rng(seed)
    lines = ["weight,height,label"]
    for i in range(rows):
        weight, height = rng.normal(4 + 16 * (i % 2)), rng.normal(20 + 30 * (i % 2))
        lines.append(f"{weight:.3f},{height:.3f},{('cat', 'dog')[i % 2]}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """`path`, `meta` and `test` of a `DataConfig`, with 60, 10 and 20 rows, in the working folder."""
    monkeypatch.chdir(tmp_path)
    for name, rows in (("path", 60), ("meta", 10), ("test", 20)):
        write(tmp_path / f"{name}.csv", rows, seed=rows)
    return {name: f"{name}.csv" for name in ("path", "meta", "test")}


@pytest.fixture
def data(files: dict[str, Any]) -> DataConfig:
    return DataConfig(**files)
