"""The Python of the pages in docs/ runs, one block after the other."""

from __future__ import annotations

import importlib.util
import re
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import gdw
from tests.house.test_readme import _variables

DOCS = Path(__file__).resolve().parents[2] / "docs"


def blocks(page: str, shorter: dict[str, str]) -> list[str]:
    """The blocks of Python on a page, with replacements that make them run faster."""
    text = (DOCS / page).read_text("utf-8")
    for long, short in shorter.items():
        assert long in text, long
        text = text.replace(long, short)
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


def run(page: str, source: list[str], names: dict[str, Any]) -> dict[str, Any]:
    for block in source:
        exec(compile(block, page, "exec"), names)
    return names


# Each split of the page is small and its training short: the audit is poor, and `fit` says so.
@pytest.mark.filterwarnings("ignore:do not trust label_issues_")
def test_the_page_on_scikit_learn() -> None:
    pytest.importorskip("matplotlib").use("Agg")
    draw = np.random.default_rng(0)
    names: dict[str, Any] = {"gdw": gdw, "np": np}
    for part, size in (("", 90), ("_test", 30)):
        codes = np.arange(size) % 3
        names[f"X{part}"] = draw.normal(size=(size, 4)) + 5 * np.eye(3, 4)[codes]
        names[f"y{part}"] = np.array(["cat", "dog", "fox"])[codes]
    names["trusted"] = np.arange(90) < 30
    names["answers"] = np.where(np.arange(90) % 9, names["y"], "fox")
    shorter = {"epochs=20": "epochs=1, method='mwn'", "KFold(5, shuffle": "KFold(2, shuffle"}
    source = blocks("sklearn.md", shorter)
    assert len(source) == 5
    names = run("sklearn.md", source, names)
    assert names["probabilities"].shape == (90, 3)
    assert 0 <= names["accuracy"] <= 1
    assert np.isfinite(names["search"].best_score_)
    assert names["calibrated"].predict_proba(names["X"]).shape == (90, 3)
    assert names["classifier"].certificate_.share.rows == len(names["likely_wrong"]) == 90
    assert len(names["figure"].axes) == 2
    names["plt"].close("all")


class LightningModule(nn.Module):
    """A stand-in for Lightning's, with what the page uses."""

    trainer: Any

    def optimizers(self) -> Any:
        return self.trainer.optimizer

    def log(self, name: str, value: Any) -> None:
        self.trainer.logged[name] = float(value)


class LightningTrainer:
    """A stand-in for Lightning's in manual optimization."""

    precision_plugin = types.SimpleNamespace(scaler=None)

    def __init__(self, *, max_epochs: int, **_: Any) -> None:
        self.max_epochs, self.logged = max_epochs, dict[str, float]()

    def fit(self, module: Any, batches: Iterable[Any]) -> None:
        assert not module.automatic_optimization
        module.trainer, self.optimizer = self, module.configure_optimizers()
        for _ in range(self.max_epochs):
            for index, pair in enumerate(batches):
                module.training_step(pair, index)


def _lightning(monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("lightning") is None:
        stand_in: Any = types.ModuleType("lightning.pytorch")
        stand_in.LightningModule, stand_in.Trainer = LightningModule, LightningTrainer
        monkeypatch.setitem(sys.modules, "lightning", types.ModuleType("lightning"))
        monkeypatch.setitem(sys.modules, "lightning.pytorch", stand_in)


LOOPS = blocks("loops.md", {"torch.compile(model)": "torch.compile(model, backend='eager')"})


@pytest.mark.parametrize("number", range(len(LOOPS)))
def test_the_loops(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if "from accelerate" in LOOPS[number]:
        pytest.importorskip("accelerate")
    _lightning(monkeypatch)
    for name, value in (("ADDR", "127.0.0.1"), ("PORT", "0")):
        monkeypatch.setenv(f"MASTER_{name}", value)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    names = _variables()
    names["train_set"] = names["train_loader"].dataset
    before = names["model"].weight.clone()
    with torch._functorch.config.patch(donated_buffer=True):
        run("loops.md", [LOOPS[number]], names)
    weight = names["model"].weight.detach()
    moved = ((weight.to_local() if hasattr(weight, "to_local") else weight) - before).abs().max()
    assert 1e-4 < moved < 10
