"""What a run leaves behind while it goes: history and checkpoints, by the first process alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from torch import nn

from gdw.errors import ConfigError, RunError
from gdw.train.checkpoint import Checkpoints
from gdw.train.config import TrainConfig
from gdw.train.processes import Processes
from gdw.train.run_folder import RunFolder

Output: TypeAlias = str | os.PathLike[str] | Callable[[], RunFolder]


class Store:
    """History and checkpoints of a run in its folder; with no folder, the history in memory.

    Every process calls every method; what goes wrong on the first process is raised on all.
    """

    def __init__(self, processes: Processes, *, kept: int) -> None:
        self.run: RunFolder | None = None
        self.history: list[dict[str, Any]] = []
        self.newest: Path | None = None
        self._processes = processes
        self._kept = kept
        self._checkpoints: Checkpoints | None = None

    def open(
        self,
        output: Output | None,
        config: TrainConfig,
        *,
        resume: bool,
    ) -> None:
        """Make the run folder `output`, by its own function if it is one (with `resume`: find it)."""
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

        self.run = self._processes.on_first(find)
        self._checkpoints = Checkpoints(self.run.checkpoints, kept=self._kept)

    def append(self, record: dict[str, Any]) -> None:
        """Add an epoch's record to the history."""
        self.history.append(record)
        run = self.run
        if run is not None:
            self._processes.on_first(lambda: run.append_history(record))

    def save(self, make_state: Callable[[], dict[str, Any]], *, step: int) -> None:
        """Write a checkpoint of the state that `make_state` gives."""
        checkpoints = self._checkpoints
        if checkpoints is not None:
            self.newest = self._processes.on_first(
                lambda: checkpoints.save(make_state(), step=step)
            )

    def save_model(self, model: nn.Module) -> None:
        """Write the weights as they are now to `model.safetensors`."""
        run = self.run
        if run is not None:
            self._processes.on_first(lambda: run.save_model(model))

    def resume(self, config: TrainConfig, sizes: Mapping[str, int]) -> dict[str, Any] | None:
        """The newest state, with the history cut back to it; None if no checkpoint was reached.

        `RunError` if that run was another: by its options or by the number of its examples.
        """
        run, checkpoints = self.run, self._checkpoints
        if run is None or checkpoints is None:
            return None

        def read() -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
            state = checkpoints.load_newest()
            if state is not None:
                _refuse_another(run, state, config, sizes)
            return state, run.truncate_history(0 if state is None else state["position"]["epoch"])

        state, self.history = self._processes.on_first(read)
        return state


def _refuse_another(
    run: RunFolder, state: Mapping[str, Any], config: TrainConfig, sizes: Mapping[str, int]
) -> None:
    conflicts = config.conflicts(state["config"])
    conflicts += [
        f"{name} examples (were {state['sizes'][name]}, now {size})"
        for name, size in sizes.items()
        if state["sizes"][name] != size
    ]
    if conflicts:
        raise RunError(
            f"{run.path} cannot be resumed with other settings: {', '.join(conflicts)}; "
            "use those of the run, or choose another output folder"
        )
