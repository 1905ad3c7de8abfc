"""The folder of a run: configuration, history, checkpoints, final weights, by fixed names."""

from __future__ import annotations

import json
import math
import os
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import nn

from gdw.errors import ModelError, RunError
from gdw.files.atomic import write_atomically

CONFIG = "config.yaml"
HISTORY = "history.jsonl"
CHECKPOINTS = "checkpoints"
MODEL = "model.safetensors"


class RunFolder:
    """A run on disk, made by `create` (new) or `open` (existing)."""

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
        """Start a run at `path` with `config` (plain YAML values) in `config.yaml`; parents are made.

        `fill` writes what else belongs to a new run. `config.yaml` comes last: a process killed before
        it leaves no run, so that the same path is free to start again.
        """
        cls.require_free(path)
        run = cls(path)
        try:
            run.path.mkdir(parents=True, exist_ok=True)
            if fill is not None:
                fill(run)
            run.write_text(
                CONFIG, yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
            )
        except OSError as error:
            raise RunError(f"cannot write the run folder {run.path}: {error.strerror}") from error
        return run

    @classmethod
    def require_free(cls, path: str | os.PathLike[str]) -> None:
        """`RunError`, with what to do, if `path` holds a run or is a file."""
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
        """The run that `path` holds; `resume` says that it is to be continued, for the message."""
        run = cls(path)
        if not run.path.is_dir():
            fix = ", or start a run there without --resume (resume=True)" if resume else ""
            raise RunError(f"no run folder at {run.path}: check the path{fix}")
        if not run.file(CONFIG).is_file():
            raise RunError(f"{run.path} holds no run: expected {CONFIG} in it")
        return run

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def file(self, name: str) -> Path:
        """Where the file called `name` of this run is, or would be."""
        return self.path / name

    @property
    def checkpoints(self) -> Path:
        return self.file(CHECKPOINTS)

    @property
    def config(self) -> dict[str, Any]:
        """What `create` was given, read back from `config.yaml`."""
        try:
            config = yaml.safe_load(self.file(CONFIG).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise RunError(f"{self.file(CONFIG)} cannot be read: {_first_line(error)}") from error
        if not isinstance(config, dict):
            raise RunError(f"{self.file(CONFIG)} is damaged: expected a mapping of options")
        return config

    def write_text(self, name: str, text: str) -> None:
        """Write the whole file `name`, in UTF-8, atomically."""
        write_atomically(self.file(name), lambda file: file.write_bytes(text.encode()))

    def append_history(self, record: Mapping[str, Any]) -> None:
        """Add one line to `history.jsonl`, onto the disk. Numbers that are not finite become null."""
        line = json.dumps(_plain(record), ensure_ascii=False, allow_nan=False)
        with self.file(HISTORY).open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())

    def history(self) -> list[dict[str, Any]]:
        """The records of `history.jsonl`, one an epoch; a last line cut short by a crash is left out."""
        if not self.file(HISTORY).exists():
            return []
        lines = self.file(HISTORY).read_text(encoding="utf-8").splitlines()
        records: list[dict[str, Any]] = []
        for number, line in enumerate(lines, start=1):
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError as error:
                if number == len(lines):
                    break
                raise RunError(
                    f"{self.file(HISTORY)} is damaged at line {number}: {error.msg}"
                ) from error
        return records

    def truncate_history(self, epochs: int) -> list[dict[str, Any]]:
        """Keep the records of the first `epochs` epochs and return them."""
        kept = [record for record in self.history() if record["epoch"] <= epochs]
        self.write_text(
            HISTORY, "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in kept)
        )
        return kept

    def save_model(self, model: nn.Module) -> None:
        """Write the weights and buffers to `model.safetensors`; tied tensors are stored once."""
        from safetensors.torch import save_model

        write_atomically(self.file(MODEL), lambda file: save_model(model, str(file)))

    def load_model(self, model: nn.Module) -> None:
        """Fill `model` with the saved weights; `ModelError` if it has other tensors than those."""
        from safetensors import SafetensorError
        from safetensors.torch import load_model

        path = self.file(MODEL)
        if not path.is_file():
            raise RunError(
                f"{path} does not exist: the run has not finished; go on with "
                f"gdw train --resume --output {shlex.quote(str(self.path))} (resume=True)"
            )
        try:
            load_model(model, path)
        except SafetensorError as error:
            raise RunError(f"{path} is damaged: {_first_line(error)}") from error
        except RuntimeError as error:
            raise ModelError(f"{path} does not fit the model: {_first_line(error)}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
