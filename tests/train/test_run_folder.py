from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from gdw.errors import ModelError, OutputError, RunError
from gdw.files.documents import write_atomically, write_text_atomically
from gdw.train import RunFolder
from gdw.train.run_folder import make_folder


def test_a_run_reads_back_what_was_written(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "a" / "ru n ü", {"lr": 0.1, "label": "größe"})
    run.append_history({"epoch": 1, "x": float("nan"), "recall": [0.5, float("inf")]})
    run.append_history({"epoch": 2, "x": 1.0})
    again = RunFolder.open(run.path)
    assert again.config == {"lr": 0.1, "label": "größe"}
    assert again.history() == [
        {"epoch": 1, "x": None, "recall": [0.5, None]},
        {"epoch": 2, "x": 1.0},
    ]


def test_a_run_that_was_killed_while_made_is_no_run(tmp_path: Path) -> None:
    def killed(run: RunFolder) -> None:
        (run.path / "part").touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RunFolder.create(tmp_path / "run", {}, fill=killed)
    assert (tmp_path / "run" / "part").exists()
    with pytest.raises(RunError, match="holds no run"):
        RunFolder.open(tmp_path / "run")
    run = RunFolder.create(
        tmp_path / "run", {"a": 1}, fill=lambda run: write_text_atomically(run.file("part"), "b")
    )
    assert run.config == {"a": 1}
    assert run.file("part").read_text() == "b"


def test_truncated_history_keeps_the_first_epochs(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", {})
    for epoch in (1, 2, 3):
        run.append_history({"epoch": epoch})
    assert run.truncate_history(2) == [{"epoch": 1}, {"epoch": 2}]
    run.append_history({"epoch": 3, "again": True})
    assert run.history() == [{"epoch": 1}, {"epoch": 2}, {"epoch": 3, "again": True}]


def test_a_line_cut_short_by_a_crash_is_dropped_and_a_damaged_one_named(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", {})
    history = run.file("history.jsonl")
    history.write_text('{"epoch": 1}\n{"epoch": 2, "lo')
    assert run.truncate_history(9) == [{"epoch": 1}]
    assert history.read_text() == '{"epoch": 1}\n'
    history.write_text('{"epoch": 1\n{"epoch": 2}\n')
    with pytest.raises(RunError, match=r"history.jsonl is damaged at line 1"):
        run.history()


@pytest.mark.parametrize(
    "name", ["config.yaml", "history.jsonl", "checkpoints", "model.safetensors"]
)
def test_a_folder_that_holds_a_run_is_not_overwritten(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    with pytest.raises(
        RunError, match=rf"already holds a run \({name}\): continue it with --resume"
    ):
        RunFolder.create(tmp_path, {})


def test_other_files_may_be_there(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    RunFolder.create(tmp_path, {})
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_folders_that_hold_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no run folder at"):
        RunFolder.open(tmp_path / "nowhere")
    with pytest.raises(RunError, match=r"holds no run: expected config.yaml"):
        RunFolder.open(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="is a file: choose a folder"):
        RunFolder.create(tmp_path / "file", {})
    (tmp_path / "config.yaml").write_text("a: [")
    with pytest.raises(RunError, match=r"config.yaml cannot be read"):
        _ = RunFolder.open(tmp_path).config


class _Tied(nn.Module):
    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.first = nn.Linear(width, width, bias=False)
        self.second = nn.Linear(width, width, bias=False)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(width)


def test_weights_of_tied_layers_survive(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run", {})
    model, other = _Tied(), _Tied()
    run.save_model(model)
    run.load_model(other)
    assert torch.equal(other.first.weight, model.first.weight)
    assert other.second.weight is other.first.weight
    with pytest.raises(ModelError, match="does not fit the model"):
        run.load_model(_Tied(5))
    run.file("model.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(RunError, match="is damaged"):
        run.load_model(other)
    run.file("model.safetensors").unlink()
    with pytest.raises(RunError, match="the run has not finished"):
        run.load_model(other)


def test_a_failing_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def half(temporary: Path) -> None:
        temporary.write_bytes(b"ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, half)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    write_atomically(path, lambda temporary: temporary.write_bytes(b"new"))
    assert path.read_bytes() == b"new"


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX systems")
def test_files_have_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "atomic", lambda temporary: temporary.write_bytes(b""))
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_start_that_fails_leaves_nothing_that_it_made(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")

    def fill(run: RunFolder) -> None:
        make_folder(run.file("encoder"))
        run.file("encoder").joinpath("half").touch()
        raise OutputError.of(OSError(errno.ENOSPC, ""), "encoder.skops")

    with pytest.raises(OutputError, match="No space left on device; make room"):
        RunFolder.create(tmp_path, {}, fill=fill)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
