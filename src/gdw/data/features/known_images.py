"""Images that were decoded for features before: they need no check whether they can be decoded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gdw.data.features.cache_folder import features_folder
from gdw.data.features.digests import Digests, digest
from gdw.data.features.shard import SUFFIX, DamagedShardError, Shard
from gdw.data.images import content
from gdw.errors import DataError


class KnownImages:
    """The contents of all images in the cache of features."""

    def __init__(self) -> None:
        files = features_folder().glob(f"*/[!.]*{SUFFIX}")
        found = [digests for file in files if (digests := _digests(file)) is not None]
        self._sorted: Digests = np.sort(np.concatenate([np.empty(0, dtype="S16"), *found]))

    def has(self, value: Any, folder: Path) -> bool:
        """Whether the image in a cell was decoded before; for the arguments see `gdw.data.images.decode`."""
        if not len(self._sorted):
            return False
        try:
            key = np.array(digest(content(value, folder)), dtype="S16")
        except (OSError, DataError):
            return False
        at = min(int(np.searchsorted(self._sorted, key)), len(self._sorted) - 1)
        return bool(self._sorted[at] == key)


def _digests(path: Path) -> Digests | None:
    try:
        return Shard.open(path).digests
    except (DamagedShardError, OSError):
        return None
