"""The folder of a run as the trainer writes it: configuration, history, checkpoints, final weights."""

from __future__ import annotations

import errno
import json
import os
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from gdw.errors import ModelError, OutputError, RunError, listed, one_line, shown
from gdw.files.documents import OutputLock, finite_or_null, write_atomically, write_text_atomically
from gdw.files.yaml_files import read_yaml
from gdw.train.history import read_history

if TYPE_CHECKING:
    from torch import nn

CONFIG = "config.yaml"
HISTORY = "history.jsonl"
CHECKPOINTS = "checkpoints"
MODEL = "model.safetensors"

_OWN = (CONFIG, HISTORY, CHECKPOINTS, MODEL)


class RunFolder:
    """The files of one run. `create` starts a new folder, `open` finds an existing one.

    `gdw.load` returns the whole run; this class knows only the files that `Trainer.fit` writes.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)

    @classmethod
    def create(
        cls,
        path: str | os.PathLike[str],
        config: Mapping[str, Any],
        *,
        fill: Callable[[RunFolder], object] | None = None,
    ) -> RunFolder:
        """Start a run at `path`; missing parent folders are created.

        Args:
            path: the new folder. It may exist, but must not hold a run.
            config: plain YAML values for `config.yaml`.
            fill: writes the other files of a new run. `config.yaml` is written after them: if the process
                is killed before, the folder is not a run yet and the same path can be used again.

        Raises:
            RunError: `path` holds a run, or is a file.
            OutputError: `path` cannot be written.
        """
        cls.require_free(path)
        run = cls(path)
        make_folder(run.path)
        before = set(run.path.iterdir())
        try:
            if fill is not None:
                fill(run)
            text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
            write_text_atomically(run.file(CONFIG), text)
        except OSError:
            for new in set(run.path.iterdir()) - before:
                shutil.rmtree(new) if new.is_dir() else new.unlink()
            raise
        return run

    @classmethod
    def require_free(cls, path: str | os.PathLike[str]) -> None:
        """Check that `path` can become a new run.

        Raises:
            RunError: `path` holds a run or is a file.
        """
        run = cls(path)
        held = [name for name in _OWN if os.path.lexists(run.file(name))]
        if held:
            raise RunError(
                f"{run.path} already holds a run ({', '.join(held)}): continue it with --resume "
                "(resume=True) or choose another output folder"
            )
        if run.path.exists() and not run.path.is_dir():
            raise RunError(f"the output {run.path} is a file: choose a folder")

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, resume: bool = False) -> RunFolder:
        """Find the run at `path`. `resume` adds advice for resuming to the error message.

        Raises:
            RunError: `path` is not a folder, or has no `config.yaml`.
        """
        run = cls(path)
        if not run.path.is_dir():
            advice = ", or start a run there without --resume (resume=True)" if resume else ""
            raise RunError(f"no run folder at {run.path}: check the path{advice}")
        if not run.file(CONFIG).is_file():
            raise RunError(f"{run.path} holds no run: expected {CONFIG} in it")
        if resume:
            require_no_link(run.checkpoints)
        return run

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def file(self, name: str) -> Path:
        """The path of the file called `name`, which need not exist."""
        return self.path / name

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints, which need not exist."""
        return self.file(CHECKPOINTS)

    @property
    def preparation(self) -> Path:
        """The folder where a preparation keeps what it has finished; it need not exist."""
        return self.file("preparation")

    @property
    def config(self) -> dict[str, Any]:
        """The content of `config.yaml`.

        Raises:
            RunError: the file is damaged.
        """
        path = self.file(CONFIG)
        try:
            config = read_yaml(path)
        except (OSError, ValueError) as error:
            raise RunError(f"{path} cannot be read: {one_line(error)}") from error
        if not isinstance(config, dict):
            raise RunError(f"{path} is damaged: expected a mapping of options")
        return config

    def append_history(self, record: Mapping[str, Any]) -> None:
        """Add one line to `history.jsonl` and flush it to the disk. NaN and infinity become null."""
        append_line(self.file(HISTORY), finite_or_null(record))

    def history(self) -> list[dict[str, Any]]:
        """The records of `history.jsonl`, one per epoch, in order.

        The last line is ignored if a crash cut it short; `RunError` if an earlier line is damaged.
        """
        return read_history(self.file(HISTORY))

    def truncate_history(self, epochs: int) -> list[dict[str, Any]]:
        """Keep only the records of the first `epochs` epochs, and return them."""
        kept = [record for record in self.history() if record["epoch"] <= epochs]
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in kept)
        write_text_atomically(self.file(HISTORY), text)
        return kept

    def save_model(self, model: nn.Module) -> None:
        """Write the parameters and buffers to `model.safetensors`; tied tensors are stored once."""
        from safetensors.torch import save_model

        from gdw.hypergradient.preserve import with_own_names

        write_atomically(
            self.file(MODEL), lambda file: save_model(with_own_names(model), str(file))
        )

    def load_model(self, model: nn.Module) -> None:
        """Copy the saved parameters and buffers into `model`.

        Raises:
            RunError: the run has not finished, or the file is damaged.
            ModelError: the names or shapes of the tensors do not match those of `model`.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_model

        from gdw.hypergradient.own_names import OwnNames

        path = self.file(MODEL)
        if not path.is_file():
            raise RunError(
                f"{path} does not exist: the run has not finished; continue it with "
                f"gdw train --resume --output {shlex.quote(str(self.path))} (resume=True)"
            )
        try:
            load_model(OwnNames(model), path)  # type: ignore[arg-type]  # it has the state dict
        except SafetensorError as error:
            raise RunError(f"{path} is damaged: {one_line(error)}") from error
        except RuntimeError as error:
            raise ModelError(
                f"{path} does not fit the model: {str(error).splitlines()[0]}"
            ) from error


def lock_run(path: str | os.PathLike[str], *, resume: bool) -> OutputLock:
    """Keep other processes from writing the new run at `path`, or with `resume` the one that is there.

    Raises:
        RunError: another process is writing it; or `path` is not free, or holds no run to resume.
        OutputError: the folder cannot be written.
    """
    if resume:
        RunFolder.open(path, resume=True)
        return OutputLock(Path(path))
    RunFolder.require_free(path)
    lock = OutputLock(Path(path))
    try:
        # A run that started and ended since the first look is one now.
        RunFolder.require_free(path)
    except RunError:
        lock.release()
        raise
    return lock


def require_own_place(path: Path, reads: Iterable[str | None], *, leftovers: Iterable[str]) -> None:
    """Check that a new run at `path` is outside of what it reads and among no other files.

    Args:
        path: the folder, which may exist. Hidden files do not count.
        reads: the files and folders of the data.
        leftovers: names in the folder that a start which failed may have left, besides its preparation.

    Raises: RunError: it is not.
    """
    place = Path(os.path.realpath(path))
    for read in map(Path, filter(None, reads)):
        whole = Path(os.path.realpath(read))
        if read.is_dir() and whole in (place, *place.parents):
            inside = "" if whole == place else "inside "
            raise RunError(
                f"--output {shown(path)} is {inside}the data {shown(read)}: choose a folder outside"
            )
    known = {RunFolder(path).preparation.name, *leftovers}
    readable = path.is_dir() and os.access(path, os.R_OK)
    names = [entry.name for entry in path.iterdir()] if readable else []
    others = sorted(name for name in names if name not in known and not name.startswith("."))
    if others and not set(names).intersection(_OWN):
        raise RunError(
            f"--output {shown(path)} holds other files ({listed(others, 3)}): choose a new or an empty folder"
        )


def make_folder(path: Path) -> None:
    """Make a folder and its parents unless it exists; `OutputError` if it cannot be made."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError.of(error, path) from error


def require_no_link(*folders: Path) -> None:
    """Check that none of the folders in a run or grid is a link: gdw would write or remove files elsewhere.

    Raises:
        RunError: one of them is.
    """
    for folder in folders:
        if folder.is_symlink():
            raise RunError(
                f"{shown(folder)} is a link, and gdw writes into the output itself only: replace it by a "
                "folder, or choose another output"
            )


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Add `record` as a line to a file of JSON lines and flush it to the disk, or leave the file unchanged.

    Raises:
        OutputError: the disk is full or read-only, or `path` is a link.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
    try:
        with os.fdopen(os.open(path, flags, 0o666), "ab+", buffering=0) as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 1))
            # Without the line break, a line that a crash cut short would make this one unreadable too.
            line_break = "" if file.read(1) in (b"", b"\n") else "\n"
            line = (
                f"{line_break}{json.dumps(record, ensure_ascii=False, allow_nan=False)}\n".encode()
            )
            try:
                if file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
    except OSError as error:
        raise OutputError.of(error, path) from error
