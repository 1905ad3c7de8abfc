"""What a training writes and returns: its history, its checkpoints and its result."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

import torch
from torch import nn

from gdw._version import __version__
from gdw.errors import ConfigError, GDWError, OutputError, RunError
from gdw.files.documents import OutputLock, write_atomically
from gdw.files.representation import ShortRepr
from gdw.train.config import TrainConfig
from gdw.train.feed import DataSets
from gdw.train.history import last_epochs_mean
from gdw.train.processes import Processes
from gdw.train.resuming import (
    CHECKPOINT_FORMAT,
    newest_first,
    read_checkpoint,
    require_same_model,
    require_same_training,
    warn_of_damage,
    warn_of_other_preparation,
)
from gdw.train.run_folder import RunFolder, lock_run, make_folder, require_no_link

T = TypeVar("T")

Output: TypeAlias = str | os.PathLike[str] | Callable[[], RunFolder]
"""A run folder by its path, or a function that makes it."""

_NAME = re.compile(r"step-(\d+)\.pt")


@dataclass(frozen=True, repr=False)
class FitResult(ShortRepr):
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
        newest, preparation: the newest checkpoint; the folder where a preparation keeps what it has finished.
    """

    def __init__(self, processes: Processes, *, kept: int) -> None:
        self.folder: RunFolder | None = None
        self.history: list[dict[str, Any]] = []
        self.newest: Path | None = None
        self.preparation: Path | None = None
        self._processes = processes
        self._kept = kept
        self._checkpoints: Checkpoints | None = None
        self._compares_data = True
        self._lock: OutputLock | None = None

    @contextmanager
    def opened(self, output: Output | None, config: TrainConfig, *, resume: bool) -> Iterator[None]:
        """Make the run folder `output`, or find it with `resume`; inside, no other process writes there."""
        if output is None:
            if resume:
                raise ConfigError("resume needs the run folder to continue: give output=...")
            yield
            return

        def find() -> RunFolder:
            if callable(output):
                return output()
            self._lock = lock_run(output, resume=resume)
            opened = RunFolder.open(output, resume=True) if resume else None
            return opened or RunFolder.create(output, config.plain())

        # Who makes the folder knows what the data are made of, and encodes them anew on each machine.
        self._compares_data = not callable(output)
        try:
            self.folder = self._processes.on_first(find)
            self.preparation = self.folder.preparation
            self._checkpoints = Checkpoints(self.folder.checkpoints, kept=self._kept)
            yield
        finally:
            if self._lock is not None:
                self._lock.release()

    def resume(
        self,
        restore: Callable[[dict[str, Any]], None],
        config: TrainConfig,
        sets: DataSets,
        model: nn.Module,
    ) -> bool:
        """Give the newest sound checkpoint to `restore`, and cut the history back to it; False without any.

        Raises:
            RunError: the options, the data or the model's shapes are not those of the run, or
                every checkpoint is damaged.
        """
        folder, checkpoints = self.folder, self._checkpoints
        if folder is None or checkpoints is None:
            return False

        known = sets.state if self._compares_data else {"sizes": sets.sizes()}

        def attempt(state: dict[str, Any]) -> Exception | None:
            try:
                require_same_training(folder, state, config, known)
                require_same_model(folder, state, model)
                restore(state)
            except GDWError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever a damaged file makes of its readers
                return error
            return None

        states, on_first = checkpoints.newest_first(), self._processes.on_first
        while (newest := on_first(lambda: next(states, None))) is not None:
            failure = attempt(newest[1])
            if not self._processes.any(failure is not None)[0]:
                break
            warn_of_damage(newest[0], failure)
        epochs = 0 if newest is None else newest[1]["position"]["epoch"]
        self.history = on_first(lambda: folder.truncate_history(epochs))
        return newest is not None

    def append(self, record: dict[str, Any]) -> None:
        """Add the record of an epoch to the history."""
        self.history.append(record)
        folder = self.folder
        if folder is not None:
            self._on_first(lambda: folder.append_history(record))

    def save_checkpoint(self, make_state: Callable[[], dict[str, Any]], *, step: int) -> None:
        """Write a checkpoint of the state that `make_state` returns."""
        checkpoints = self._checkpoints
        if checkpoints is not None:
            self.newest = self._on_first(lambda: checkpoints.save(make_state(), step=step))
            if self.preparation is not None and self._processes.is_first:
                # The checkpoint has what the preparation found.
                shutil.rmtree(self.preparation, ignore_errors=True)

    def save_model(self, model: nn.Module) -> None:
        """Write the present weights to `model.safetensors`."""
        folder = self.folder
        if folder is not None:
            self._on_first(lambda: folder.save_model(model))

    def _on_first(self, write: Callable[[], T]) -> T:
        """Call `write` on the first process; if it cannot write, say how the training goes on."""

        def advised() -> T:
            try:
                return write()
            except OutputError as error:
                advice = "then continue with --resume (resume=True): earlier files are intact"
                raise RunError(f"{error}; {advice}") from error

        return self._processes.on_first(advised)

    def result(self, *, last_epochs: int, **counts: Any) -> FitResult:
        """The result of `fit`; `counts` are its fields about epochs and signals."""
        last = min(last_epochs, len(self.history))
        return FitResult(self.history, last_epochs_mean(self.history, last), last, **counts)


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
            OutputError: the file cannot be written.
        """
        path = self._folder / f"step-{step:09d}.pt"
        _write(path, state)
        written = self.paths()
        position = written.index(path)
        surplus = written[: max(0, position + 1 - self._kept)]
        for old in [*surplus, *written[position + 1 :]]:
            old.unlink(missing_ok=True)
        return path

    def newest_first(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """See `gdw.train.resuming.newest_first`."""
        return newest_first(self.paths(), self._folder)


def _write(path: Path, state: Mapping[str, Any]) -> None:
    content = {"format": CHECKPOINT_FORMAT, "gdw_version": __version__, **state}

    def write(temporary: Path) -> None:
        # With a path instead of a file, torch.save would not tell why it failed.
        with temporary.open("wb") as file:
            torch.save(content, file)

    make_folder(path.parent)
    write_atomically(path, write)


class KeptFits:
    """The predictions of the models that a preparation has finished, in files of `folder` if there is one.

    `run` stands for data, options and untrained model: files of others are removed. `tell` shows messages.
    """

    def __init__(
        self, folder: Path | None, processes: Processes, run: str, tell: Callable[[str], None]
    ) -> None:
        self._folder, self._processes, self._run, self._tell = folder, processes, run, tell
        self.count: int = processes.on_first(self._found)

    def _found(self) -> int:
        if self._folder is None or not self._folder.exists():
            return 0
        require_no_link(self._folder)
        files = list(self._folder.glob("*.pt"))
        others = [file for file in files if not file.name.startswith(f"{self._run}-")]
        for file in others:
            file.unlink()
        if others:
            warn_of_other_preparation()
        return len(files) - len(others)

    def read(self, fit: str) -> dict[str, Any]:
        """What the model `fit` predicted, by subset; nothing if it is not kept."""
        path = self._path(fit)
        return self._processes.on_first(lambda: self._read(path)) if self.count and path else {}

    def _path(self, fit: str) -> Path | None:
        return None if self._folder is None else self._folder / f"{self._run}-{fit}.pt"

    def _read(self, path: Path) -> dict[str, Any]:
        if not path.is_file():
            return {}
        try:
            predicted: dict[str, Any] = read_checkpoint(path)["predicted"]
            for entry in predicted.values():
                _, _ = entry["probabilities"].shape, entry["random"]
        except GDWError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a damaged file makes of its readers
            self._tell(f"{path} is damaged ({type(error).__name__}): its training is done again")
            return {}
        return predicted

    def write(self, fit: str, predicted: dict[str, Any]) -> None:
        """Keep what the model `fit` predicted."""
        if (path := self._path(fit)) is not None:
            self._processes.on_first(lambda: _write(path, {"predicted": predicted}))
            self.count += len(predicted) == 1
