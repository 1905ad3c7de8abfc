"""The features of one backbone on disk: found by the contents of the examples, added shard by shard."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gdw.data.features.cache_folder import VARIABLE, features_folder
from gdw.data.features.digests import Digests
from gdw.data.features.shard import SUFFIX, DamagedShardError, Features, Shard, write_shard
from gdw.errors import OutputError, RunError, shown
from gdw.files.documents import Document
from gdw.files.memory import in_units, memory_share

ABOUT = "backbone.json"
Precision = Literal["float32", "bfloat16"]


_FULL = os.strerror(errno.ENOSPC)
# The folders of which this process has told that they cannot be written.
_told: set[Path] = set()

DESCRIPTION = Document(format=1, remedy="remove the cache with gdw cache clear")


class Place(NamedTuple):
    """Where the features of N examples are: the number of the shard and the row in it, int32 `(N,)`.

    The number of the shard is -1 for an example without features.
    """

    shard: NDArray[np.int32]
    row: NDArray[np.int32]

    @property
    def missing(self) -> NDArray[np.int64]:
        """The positions of the examples without features."""
        return np.flatnonzero(self.shard < 0)


class FeatureStore:
    """The features that one backbone gives, in a folder of the cache.

    Several processes may read and add at the same time: each writes files of its own. If the folder cannot be
    written, new features stay in memory as long as they fit.

    Args:
        name: of the backbone.
        fingerprint: of the backbone.
        width: the number of features.
        say: takes a note for the user, one line.
        precision: the type of the numbers inside the network; features of the other type are kept apart.
    """

    def __init__(
        self,
        name: str,
        fingerprint: str,
        width: int,
        *,
        say: Callable[[str], None],
        precision: Precision = "float32",
    ) -> None:
        self.name, self.width = name, width
        self._say = say
        self.precision = precision
        parts = (_slug(name), fingerprint[:16], "bf16" if precision == "bfloat16" else "")
        self.folder = features_folder() / "-".join(filter(None, parts))
        self._about = {
            "name": name,
            "fingerprint": fingerprint,
            "width": width,
            "precision": precision,
        }
        self.shards: list[Shard] = []
        self._known: set[str] = set()
        self._verified: set[Shard] = set()
        self._sorted: tuple[Digests, NDArray[np.int32], NDArray[np.int32]] | None = None
        self._writable, self._needed = True, 0
        self.refresh()

    def refresh(self) -> bool:
        """Take in the shards that were written since the last look, by other processes too; are there any?"""
        try:
            names = sorted(
                entry.name
                for entry in os.scandir(self.folder)
                if entry.name.endswith(SUFFIX) and not entry.name.startswith(".")
            )
        except OSError:  # There is no such folder yet, or it cannot be read.
            return False
        new = [name for name in names if name not in self._known]
        self._known.update(new)
        opened = [shard for name in new if (shard := self._open(self.folder / name)) is not None]
        if opened:
            self.shards += opened
            self._sorted = None
        return bool(opened)

    def find(self, digests: Digests) -> Place:
        """Where the features of examples with these digests `(N,)` are."""
        known, shard_of, row_of = self._index()
        if not len(known):
            return Place(*(np.full(len(digests), -1, dtype=np.int32) for _ in range(2)))
        at = np.searchsorted(known, digests).clip(max=len(known) - 1)
        is_known = known[at] == digests
        return Place(*(np.where(is_known, of[at], -1) for of in (shard_of, row_of)))

    def verify(self, shards: Iterable[int]) -> bool:
        """Check the features in these shards; False if one was damaged and is forgotten.

        The numbers of shards change then: `find` must be asked again.
        """
        new = [self.shards[k] for k in shards if self.shards[k] not in self._verified]
        with ThreadPoolExecutor() as pool:
            damaged = [
                shard for shard, reason in zip(new, pool.map(_fault, new), strict=True) if reason
            ]
        self._verified.update(new)
        for shard in damaged:
            assert shard.path is not None, "memory has no checksum"
            self._forget(shard.path, "its checksum is wrong")
        if damaged:
            self.shards = [shard for shard in self.shards if shard not in damaged]
            self._sorted = None
        return not damaged

    def add(self, digests: Digests, rows: Features, cut: NDArray[np.bool_]) -> None:
        """Keep the features `(n, F)` of examples with these digests `(n,)`.

        Raises:
            OutputError: the cache cannot be written, and the memory is too small to go on without it.
        """
        shard = self._written(digests, rows, cut) if self._writable else None
        shard = shard or Shard.in_memory(digests, rows, cut)
        self.shards.append(shard)
        self._verified.add(shard)
        self._sorted = None

    def require_room(self, rows: int) -> None:
        """Check, before long work, that `rows` more rows can be kept, on disk or else in memory.

        Raises:
            OutputError: they cannot.
        """
        self._needed = 4 * rows * self.width
        try:
            self._describe()
            if not os.access(self.folder, os.W_OK):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
            free = shutil.disk_usage(self.folder).free
        except OSError as error:
            self._without_disk(_reason(error, self.folder))
            return
        if free < self._needed:
            self._without_disk(OutputError(errno.ENOSPC, _FULL, str(self.folder)))

    def touch(self) -> None:
        """Say that the features are in use now, for `gdw cache`."""
        try:
            os.utime(self.folder / ABOUT)
        except OSError:  # A cache that is only read has no date of the last use.
            return

    def _describe(self) -> None:
        """Make the folder, with a file that says what it is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / ABOUT
        if not path.exists():
            DESCRIPTION.write(path, self._about)

    def _written(self, digests: Digests, rows: Features, cut: NDArray[np.bool_]) -> Shard | None:
        name = f"{os.getpid()}-{secrets.token_hex(6)}{SUFFIX}"
        try:
            self._describe()
            write_shard(self.folder / name, digests, rows, cut)
            self._known.add(name)
            return Shard.open(self.folder / name)
        except OSError as error:
            self._without_disk(_reason(error, self.folder))
            return None

    def _without_disk(self, reason: OutputError) -> None:
        """Go on without the cache if the features that were announced fit into memory.

        Raises:
            OutputError: they do not.
        """
        self._writable = False
        remedy = f"set {VARIABLE} to a folder with room that can be written"
        if reason.errno in (errno.ENOSPC, errno.EDQUOT):
            remedy = f"make room (gdw cache clear), or {remedy}"
        if self._needed > memory_share():
            size = in_units(self._needed)
            why = f"{reason.strerror}; the features need {size}, too much for the memory: {remedy}"
            raise OutputError(0, why, str(reason.filename)) from reason
        if self.folder not in _told:
            _told.add(self.folder)
            self._say(f"{reason.fact}: features are kept for this command only; {remedy}")

    def _index(self) -> tuple[Digests, NDArray[np.int32], NDArray[np.int32]]:
        """All digests in ascending order, and the shard and row of each."""
        if self._sorted is None:
            empty = np.empty(0, dtype="S16")
            digests = np.concatenate([empty, *(shard.digests for shard in self.shards)])
            sizes = [len(shard.digests) for shard in self.shards]
            shard_of = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
            none = np.empty(0, dtype=np.int32)
            row_of = np.concatenate([none, *(np.arange(n, dtype=np.int32) for n in sizes)])
            order = np.argsort(digests, kind="stable")
            self._sorted = digests[order], shard_of[order], row_of[order]
        return self._sorted

    def _open(self, path: Path) -> Shard | None:
        try:
            shard = Shard.open(path)
            if shard.shape[1] != self.width:
                raise DamagedShardError(f"it has {shard.shape[1]} features")
            return shard
        except DamagedShardError as error:
            self._forget(path, str(error))
        except OSError:  # Another process has removed it, or this one must not read it.
            return None
        return None

    def _forget(self, path: Path, reason: str) -> None:
        self._say(f"{shown(path)} is damaged ({reason}): its features are computed anew")
        try:
            path.unlink(missing_ok=True)
        except OSError:  # A cache that is only read stays as it is.
            return


def _fault(shard: Shard) -> str:
    try:
        shard.verify()
    except (DamagedShardError, OSError) as error:
        return str(error) or "it cannot be read"
    return ""


def _reason(error: OSError, folder: Path) -> OutputError:
    return error if isinstance(error, OutputError) else OutputError.of(error, folder)


def _slug(name: str) -> str:
    """The name of a backbone as a part of the name of a folder."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", name).strip("-.")[-60:]


def described(folder: Path) -> dict[str, object]:
    """What a folder of features says of its backbone; empty if it says nothing."""
    try:
        return DESCRIPTION.read(folder / ABOUT)
    except RunError:
        return {}
