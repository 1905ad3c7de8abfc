"""Write whole files or none: a reader never sees half a file, also if the process is killed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file at `path`, or leave `path` unchanged.

    `write` writes to a temporary path. The bytes are on the disk (`fsync`) before the file gets its name.

    Args:
        path: the file.
        write: writes the content to the path that it gets.

    Raises:
        OSError: the disk is full or read-only. Other exceptions of `write` pass through.
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
    """Write `text` at `path` in UTF-8, or leave `path` unchanged."""
    write_atomically(path, lambda file: file.write_text(text, encoding="utf-8"))


def _umask() -> int:
    """The permissions that a plain `open` removes. (`mkstemp` alone makes the file private.)"""
    current = os.umask(0)
    os.umask(current)
    return current


def _sync_folder(folder: Path) -> None:
    """Make the renaming itself survive a power cut. Only POSIX systems can open a folder for this."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
