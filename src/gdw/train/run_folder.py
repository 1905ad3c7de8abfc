"""The folder of a run as the trainer writes it: configuration, history, checkpoints, final weights."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from gdw.errors import ModelError, RunError
from gdw.files.documents import finite_or_null, one_line, write_atomically, write_text_atomically
from gdw.files.yaml_files import read_yaml

CONFIG = "config.yaml"
HISTORY = "history.jsonl"
CHECKPOINTS = "checkpoints"
MODEL = "model.safetensors"


class RunFolder:
    """The files of one run. `create` starts a new folder, `open` finds an existing one.

    `gdw.load` returns the whole run, with its data schema, evidence and model; this class knows only
    the files that `Trainer.fit` writes.

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
            RunError: `path` holds a run, is a file, or cannot be written.
        """
        cls.require_free(path)
        run = cls(path)
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            if fill is not None:
                fill(run)
            text = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
            write_text_atomically(run.file(CONFIG), text)
        except OSError as error:
            raise RunError(f"cannot write the run folder {run.path}: {error.strerror}") from error
        return run

    @classmethod
    def require_free(cls, path: str | os.PathLike[str]) -> None:
        """Check that `path` can become a new run.

        Raises:
            RunError: `path` holds a run or is a file.
        """
        run = cls(path)
        held = [name for name in (CONFIG, HISTORY, CHECKPOINTS, MODEL) if run.file(name).exists()]
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
        line = json.dumps(finite_or_null(record), ensure_ascii=False, allow_nan=False)
        with self.file(HISTORY).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def history(self) -> list[dict[str, Any]]:
        """The records of `history.jsonl`, one per epoch, in order.

        The last line is ignored if a crash cut it short.

        Raises:
            RunError: an earlier line is damaged.
        """
        path = self.file(HISTORY)
        if not path.exists():
            return []
        lines = path.read_text(encoding="utf-8").splitlines()
        records: list[dict[str, Any]] = []
        for number, line in enumerate(lines, start=1):
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError as error:
                if number == len(lines):
                    break
                raise RunError(f"{path} is damaged at line {number}: {error.msg}") from error
        return records

    def truncate_history(self, epochs: int) -> list[dict[str, Any]]:
        """Keep only the records of the first `epochs` epochs, and return them."""
        kept = [record for record in self.history() if record["epoch"] <= epochs]
        text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in kept)
        write_text_atomically(self.file(HISTORY), text)
        return kept

    def save_model(self, model: nn.Module) -> None:
        """Write the parameters and buffers to `model.safetensors`; tied tensors are stored once."""
        from safetensors.torch import save_model

        write_atomically(self.file(MODEL), lambda file: save_model(model, str(file)))

    def load_model(self, model: nn.Module) -> None:
        """Copy the saved parameters and buffers into `model`.

        Raises:
            RunError: the run has not finished, or the file is damaged.
            ModelError: the names or shapes of the tensors do not match those of `model`.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_model

        path = self.file(MODEL)
        if not path.is_file():
            raise RunError(
                f"{path} does not exist: the run has not finished; continue it with "
                f"gdw train --resume --output {shlex.quote(str(self.path))} (resume=True)"
            )
        try:
            load_model(model, path)
        except SafetensorError as error:
            raise RunError(f"{path} is damaged: {one_line(error)}") from error
        except RuntimeError as error:
            first, *_ = str(error).splitlines()
            raise ModelError(f"{path} does not fit the model: {first}") from error
