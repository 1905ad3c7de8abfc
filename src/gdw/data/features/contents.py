"""What the cache of features holds, and removing it. Nothing here imports PyTorch."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from gdw.data.features.cache_folder import features_folder
from gdw.data.features.shard import SUFFIX, DamagedShardError, Shard
from gdw.data.features.store import ABOUT, described
from gdw.errors import ConfigError, OutputError, listed, nearest

_SECONDS = {"h": 3600, "d": 86400, "w": 7 * 86400}


@dataclass(frozen=True)
class CachedBackbone:
    """The features of one backbone in the cache.

    Attributes:
        folder: with its files.
        name: of the backbone, or of the folder if it does not say.
        precision: of the numbers in the network: "float32" or "bfloat16".
        rows: the number of examples, or of views of them.
        size: in bytes, of all files.
        used: when features were used last, in seconds since 1970.
    """

    folder: Path
    name: str
    precision: str
    rows: int
    size: int
    used: float


def cached_backbones() -> list[CachedBackbone]:
    """The backbones whose features are in the cache, the last used one first.

    Raises:
        OutputError: the cache cannot be read.
    """
    folder = features_folder()
    if not folder.is_dir():
        return []
    try:
        found = [_read(Path(entry.path)) for entry in os.scandir(folder) if entry.is_dir()]
    except OSError as error:
        raise OutputError.of(error, folder) from error
    return sorted(found, key=lambda one: (-one.used, one.name))


def chosen_backbones(
    backbones: Iterable[CachedBackbone],
    *,
    name: str | None = None,
    older_than: str | None = None,
) -> list[CachedBackbone]:
    """Those with this name whose features were not used for so long; both are optional.

    Args:
        backbones: to choose from.
        name: of a backbone.
        older_than: a number with a unit, such as "12h", "30d" or "4w".

    Raises:
        ConfigError: there is no such backbone in the cache, or the time is none.
    """
    chosen = list(backbones)
    if name is not None:
        known = sorted({one.name for one in chosen})
        if name not in known:
            there = f"it has {listed(known)}" if known else "it is empty"
            raise ConfigError(
                f"--backbone: the cache has no features of {name!r}: {there}.{nearest(name, known)}"
            )
        chosen = [one for one in chosen if one.name == name]
    if older_than is not None:
        latest = time.time() - _seconds(older_than)
        chosen = [one for one in chosen if one.used < latest]
    return chosen


def remove(backbones: Iterable[CachedBackbone]) -> None:
    """Remove their features.

    Raises:
        OutputError: a file cannot be removed.
    """
    for one in backbones:
        try:
            shutil.rmtree(one.folder)
        except FileNotFoundError:  # Another process has removed it.
            continue
        except OSError as error:
            raise OutputError.of(error, error.filename or one.folder) from error


def _seconds(text: str) -> float:
    number, unit = text[:-1].strip(), text[-1:].lower()
    if unit not in _SECONDS or not number.isdecimal():
        raise ConfigError(
            f"--older-than: expected a number of hours, days or weeks such as 12h, 30d or 4w, found {text!r}"
        )
    return int(number) * _SECONDS[unit]


def _read(folder: Path) -> CachedBackbone:
    files = [entry.stat() for entry in os.scandir(folder) if entry.is_file()]
    about = described(folder)
    used = folder / ABOUT if (folder / ABOUT).exists() else folder
    return CachedBackbone(
        folder,
        str(about.get("name", folder.name)),
        str(about.get("precision", "float32")),
        sum(map(_rows, folder.glob(f"[!.]*{SUFFIX}"))),
        sum(file.st_size for file in files),
        used.stat().st_mtime,
    )


def _rows(path: Path) -> int:
    try:
        return Shard.open(path).shape[0]
    except (DamagedShardError, OSError):
        return 0
