"""Checks where a file may be written: never over an input, and over another file only with `force`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

from gdw.errors import ConfigError, nearest, shown
from gdw.files.documents import OutputLock

Place: TypeAlias = str | os.PathLike[str]


@contextmanager
def output_file(
    path: Place | None,
    *,
    suffixes: Sequence[str] = (),
    reads: Iterable[Place | None] = (),
    force: bool = False,
) -> Iterator[None]:
    """Inside, this process may write the file `path`, and no other process does.

    Args:
        path: the file; None: there is nothing to write and to check.
        suffixes, reads, force: as for `check_output`.

    Raises:
        ConfigError: as `check_output`.
        RunError: another process is writing the file.
        OutputError: its folder cannot be written.
    """
    if path is None:
        yield
        return
    known = list(reads)
    check_output(Path(path), suffixes=suffixes, reads=known, force=force)
    lock = OutputLock(Path(path), is_folder=False)
    try:
        # Another process may have written it since the first look.
        check_output(Path(path), suffixes=suffixes, reads=known, force=force)
        yield
    finally:
        lock.release()


def check_output(
    path: Path,
    *,
    suffixes: Sequence[str] = (),
    reads: Iterable[Place | None] = (),
    force: bool = False,
) -> None:
    """Check, before long work, that the user meant a file of this name.

    Args:
        path: the file to write.
        suffixes: those of the formats that can be written; empty: any.
        reads: the files and folders that the command reads, in any spelling. `force` does not hold for them.
        force: overwrite a file that exists.

    Raises:
        ConfigError: another suffix, no such folder, a file that is read, or one that exists.
    """
    if suffixes and path.suffix.lower() not in suffixes:
        raise ConfigError(
            f"{shown(path)} has no suffix of a known format: expected a name ending in "
            f"{', '.join(suffixes)}.{nearest(path.suffix, suffixes)}"
        )
    if not path.parent.is_dir():
        raise ConfigError(
            f"the folder {shown(path.parent)} does not exist: make it, or choose another"
        )
    for read in reads:
        if read is not None and _is_part(path, Path(read)):
            raise ConfigError(
                f"{shown(path)} would overwrite {shown(read)}, which this command reads: choose another name"
            )
    _check_existing(path, force=force)


def _check_existing(path: Path, *, force: bool) -> None:
    """Refuse to overwrite what is no file, and a file without `force`."""
    if path.is_dir():
        raise ConfigError(f"{shown(path)} is a folder: expected the name of a file")
    if os.path.lexists(path) and not force:
        raise ConfigError(
            f"{shown(path)} exists already: choose another name, or overwrite it with --force (force=True)"
        )
    if path.exists() and not path.is_file():
        raise ConfigError(
            f"{shown(path)} is not a file but a device or a pipe: choose another name"
        )


def _is_part(path: Path, whole: Path) -> bool:
    """Whether the file `path` exists and is the same as `whole`, also through links, or a file inside it."""
    try:
        inside = whole.is_dir() and whole.resolve() in path.resolve(strict=True).parents
        return inside or path.samefile(whole)
    except OSError:
        return False
