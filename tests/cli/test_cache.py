"""`gdw cache` lists and removes features, and does not import PyTorch."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gdw.cli import cache as command
from gdw.data.features.digests import of_texts
from gdw.data.features.store import ABOUT, FeatureStore
from tests.cli.conftest import Run
from tests.cli.test_mistakes import one_line


def fill(name: str, rows: int, *, days: float = 0.0, precision: Any = "float32") -> Path:
    """Features of a backbone in the cache, last used `days` ago."""
    store = FeatureStore(name, "ab" * 32, 250, say=pytest.fail, precision=precision)
    digests = of_texts([f"{name} {i}" for i in range(rows)])
    store.add(digests, np.zeros((rows, 250), dtype=np.float32), np.zeros(rows, dtype=bool))
    then = time.time() - days * 86400
    os.utime(store.folder / ABOUT, (then, then))
    return store.folder


@pytest.fixture
def filled(cache: Path) -> tuple[Path, Path, Path]:
    return (
        fill("package:minilm", 2000, days=40),
        fill("package:minilm", 500, days=1, precision="bfloat16"),
        fill("timm:resnet18", 1000),
    )


def test_an_empty_cache(gdw: Run, cache: Path) -> None:
    for words in ([], ["clear"]):
        done = gdw("cache", *words)
        assert done.exit_code == 0
        assert done.output == f"no features to show or remove in {cache / 'features'}\n"


def test_the_list_has_rows_sizes_and_dates(gdw: Run, cache: Path, filled: object) -> None:
    shown = gdw("cache").output
    lines = [line.replace("│", "").split() for line in shown.splitlines()]
    names = [line[0] for line in lines if ":" in line[0]]
    assert names == ["timm:resnet18", "package:minilm", "package:minilm"]
    oldest = next(line for line in lines if "2,000" in line)
    date = time.strftime("%Y-%m-%d", time.localtime(time.time() - 40 * 86400))
    assert oldest[:6] == ["package:minilm", "float32", "2,000", "2.0", "MB", date]
    assert shown.endswith(f"3,500 rows by 2 backbones: 3.6 MB in {cache / 'features'}\n")
    assert "1,000 rows by 1 backbone" in gdw("cache", "--backbone", "timm:resnet18").output


def test_clearing_one_backbone_or_what_is_old(gdw: Run, filled: tuple[Path, Path, Path]) -> None:
    old, recent, other = filled
    done = gdw("cache", "clear", "--older-than", "30d", "--yes")
    assert done.output == "removed 2,000 rows of features by 1 backbone: 2.0 MB are free again\n"
    assert (old.exists(), recent.exists(), other.exists()) == (False, True, True)
    gdw("cache", "clear", "--backbone", "package:minilm", "--yes")
    assert (recent.exists(), other.exists()) == (False, True)
    gdw("cache", "clear", "--yes")
    assert not other.exists()


def test_clearing_asks_first(
    gdw: Run, filled: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    one_line(
        gdw("cache", "clear"),
        r"Remove 3,500 rows of features by 2 backbones, 3\.6 MB\? Nobody can answer here: give --yes",
    )
    asked = []

    def answer(question: str, *, err: bool) -> bool:
        asked.append(question)
        return len(asked) > 1

    monkeypatch.setattr(command, "_on_terminal", lambda: True)
    monkeypatch.setattr(command.typer, "confirm", answer)
    refused = gdw("cache", "clear")
    assert refused.exit_code == 1
    assert "nothing is removed" in refused.stderr
    assert filled[0].exists()
    assert gdw("cache", "clear").exit_code == 0
    assert not filled[0].exists()
    assert asked == ["Remove 3,500 rows of features by 2 backbones, 3.6 MB?"] * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["clera"], "expected gdw cache or gdw cache clear, found 'clera'. Did you mean 'clear'?"),
        (["--yes"], "--yes is for gdw cache clear: the list changes nothing"),
        (["clear", "--backbone", "package:miniln"], "no features of 'package:miniln': it has"),
        (["clear", "--older-than", "month"], "such as 12h, 30d or 4w, found 'month'"),
        (["clear", "--older-than", "-3d"], "such as 12h, 30d or 4w, found '-3d'"),
    ],
)
def test_mistakes(gdw: Run, filled: object, words: list[str], message: str) -> None:
    one_line(gdw("cache", *words), re.escape(message))


def test_damaged_and_strange_folders_are_listed_too(gdw: Run, cache: Path, filled: object) -> None:
    folder = cache / "features" / "odd"
    folder.mkdir()
    (folder / "x.npy").write_bytes(b"no features")
    shown = gdw("cache").output
    assert "odd" in shown
    assert gdw("cache", "clear", "--backbone", "odd", "--yes").exit_code == 0
    assert not folder.exists()
