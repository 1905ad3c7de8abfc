"""The loading benchmark: what it runs, what it counts and what it writes. No test looks at the clock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from gdw.bench import loading_speed
from gdw.bench.step_cost import quartiles
from gdw.data import load
from gdw.data.augment import AUGMENTATIONS

SMALL = {"repeats": 2, "images": 24, "files": 10, "batch": 4, "steps": 1, "model": "mlp"}
NAMES = [
    loading_speed.TRAINING,
    loading_speed.IN_MEMORY,
    loading_speed.FIRST,
    loading_speed.SECOND,
    loading_speed.STREAMED,
]


@pytest.fixture(scope="module")
def results() -> dict[str, object]:
    return loading_speed.run(**SMALL)  # type: ignore[arg-type]


def test_the_figures_survive_json(results: dict[str, object]) -> None:
    assert json.loads(json.dumps(results)) == results
    assert {name: results[name] for name in SMALL if name != "steps"} == {
        name: value for name, value in SMALL.items() if name != "steps"
    }


def test_ratios_are_medians_over_the_repeats(
    results: dict[str, dict[str, dict[str, list[float]]]],
) -> None:
    rates = results["rates"]
    assert list(rates) == NAMES
    base = rates[loading_speed.TRAINING]["examples_per_second"]
    for figures in rates.values():
        own = figures["examples_per_second"]
        ratios = [a / b for a, b in zip(own, base, strict=True)]
        assert figures["ratio"] == pytest.approx(sum(ratios) / 2)
        assert figures["ratio_quartiles"] == list(quartiles(ratios))
        assert figures["median_quartiles"] == list(quartiles(own))
    assert rates[loading_speed.TRAINING]["ratio"] == 1


def test_the_table_has_a_row_for_each(results: dict[str, object]) -> None:
    assert [name for name, *_ in loading_speed.table(results)[1]] == NAMES
    figures = {"median": 1234.5, "median_quartiles": [1000, 2000], "ratio": 5.25,
               "ratio_quartiles": [5, 6]}  # fmt: skip
    (row,) = loading_speed.table({"rates": {"x": figures}})[1]
    assert row == ("x", "1,234 (1,000-2,000)", "5.2 (5.0-6.0)")


def test_repeats_are_interleaved_after_a_warm_up() -> None:
    done: list[str] = []

    def task(name: str) -> loading_speed.Task:
        return lambda: done.append(name) or 1  # type: ignore[func-returns-value]

    said: list[str] = []
    loading_speed._measure({"a": task("a"), "b": task("b")}, 2, said.append)
    assert done == ["a", "b"] * 3
    assert said == ["loading: repeat 1 of 2", "loading: repeat 2 of 2"]


def test_an_epoch_is_augmented_and_only_the_first_decodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading_speed._write_jpegs(tmp_path, 10, seed=0)
    assert load(tmp_path, label="label").label_names == ("class0", "class1")
    decoded: list[int] = []
    augmented: list[str] = []
    tasks = loading_speed._loaders(tmp_path, images=24, batch=4, seed=0)
    from gdw.data.source import Source

    images = Source.images
    monkeypatch.setattr(
        Source, "images", lambda self, i, **k: (decoded.append(len(i)), images(self, i, **k))[1]
    )
    augment = AUGMENTATIONS[loading_speed.AUGMENT]
    monkeypatch.setitem(
        AUGMENTATIONS,
        loading_speed.AUGMENT,
        lambda *arguments: (augmented.append("standard"), augment(*arguments))[1],
    )
    counts = {}
    for name, task in tasks.items():
        decoded.clear()
        counts[name] = (task(), sum(decoded))
    assert counts == {
        loading_speed.IN_MEMORY: (24, 0),
        loading_speed.FIRST: (8, 10),
        loading_speed.SECOND: (8, 0),
        loading_speed.STREAMED: (8, 8),
    }
    assert augmented == ["standard"] * (6 + 3 * 2)


def test_the_same_seed_writes_the_same_files(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        loading_speed._write_jpegs(tmp_path / name, 4, seed=1)
    files = [sorted((tmp_path / name).rglob("*.jpg")) for name in "ab"]
    assert len(files[0]) == 4
    assert [f.read_bytes() for f in files[0]] == [f.read_bytes() for f in files[1]]
    assert torch.tensor([f.stat().st_size for f in files[0]]).unique().numel() > 1
