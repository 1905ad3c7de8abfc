"""A full disk: one line with the path, nothing damaged, and the training goes on when there is room."""

from __future__ import annotations

import errno
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch import nn

from gdw.errors import GDWError, OutputError, RunError
from gdw.files.documents import write_atomically
from gdw.train import RunFolder
from gdw.train.output import Checkpoints
from gdw.train.run_folder import append_line
from tests.train.small import At, assert_same, config, fit, network


@contextmanager
def full_above(size: int) -> Iterator[None]:
    """Inside, no file can have more bytes, as if the disk was full then (the error is "File too large")."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def _text(path: Path) -> None:
    write_atomically(path, lambda file: file.write_text("a" * 100_000))


def _arrays(path: Path) -> None:
    write_atomically(path, lambda file: save_file({"a": np.zeros(100_000)}, str(file)))


def _table(path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": np.random.default_rng(0).random(100_000)})
    write_atomically(path, lambda file: frame.to_parquet(file))


def _checkpoint(path: Path) -> None:
    Checkpoints(path.parent).save({"a": torch.zeros(100_000)}, step=1)


def _model(path: Path) -> None:
    RunFolder(path.parent).save_model(nn.Linear(300, 300))


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (_text, "report.html"),
        (_arrays, "evidence.safetensors"),
        (_table, "predictions.parquet"),
        (_checkpoint, "step-000000001.pt"),
        (_model, "model.safetensors"),
    ],
)
def test_every_library_says_which_file_and_why(
    tmp_path: Path, write: Callable[[Path], None], name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(b"before")
    with full_above(20_000), pytest.raises(OutputError) as failure:
        write(path)
    assert str(failure.value) == f"cannot write {path}: File too large"
    assert failure.value.errno == errno.EFBIG
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_line_is_added_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    append_line(path, {"epoch": 1})
    with full_above(40), pytest.raises(OutputError, match=f"^cannot write {path}: "):
        append_line(path, {"epoch": 2, "recall": [0.5] * 20})
    assert path.read_text() == '{"epoch": 1}\n'


def test_no_space_has_its_advice() -> None:
    reason = OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28]")
    message = "cannot write a/b.csv: No space left on device; make room on that disk"
    assert str(OutputError.of(reason, "a/b.csv")) == message


def test_an_error_about_another_file_passes_through(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"source\.csv"):
        write_atomically(tmp_path / "copy.csv", lambda _: (tmp_path / "source.csv").read_bytes())

    def refuse(file: Path) -> None:
        raise GDWError(f"{file.name} cannot be (os error 28) copied")

    with pytest.raises(GDWError, match="copied"):
        write_atomically(tmp_path / "copy.csv", refuse)
    assert list(tmp_path.iterdir()) == []


def test_a_training_goes_on_from_the_checkpoint_before(tmp_path: Path) -> None:
    straight = network()
    fit(straight, config(), output=tmp_path / "straight")
    run = tmp_path / "run"
    limits: list[Any] = []

    def fill_the_disk() -> None:
        limits.append(full_above(2_000))
        limits[0].__enter__()

    try:
        with pytest.raises(
            RunError, match=r"cannot write .*\.pt: File too large; then continue with --res"
        ):
            fit(network(), config(), output=run, callbacks=[At(12, fill_the_disk)])
    finally:
        limits[0].__exit__(None, None, None)
    assert not list(run.rglob("*.tmp"))
    assert not (run / ".lock").exists()
    again = network()
    result = fit(again, config(), output=run, resume=True)
    assert_same(again, straight)
    assert [record["epoch"] for record in result.history] == [1, 2, 3, 4]
