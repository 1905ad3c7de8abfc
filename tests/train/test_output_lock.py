"""One process at a time writes an output, however its holder ended."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gdw.errors import ModelError, OutputError, RunError
from gdw.files import documents
from gdw.files.documents import OutputLock, write_text_atomically
from gdw.train import RunFolder, Trainer
from gdw.train.run_folder import append_line
from tests.train.small import At, config, data, fit, network

_HOLD = """
import sys
from pathlib import Path
from gdw.files.documents import OutputLock, _temporary_file
lock = OutputLock(Path(sys.argv[1]))
_temporary_file(Path(sys.argv[1], "model.safetensors"))
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def _holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock on `folder` and writes a file there."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", _HOLD, str(folder)], text=True, **pipes) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield other
        other.kill()


def test_another_process_is_named_and_its_death_frees_the_folder(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "a"
    with _holder(run) as other:
        with pytest.raises(RunError) as refusal:
            OutputLock(run)
        assert str(refusal.value).startswith(
            f"another process is writing {run} already (process {other.pid} on "
        )
        assert len(str(refusal.value).splitlines()) == 1
        write_text_atomically(run / "config.yaml", "a: 1")
        assert len(list(run.glob(".model.safetensors.*"))) == 1, "its process is alive"
        other.kill()
        other.wait()
        OutputLock(run).release()
    write_text_atomically(run / "config.yaml", "a: 2")
    assert [path.name for path in run.iterdir()] == ["config.yaml"]


def test_a_lock_leaves_nothing_behind(tmp_path: Path) -> None:
    lock = OutputLock(tmp_path / "new" / "run")
    assert (tmp_path / "new" / "run" / ".lock").is_file()
    with pytest.raises(RunError, match=r"^this process is writing .* already"):
        OutputLock(tmp_path / "new" / "run")
    lock.release()
    assert list(tmp_path.iterdir()) == []
    lock = OutputLock(tmp_path / "run")
    (tmp_path / "run" / "config.yaml").touch()
    del lock
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["config.yaml"]
    lock = OutputLock(tmp_path / "table.csv", is_folder=False)
    assert [path.name for path in tmp_path.glob(".*")] == [".table.csv.lock"]
    lock.release()
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_forked_process_neither_keeps_nor_ends_the_lock(tmp_path: Path) -> None:
    lock = OutputLock(tmp_path / "run")
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(write)
        lock.release()
        os.read(read, 1)
        os._exit(0)
    with pytest.raises(RunError, match="this process"):
        OutputLock(tmp_path / "run")
    lock.release()
    OutputLock(tmp_path / "run").release()
    os.close(write)
    os.waitpid(child, 0)


def test_a_place_without_locks_is_used_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(documents.fcntl, "flock", unsupported)
    lock = OutputLock(tmp_path / "run")
    write_text_atomically(tmp_path / "run" / "file", "a")
    lock.release()
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["file"]


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_lock_that_is_a_link_is_not_followed(tmp_path: Path, link: object) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "run").mkdir()
    link(tmp_path / "precious", tmp_path / "run" / ".lock")  # type: ignore[operator]
    with pytest.raises(OutputError, match=r"cannot write \S*\.lock: .*it is a link"):
        OutputLock(tmp_path / "run")
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_line_is_not_added_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "history.jsonl").symlink_to("precious")
    with pytest.raises(OutputError, match=r"history.jsonl: .*it is a link"):
        append_line(tmp_path / "history.jsonl", {"epoch": 1})
    assert (tmp_path / "precious").read_text() == "mine"


def test_a_run_that_is_being_trained_is_neither_started_nor_resumed(tmp_path: Path) -> None:
    refusals: list[str] = []

    def start_too() -> None:
        for resume in (False, True):
            with pytest.raises(RunError) as refusal:
                fit(network(), config(), output=tmp_path / "run", resume=resume)
            refusals.append(str(refusal.value))

    result = fit(network(), config(), output=tmp_path / "run", callbacks=[At(7, start_too)])
    assert [text.split(" (")[0] for text in refusals] == [
        f"{tmp_path / 'run'} already holds a run",
        f"this process is writing {tmp_path / 'run'} already",
    ]
    assert len(RunFolder.open(tmp_path / "run").history()) == len(result.history) == 4
    assert not (tmp_path / "run" / ".lock").exists()


def test_folders_in_a_run_that_lead_elsewhere_are_refused(tmp_path: Path) -> None:
    fit(network(), config(), output=tmp_path / "runs" / "a", stop_after=1)
    (tmp_path / "moved").symlink_to("runs", target_is_directory=True)
    fit(network(), config(), output=tmp_path / "moved" / "a", resume=True, stop_after=2)
    checkpoints = tmp_path / "runs" / "a" / "checkpoints"
    checkpoints.rename(tmp_path / "elsewhere")
    checkpoints.symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    before = sorted((tmp_path / "elsewhere").iterdir())
    with pytest.raises(RunError, match="checkpoints is a link, and gdw writes into the output"):
        fit(network(), config(), output=tmp_path / "runs" / "a", resume=True)
    assert sorted((tmp_path / "elsewhere").iterdir()) == before


def test_wrong_data_leave_no_folder(tmp_path: Path) -> None:
    inputs, targets = data()
    with pytest.raises(ModelError, match="found class -5"):
        Trainer(config()).fit(network(), (inputs, targets - 5), output=tmp_path / "runs" / "a")
    assert list(tmp_path.iterdir()) == []
