"""One file of features with the digests of the examples that they belong to.

A shard is an `.npy` file of float32 `(n, F)`, so that NumPy reads the features alone. After them stand n
digests of 16 bytes, n bytes that say whether the example was cut, and the checksums of both parts. The file
is written whole or not at all, so a reader in another process needs no lock.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gdw.data.features.digests import SIZE, Digests
from gdw.files.documents import write_atomically

SUFFIX = ".npy"

_MAGIC = b"GDWFEAT1"
# The mark, the number of rows, the checksum of the features, the checksum of digests and bytes.
_TRAILER = struct.Struct("<8sQII")
_BYTES_AT_ONCE = 1 << 20

Features = NDArray[np.float32]


class DamagedShardError(Exception):
    """A file of features is damaged. It never leaves `gdw.data.features`."""


@dataclass(eq=False)
class Shard:
    """n rows of features, in a file or in memory.

    Attributes:
        digests: `(n,)`, of the examples.
        cut: booleans `(n,)`, whether the example was longer than the backbone takes.
        shape: n and F.
        path: the file; None if the rows are in memory.
    """

    digests: Digests
    cut: NDArray[np.bool_]
    shape: tuple[int, int]
    path: Path | None = None
    _offset: int = 0
    _checksum: int = 0
    _rows: Features | None = field(default=None, repr=False)

    @classmethod
    def in_memory(cls, digests: Digests, rows: Features, cut: NDArray[np.bool_]) -> Shard:
        """A shard without a file."""
        return cls(digests, cut, (len(rows), rows.shape[1]), _rows=rows)

    @classmethod
    def open(cls, path: Path) -> Shard:
        """Open a file and check its digests; `verify` checks the features.

        Raises:
            DamagedShardError: the file is not a whole shard.
            OSError: it cannot be read.
        """
        with path.open("rb") as file:
            try:
                return cls._read(path, file)
            except (ValueError, EOFError, struct.error) as error:
                raise DamagedShardError(str(error)) from error

    @classmethod
    def _read(cls, path: Path, file: BinaryIO) -> Shard:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - _TRAILER.size))
        magic, n, checksum, of_digests = _TRAILER.unpack(file.read())
        end = size - _TRAILER.size - n * (SIZE + 1)
        if magic != _MAGIC or end < 0:
            raise ValueError("its end is missing")
        file.seek(end)
        index = file.read(n * (SIZE + 1))
        file.seek(0)
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        offset = file.tell()
        if zlib.crc32(index) != of_digests or dtype != np.float32 or len(shape) != 2:
            raise ValueError("its index is damaged")
        if shape[0] != n or offset + 4 * n * shape[1] != end:
            raise ValueError("its length is wrong")
        digests = np.frombuffer(index, dtype=f"S{SIZE}", count=n)
        cut = np.frombuffer(index, dtype=np.bool_, offset=n * SIZE)
        return cls(digests, cut, shape, path, offset, checksum)

    def verify(self) -> None:
        """Compare the features with their checksum.

        Raises:
            DamagedShardError: they have changed.
        """
        if self.path is None:
            return
        left, checksum = 4 * self.shape[0] * self.shape[1], 0
        with self.path.open("rb") as file:
            file.seek(self._offset)
            while left and (part := file.read(min(left, _BYTES_AT_ONCE))):
                checksum, left = zlib.crc32(part, checksum), left - len(part)
        if checksum != self._checksum:
            raise DamagedShardError("its checksum is wrong")

    @property
    def rows(self) -> Features:
        """The features `(n, F)`, mapped from the file."""
        if self._rows is None:
            assert self.path is not None, "rows in memory are given"
            # As a plain array: the class of NumPy for maps takes its time for each selection.
            mapped = np.memmap(self.path, np.float32, "r", self._offset, self.shape)
            self._rows = np.asarray(mapped)
        return self._rows

    def __getstate__(self) -> dict[str, Any]:
        # A process that gets a shard maps the file itself; the pickled map would hold all of its rows.
        return {**vars(self), "_rows": self._rows if self.path is None else None}


def write_shard(path: Path, digests: Digests, rows: Features, cut: NDArray[np.bool_]) -> None:
    """Write features `(n, F)` and their digests to `path`, whole or not at all.

    Raises:
        OutputError: the disk is full or read-only.
    """
    write_atomically(path, _writer(digests, np.ascontiguousarray(rows, dtype=np.float32), cut))


def _writer(digests: Digests, rows: Features, cut: NDArray[np.bool_]) -> Callable[[Path], None]:
    index = np.ascontiguousarray(digests, dtype=f"S{SIZE}").tobytes() + cut.tobytes()

    def write(path: Path) -> None:
        trailer = _TRAILER.pack(_MAGIC, len(rows), zlib.crc32(rows.data), zlib.crc32(index))
        with path.open("wb") as file:
            np.lib.format.write_array(file, rows, version=(1, 0))
            file.write(index + trailer)

    return write
