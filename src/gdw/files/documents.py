"""Files that are written whole or not at all, by one process at a time; JSON files with a format number.

No reader sees half a file, also after a kill. A JSON file that cannot be read gives one line of advice.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import platform
import re
import stat
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gdw._version import __version__
from gdw.errors import GDWError, OutputError, RunError, one_line, shown

try:
    import fcntl
except ImportError:  # Windows, where the file of a lock vanishes with the process that made it
    fcntl = None  # type: ignore[assignment]

_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
_TEMPORARY = re.compile(r"\..+\.gdw-[a-z0-9_]{8}\.tmp", re.DOTALL)
_LOCK_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
if fcntl is None:
    _LOCK_FLAGS |= os.O_EXCL | getattr(os, "O_TEMPORARY", 0)
_NUMBER_OF_ERROR = re.compile(r"\(os error (\d+)\)")


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


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file at `path`, or leave `path` unchanged.

    `write` writes to a temporary path. The bytes are on the disk (`fsync`) before the file gets its name.
    A link at `path` is replaced, and what it leads to stays as it is.

    Args:
        path: the file.
        write: writes the content to the path that it gets.

    Raises:
        OutputError: the disk is full or read-only. Other exceptions of `write` pass through.
    """
    try:
        _remove_abandoned(path.parent)
        temporary, descriptor = _temporary_file(path)
    except OSError as error:
        raise OutputError.of(error, path) from error
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        reason = _system_error(error)
        if reason is None or reason.filename not in (None, str(temporary)):
            raise
        raise OutputError.of(reason, path) from error
    finally:
        os.close(descriptor)
    _sync_folder(path.parent)


def write_text_atomically(path: Path, text: str) -> None:
    """Write `text` at `path` in UTF-8, or leave `path` unchanged."""
    write_atomically(path, lambda file: file.write_text(text, encoding="utf-8"))


def _temporary_file(path: Path) -> tuple[Path, int]:
    """A new file next to `path`, and a descriptor that locks it: it belongs to a process that is alive."""
    while True:
        descriptor, name = tempfile.mkstemp(".tmp", f".{path.name}.gdw-", path.parent)
        # Another process may take it for abandoned in the moment before it is locked.
        if try_lock(descriptor) is not False and Path(name).exists():
            return Path(name), descriptor
        os.close(descriptor)


def _remove_abandoned(folder: Path) -> None:
    """Remove the temporary files in `folder` of processes that were killed."""
    for entry in os.scandir(folder):
        if not _TEMPORARY.fullmatch(entry.name) or not entry.is_file(follow_symlinks=False):
            continue
        with contextlib.suppress(OSError):
            descriptor = os.open(entry.path, os.O_RDWR)
            try:
                if try_lock(descriptor):
                    Path(entry.path).unlink()
            finally:
                os.close(descriptor)


def _system_error(error: BaseException) -> OSError | None:
    """The error of the operating system that caused `error`, which a library may have raised; or None."""
    if isinstance(error, (OSError, GDWError)):
        return error if isinstance(error, OSError) else None
    wrapped = _NUMBER_OF_ERROR.search(str(error))  # of safetensors
    if wrapped is not None:
        return OSError(int(wrapped[1]), os.strerror(int(wrapped[1])))
    # torch.save reports a failed write as a position in the file that it did not expect.
    return error.__context__ if isinstance(error.__context__, OSError) else None


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


class OutputLock:
    """Makes this process the only one that writes an output, until `release` or its end, however it ends.

    `release` removes the file of the lock, and the folders that the lock made if they are still empty.

    Args:
        output: a folder, made if necessary, whose lock is its file `.lock`; or a file, with one next to it.
        is_folder: which of both.

    Raises:
        RunError: another process is writing the output, or this one is already.
        OutputError: the place cannot be written.
    """

    def __init__(self, output: Path, *, is_folder: bool = True) -> None:
        file = output / ".lock" if is_folder else output.with_name(f".{output.name}.lock")
        file, descriptor = file.absolute(), None
        made = [folder for folder in file.parents if not folder.exists()]
        try:
            while descriptor is None:
                file.parent.mkdir(parents=True, exist_ok=True)
                descriptor = _open_lock(file, output)
            os.ftruncate(descriptor, 0)
            os.write(descriptor, _holder() + time.strftime(", since %F %T").encode())
        except OSError as error:
            _unlock(descriptor, file, made)
            raise OutputError.of(error, file if error.errno == errno.ELOOP else output) from error
        self.release = weakref.finalize(self, _unlock, descriptor, file, made)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=partial(_leave_to_parent, self.release, descriptor))


def _holder() -> bytes:
    return f"process {os.getpid()} on {platform.node()}".encode()


def _open_lock(file: Path, output: Path) -> int | None:
    """A descriptor that locks `file`; None if another process removed the file in this moment."""
    try:
        descriptor = os.open(file, _LOCK_FLAGS, 0o666)
    except FileNotFoundError:
        return None
    if try_lock(descriptor) is False:
        holder = os.read(descriptor, 200)
        os.close(descriptor)
        who = "this" if holder.startswith(_holder()) else "another"
        raise RunError(
            f"{who} process is writing {shown(output)} already ({shown(holder.decode(errors='replace'))}): "
            "wait until it has finished, stop it, or choose another output"
        )
    status = os.fstat(descriptor)
    if status.st_nlink == 1 and stat.S_ISREG(status.st_mode):
        return descriptor
    os.close(descriptor)
    if status.st_nlink == 0:
        return None
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _unlock(descriptor: int | None, file: Path, made: Sequence[Path]) -> None:
    if descriptor is not None:
        with contextlib.suppress(OSError):
            file.unlink()
        os.close(descriptor)
    with contextlib.suppress(OSError):
        for folder in made:
            folder.rmdir()


def _leave_to_parent(release: weakref.finalize[..., OutputLock], descriptor: int) -> None:
    """Close the lock file in a forked process, such as a data-loader worker; the parent keeps the lock."""
    if release.detach() is not None:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool | None:
    """Lock an open file until it is closed; False if it is locked already, None if locks do not work here."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EAGAIN, errno.EACCES) else None
    return True
