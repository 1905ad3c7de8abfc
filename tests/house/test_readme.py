"""The documents list what the registries have, and the README's Python runs."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import gdw
from gdw.cli.app import app
from gdw.data.rows import suffixes
from gdw.demo.example_files import COMMANDS, write_example
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


def test_the_commands_after_make_demo_run_as_they_are_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = re.findall(r"```\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    activate, enter, *commands = next(b for b in blocks if "bin/activate\ncd" in b).splitlines()
    assert activate == ". .venv/bin/activate"
    commands = [command.partition("#")[0].strip() for command in commands]
    assert commands[: len(COMMANDS)] == list(COMMANDS)
    folder = tmp_path / enter.removeprefix("cd ").removeprefix("runs/demo/")
    write_example(folder)
    monkeypatch.chdir(folder)
    for command in commands:
        name, *arguments = shlex.split(command)
        done = CliRunner().invoke(app, arguments)
        assert name == "gdw"
        assert done.exit_code == 0, done.output
    true = dict(_rows(folder / "true_labels.csv")[1:])
    shares = [
        sum(true[path.name] != path.parent.name for path in Path(part).glob("*/*.png")) / len(true)
        for part in ("scans", "relabelled")
    ]
    assert 0.15 < shares[0] < 0.25
    assert shares[1] < 0.04


def _rows(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


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
    assert len(snippets) == 4
    for snippet in snippets:
        names = _variables()
        before = names["model"].weight.clone()
        exec(compile(snippet, "README.md", "exec"), names)
        if isinstance(names["model"], gdw.GDWClassifier):
            assert names["model"].predict_proba(names["X_new"]).shape == (10, 3)
        else:
            assert not torch.equal(names["model"].weight, before)
    assert (tmp_path / "runs/mine/model.safetensors").is_file()
