"""Files that are written whole or not at all, and JSON files with a format number.

A reader never sees half a file, also if the process is killed. A JSON file that cannot be read gives one line
of advice.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gdw._version import __version__
from gdw.errors import GDWError, RunError

_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)


@dataclass(frozen=True)
class Document:
    """A kind of JSON file in a run or grid folder.

    Attributes:
        format: the number of the newest format that this version writes and reads.
        remedy: what to do about a damaged file, as the end of a sentence: "train again".
        missing: what to do about a missing file; None: the same as for a damaged one.
        indent: of the text; None for one long line.
    """

    format: int
    remedy: str
    missing: str | None = None
    indent: int | None = 1

    def write(self, path: Path, content: Mapping[str, Any]) -> None:
        """Write `content` to `path`, whole or not at all, with the format and the version of gdw."""
        written = {"format": self.format, "gdw_version": __version__, **content}
        text = json.dumps(written, ensure_ascii=False, allow_nan=False, indent=self.indent)
        write_text_atomically(path, text)

    def read(self, path: Path) -> dict[str, Any]:
        """The content of `path`, without the format and the version.

        Raises:
            RunError: the file is missing, damaged, or was written by a newer version of gdw.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(f"{path} does not exist: {self.missing or self.remedy}") from None
        except _UNREADABLE as error:
            raise self.damaged(path, error) from error
        if not isinstance(content, dict):
            raise self.damaged(path, f"expected an object, found {type(content).__name__}")
        # Some files of gdw 0.1.0 have no format number; they are of the first format.
        number, version = content.pop("format", 1), content.pop("gdw_version", None)
        if not isinstance(number, int):
            raise self.damaged(path, f"format {number!r} is no number")
        require_format(number, self.format, path, version=version)
        return content

    def damaged(self, path: Path, reason: object) -> RunError:
        """The error that says in one line that `path` is damaged, why, and what to do."""
        return RunError(f"{path} is damaged ({one_line(reason)}): {self.remedy}")


def require_format(
    found: int,
    known: int,
    path: Path,
    *,
    version: object = None,
    error: type[GDWError] = RunError,
) -> None:
    """Raise `error` if `path` has a newer format than this version of gdw reads.

    Args:
        found: the format number in the file.
        known: the newest number that this version reads.
        path: the file.
        version: the version of gdw that wrote it, if the file says so.
        error: the class of the error.
    """
    if found > known:
        writer = f"gdw {version}" if isinstance(version, str) else "a newer gdw"
        raise error(
            f"{path} was written by {writer} (format {found}); this is gdw {__version__} (format {known}): "
            "upgrade it (pip install -U gdw)"
        )


def finite_or_null(value: Any) -> Any:
    """`value`, a tree of plain values, with None in place of NaN and infinity, which JSON lacks."""
    if isinstance(value, Mapping):
        return {key: finite_or_null(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite_or_null(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def one_line(reason: object) -> str:
    """An exception or text as one line; the name of an exception that says nothing."""
    return " ".join(str(reason).split()) or type(reason).__name__


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
