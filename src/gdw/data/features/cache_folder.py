"""The folder on disk where gdw keeps what can be computed again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "GDW_CACHE"
"""The environment variable that names another folder."""


def cache_folder() -> Path:
    """The folder of the cache: `$GDW_CACHE`, else `gdw` in the folder that the system has for caches.

    The folder need not exist.
    """
    chosen = os.environ.get(VARIABLE)
    return Path(chosen).expanduser() if chosen else _of_system() / "gdw"


def features_folder() -> Path:
    """The folder in the cache that has one folder of features for each backbone."""
    return cache_folder() / "features"


def _of_system() -> Path:
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        return Path(local) if local else Path.home() / "AppData" / "Local"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    # The standard of freedesktop.org says that a relative path does not count.
    chosen = os.environ.get("XDG_CACHE_HOME", "")
    return Path(chosen) if Path(chosen).is_absolute() else Path.home() / ".cache"
