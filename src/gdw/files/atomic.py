"""Whole files or none: a reader, or a run that is killed, never sees half of one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Put at `path` what `write` writes to the temporary path it is given, or leave `path` as it was.

    The bytes are on the disk (`fsync`) before the name points to them. What `write` raises passes
    through; an `OSError` is the disk's (full, read-only).
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def write_text_atomically(path: Path, text: str) -> None:
    """Put `text` at `path`, in UTF-8, or leave `path` as it was."""
    write_atomically(path, lambda file: file.write_text(text, encoding="utf-8"))


def _umask() -> int:
    """The permissions a plain `open` would withhold; `mkstemp` alone would make the file private."""
    current = os.umask(0)
    os.umask(current)
    return current


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself survive a power cut; only POSIX systems can open a folder for this."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
