"""The documents list what the registries have, and the README's Python runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import gdw
from gdw.data.rows import suffixes
from gdw.reweight import METHODS

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"


def test_the_readme_lists_every_method_by_family() -> None:
    text = README.read_text(encoding="utf-8")
    for family, methods in METHODS.families().items():
        names = ", ".join(f"`{name}`" for name, _ in methods)
        line = f"| {family} | {names} |"
        assert line in text, f"write into README.md: {line}"


def test_the_documents_name_every_file_format() -> None:
    for path in (README, ROOT / "docs" / "audit.md"):
        text = path.read_text(encoding="utf-8")
        missing = [suffix for suffix in suffixes() if f"`{suffix}`" not in text]
        assert not missing, f"name the formats {missing} in {path.name}"


def _variables() -> dict[str, Any]:
    """What the README's snippets take for granted."""
    draw = torch.Generator().manual_seed(0)
    parts = {"": 240, "_verified": 30, "_test": 30, "_new": 10}
    known: dict[str, Any] = {"gdw": gdw, "torch": torch}
    for part, size in parts.items():
        labels = torch.arange(size) % 3
        known[f"X{part}"] = torch.randn(size, 4, generator=draw) + labels.unsqueeze(1)
        known[f"y{part}"] = labels
    for name, part in (("train_loader", ""), ("meta_loader", "_verified")):
        pairs = torch.utils.data.TensorDataset(known[f"X{part}"], known[f"y{part}"])
        known[name] = torch.utils.data.DataLoader(pairs, batch_size=30)
    known["model"] = torch.nn.Linear(4, 3)
    known["optimizer"] = torch.optim.SGD(known["model"].parameters(), lr=0.1)
    return known


def test_the_python_of_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    snippets = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(snippets) == 5
    for snippet in snippets:
        names = _variables()
        before = names["model"].weight.clone()
        exec(compile(snippet, "README.md", "exec"), names)
        if isinstance(names["model"], gdw.GDWClassifier):
            assert names["model"].predict_proba(names["X_new"]).shape == (10, 3)
        else:
            assert not torch.equal(names["model"].weight, before)
    assert (tmp_path / "runs/mine/model.safetensors").is_file()
