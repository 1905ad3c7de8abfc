"""Checkpoints of a run: the newest few, each whole, read without running code."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch

from gdw.errors import RunError
from gdw.files.atomic import write_atomically

FORMAT_VERSION = 1

_NAME = re.compile(r"step-(\d+)\.pt")

# What `zipfile` and `torch.load` raise on a file that is cut short, altered, or none of its own.
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


class DamagedCheckpointWarning(UserWarning):
    """A checkpoint could not be read, and an older one is used."""


class Checkpoints:
    """The checkpoints in `folder`, named by optimizer step, of which the newest `kept` stay.

    A state is a dictionary of tensors and plain values (what `torch.load(weights_only=True)` accepts).
    """

    def __init__(self, folder: Path, *, kept: int = 2) -> None:
        self._folder = folder
        self._kept = kept

    def paths(self) -> list[Path]:
        """The checkpoint files, oldest first."""
        found = [
            (int(match[1]), path)
            for path in self._folder.glob("*.pt")
            if (match := _NAME.fullmatch(path.name))
        ]
        return [path for _, path in sorted(found)]

    def save(self, state: dict[str, Any], *, step: int) -> Path:
        """Write `state` whole or not at all; remove those too many, and any ahead of `step`.

        Those ahead are of a part of the run that is being trained again. `RunError` when the disk
        refuses.
        """
        path = self._folder / f"step-{step:09d}.pt"
        content = {"format": FORMAT_VERSION, **state}
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomically(path, lambda file: torch.save(content, file))
        except OSError as error:
            raise RunError(
                f"cannot write the checkpoint {path}: {error.strerror}; earlier checkpoints are intact, "
                "make room and continue with --resume"
            ) from error
        written = self.paths()
        here = written.index(path)
        for old in [*written[: max(0, here + 1 - self._kept)], *written[here + 1 :]]:
            old.unlink(missing_ok=True)
        return path

    def load_newest(self) -> dict[str, Any] | None:
        """The newest state that can be read, on the CPU; None if the run has no checkpoint yet.

        A damaged file is passed over for the one before with a `DamagedCheckpointWarning`.
        `RunError` if none of the files can be read, or if one is of a newer format than this
        version of gdw knows.
        """
        paths = self.paths()
        for path in reversed(paths):
            try:
                return _read(path)
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


def _read(path: Path) -> dict[str, Any]:
    # torch.load does not look at the checksums: a bit that flipped inside a tensor would be trained on.
    with zipfile.ZipFile(path) as archive:
        altered = archive.testzip()
    if altered is not None:
        raise zipfile.BadZipFile(f"{altered} does not match its checksum")
    state = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise ValueError("expected a dictionary")
    version = state["format"]
    if version > FORMAT_VERSION:
        raise RunError(
            f"{path} has checkpoint format {version}, this gdw reads up to {FORMAT_VERSION}: "
            "upgrade it (pip install -U gdw) to continue this run"
        )
    return state
