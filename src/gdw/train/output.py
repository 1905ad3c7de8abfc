"""What a training writes and returns: its history, its checkpoints and its result."""

from __future__ import annotations

import os
import pickle
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import nn

from gdw._version import __version__
from gdw.errors import ConfigError, RunError
from gdw.files.documents import require_format, write_atomically
from gdw.train.config import TrainConfig
from gdw.train.processes import Processes
from gdw.train.run_folder import RunFolder

CHECKPOINT_FORMAT = 1

Output: TypeAlias = str | os.PathLike[str] | Callable[[], RunFolder]
"""A run folder by its path, or a function that makes it."""

_NAME = re.compile(r"step-(\d+)\.pt")

# What `zipfile` and `torch.load` raise for a file that is cut short, altered, or not a checkpoint.
_DAMAGE = (
    OSError,
    RuntimeError,
    EOFError,
    LookupError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclass(frozen=True)
class FitResult:
    """The result of `Trainer.fit`.

    Attributes:
        history: one record per epoch, as in `history.jsonl`, including those before a resume.
        final: the mean of every metric over the last epochs. It is never the best epoch.
        averaged_epochs: the number of these epochs: `last_epochs`, or all epochs if there are fewer.
        interrupted: a signal stopped the training before its end. It can be resumed from its folder.
        epochs_done: the number of complete epochs so far.
        epochs_before: how many of them were done before this call resumed the training.
        signalled: a signal arrived, even if it was too late to stop anything.
    """

    history: list[dict[str, Any]] = field(repr=False)
    final: dict[str, Any]
    averaged_epochs: int
    interrupted: bool
    epochs_done: int
    epochs_before: int = 0
    signalled: bool = False


class TrainingOutput:
    """The history and the checkpoints of a training, in its run folder if it has one.

    Every process calls every method. Only the first process writes; its errors are raised on all.

    Attributes:
        folder: the run folder; None: the history is kept in memory and there are no checkpoints.
        history: one record per epoch.
        newest: the newest checkpoint that this training wrote.
    """

    def __init__(self, processes: Processes, *, kept: int) -> None:
        self.folder: RunFolder | None = None
        self.history: list[dict[str, Any]] = []
        self.newest: Path | None = None
        self._processes = processes
        self._kept = kept
        self._checkpoints: Checkpoints | None = None

    def open(self, output: Output | None, config: TrainConfig, *, resume: bool) -> None:
        """Make the run folder `output`, or find it with `resume`."""
        if output is None:
            if resume:
                raise ConfigError("resume needs the run folder to continue: give output=...")
            return

        def find() -> RunFolder:
            if callable(output):
                return output()
            if resume:
                return RunFolder.open(output, resume=True)
            return RunFolder.create(output, config.plain())

        self.folder = self._processes.on_first(find)
        self._checkpoints = Checkpoints(self.folder.checkpoints, kept=self._kept)

    def resume(
        self, config: TrainConfig, sizes: Mapping[str, int], model: nn.Module
    ) -> dict[str, Any] | None:
        """Read the newest checkpoint and cut the history back to it; None without any checkpoint.

        Raises:
            RunError: the options, the number of examples or the model's shapes are not those of the run.
        """
        folder, checkpoints = self.folder, self._checkpoints
        if folder is None or checkpoints is None:
            return None

        def read() -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
            state = checkpoints.load_newest()
            if state is not None:
                _require_same_training(folder, state, config, sizes)
                _require_same_model(folder, state, model)
            epochs = 0 if state is None else state["position"]["epoch"]
            return state, folder.truncate_history(epochs)

        state, self.history = self._processes.on_first(read)
        return state

    def append(self, record: dict[str, Any]) -> None:
        """Add the record of an epoch to the history."""
        self.history.append(record)
        folder = self.folder
        if folder is not None:
            self._processes.on_first(lambda: folder.append_history(record))

    def save_checkpoint(self, make_state: Callable[[], dict[str, Any]], *, step: int) -> None:
        """Write a checkpoint of the state that `make_state` returns."""
        checkpoints = self._checkpoints
        if checkpoints is not None:
            self.newest = self._processes.on_first(
                lambda: checkpoints.save(make_state(), step=step)
            )

    def save_model(self, model: nn.Module) -> None:
        """Write the present weights to `model.safetensors`."""
        folder = self.folder
        if folder is not None:
            self._processes.on_first(lambda: folder.save_model(model))

    def result(self, *, last_epochs: int, **counts: Any) -> FitResult:
        """The result of `fit`; `counts` are its fields about epochs and signals."""
        last = min(last_epochs, len(self.history))
        final = last_epochs_mean(self.history, last)
        return FitResult(history=self.history, final=final, averaged_epochs=last, **counts)


def _require_same_training(
    folder: RunFolder, state: Mapping[str, Any], config: TrainConfig, sizes: Mapping[str, int]
) -> None:
    conflicts = config.conflicts(state["config"])
    conflicts += [
        f"{name} examples (were {state['sizes'][name]}, now {size})"
        for name, size in sizes.items()
        if state["sizes"][name] != size
    ]
    if conflicts:
        raise RunError(
            f"{folder.path} cannot be resumed with other settings: {', '.join(conflicts)}; "
            "use those of the run, or choose another output folder"
        )


def _require_same_model(folder: RunFolder, state: Mapping[str, Any], model: nn.Module) -> None:
    """Another version may read a column in another way, and a model of one's own may have changed."""
    then = {name: tuple(value.shape) for name, value in state["model"].items()}
    now = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    name = next((name for name in {**then, **now} if then.get(name) != now.get(name)), None)
    if name is not None:
        raise RunError(
            f"{folder.path} cannot be resumed: {name!r} of the model had the shape {then.get(name)} and has "
            f"{now.get(name)} now. The model has changed, or another version of gdw read the data in another "
            f"way (the run is of gdw {state.get('gdw_version', '0.1.0')}, this is {__version__}): use that "
            "version, or train again into a new folder"
        )


class DamagedCheckpointWarning(UserWarning):
    """A checkpoint could not be read, so an older one is used."""


class Checkpoints:
    """The checkpoint files in `folder`, named by optimizer step. The newest `kept` are kept.

    A checkpoint is a dictionary of tensors and plain values, which `torch.load(weights_only=True)`
    accepts: reading it never runs code.
    """

    def __init__(self, folder: Path, *, kept: int = 2) -> None:
        self._folder = folder
        self._kept = kept

    def paths(self) -> list[Path]:
        """The checkpoint files, oldest first."""
        steps = [
            (int(match[1]), path)
            for path in self._folder.glob("*.pt")
            if (match := _NAME.fullmatch(path.name))
        ]
        return [path for _, path in sorted(steps)]

    def save(self, state: dict[str, Any], *, step: int) -> Path:
        """Write `state`, whole or not at all, then remove surplus files and those of later steps.

        Later steps belong to a part of the training that is being repeated.

        Raises:
            RunError: the file cannot be written.
        """
        path = self._folder / f"step-{step:09d}.pt"
        content = {"format": CHECKPOINT_FORMAT, "gdw_version": __version__, **state}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, lambda file: torch.save(content, file))
        except OSError as error:
            raise RunError(
                f"cannot write the checkpoint {path}: {error.strerror}; earlier checkpoints are intact, "
                "make room and continue with --resume"
            ) from error
        written = self.paths()
        position = written.index(path)
        surplus = written[: max(0, position + 1 - self._kept)]
        for old in [*surplus, *written[position + 1 :]]:
            old.unlink(missing_ok=True)
        return path

    def load_newest(self) -> dict[str, Any] | None:
        """The newest checkpoint that can be read, on the CPU; None if there is no file yet.

        A damaged file is skipped with a `DamagedCheckpointWarning`.

        Raises:
            RunError: no file can be read, or a newer version of gdw wrote one.
        """
        paths = self.paths()
        for path in reversed(paths):
            try:
                return _read_checkpoint(path)
            except _DAMAGE as error:
                warnings.warn(
                    f"the checkpoint {path} is damaged ({type(error).__name__}): "
                    "going back to the one before",
                    DamagedCheckpointWarning,
                    stacklevel=2,
                )
        if paths:
            raise RunError(
                f"no checkpoint in {self._folder} can be read: start the run again in another folder"
            )
        return None


def _read_checkpoint(path: Path) -> dict[str, Any]:
    # torch.load does not verify the checksums: training would continue from a tensor with a flipped bit.
    with zipfile.ZipFile(path) as archive:
        altered = archive.testzip()
    if altered is not None:
        raise zipfile.BadZipFile(f"{altered} does not match its checksum")
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise ValueError("expected a dictionary")
    require_format(state["format"], CHECKPOINT_FORMAT, path, version=state.get("gdw_version"))
    return state


def last_epochs_mean(history: Sequence[Mapping[str, Any]], last: int) -> dict[str, Any]:
    """The mean of every metric over the last `last` records of a history.

    A metric must be in all of these records. Lists, such as the recall of each class, are averaged
    element by element. If a value is missing (None), the mean is None. `epoch`, `step` and `lr` are not
    metrics and are left out.
    """
    records = history[-last:]
    if not records:
        return {}
    names = [
        name
        for name in records[-1]
        if name not in ("epoch", "step", "lr") and all(name in record for record in records)
    ]
    return {name: _mean([record[name] for record in records]) for name in names}


def _mean(values: list[Any]) -> Any:
    if any(value is None for value in values):
        return None
    if isinstance(values[0], list):
        return [_mean(list(column)) for column in zip(*values, strict=True)]
    return sum(values) / len(values)
