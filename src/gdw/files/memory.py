"""How much memory and how many processors there are, and files that need far more memory than expected."""

from __future__ import annotations

import os
from pathlib import Path

from gdw.errors import DataError, shown

# The assumed free memory of systems that do not tell it.
UNKNOWN_MEMORY = 8 * 2**30

# Data of real measurements are hardly ever compressed that much.
_LARGEST_RATIO = 200
HARMLESS = 1 << 29
"""In bytes: a file that needs less is never refused for its ratio."""


def require_unpacked(path: Path, needed: int, remedy: str, *, limit: int | None = None) -> None:
    """Check the memory that a file needs when it is read, before it is read.

    Args:
        path: the file.
        needed: in bytes.
        remedy: how to read it all the same if its data really are so regular, as the end of a sentence.
        limit: the most that it may need, in bytes; default: the free memory.

    Raises:
        DataError: it needs more than there is, or more than 500 MB and 200 times as much as its size.
    """
    size = path.stat().st_size
    if needed > max(HARMLESS, _LARGEST_RATIO * size):
        raise DataError(
            f"{shown(path)} has {in_units(size)} but needs {in_units(needed)} when it is read, more than "
            f"{_LARGEST_RATIO} times its size: {remedy}"
        )
    limit = free_memory() if limit is None else limit
    if needed > limit:
        raise DataError(
            f"{shown(path)} needs {in_units(needed)} of memory when it is read, but only "
            f"{in_units(limit)} are free: use fewer rows or columns, or a machine with more memory"
        )


def in_units(size: int) -> str:
    """A number of bytes in a unit that makes it short.

    >>> in_units(2_799_666)
    '2.8 MB'
    """
    for unit, bytes_of in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= bytes_of:
            return f"{size / bytes_of:,.1f} {unit}"
    return f"{size} bytes"


def memory_share() -> int:
    """The bytes that one set of decoded images may use.

    This is half of the free memory, divided by the number of local processes. The other half is for the
    model, its gradients and further sets.
    """
    return free_memory() // 2 // local_processes()


def local_processes() -> int:
    """How many processes of this machine work together on one training."""
    processes = os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("WORLD_SIZE") or "1"
    return max(1, int(processes))


def usable_cores() -> int:
    """The number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def free_memory(root: Path = Path("/")) -> int:
    """The bytes that can be used now without swapping, on the machine and in the control group of a
    container.

    `root` is the folder of `/proc` and `/sys`. For systems without them, the result is a cautious guess.
    """
    free = [UNKNOWN_MEMORY]
    table = _numbers(root / "proc/meminfo")
    if "MemAvailable" in table:
        free = [table["MemAvailable"] * 1024]
    for limit, usage, stat, cache in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat",
         "total_inactive_file"),
    ):  # fmt: skip
        group = root / "sys/fs/cgroup"
        most, used = _number(group / limit), _number(group / usage)
        if most is not None and used is not None:
            # The cache of files counts as used, but the system frees it on demand.
            free.append(max(0, most - used + _numbers(group / stat).get(cache, 0)))
    return min(free)


def _number(path: Path) -> int | None:
    """The number in a file; None if the file does not exist or holds no number (`max`)."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _numbers(path: Path) -> dict[str, int]:
    """The first number of each line by its name; empty if the file does not exist."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    words = [line.replace(":", " ").split() for line in lines]
    return {word[0]: int(word[1]) for word in words if len(word) > 1 and word[1].isdecimal()}
