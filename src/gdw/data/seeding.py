"""Independent random streams from one seed: nothing here, or above, touches global random state."""

from __future__ import annotations

import zlib

import numpy as np

from gdw.errors import ConfigError


def generator(seed: int, *key: str | int) -> np.random.Generator:
    """A generator that is a pure function of `seed` and `key`.

    Different keys give independent streams, so that noise, splits and batch order drawn with the
    same seed are not accidentally correlated. Raises `ConfigError` for a negative seed.
    """
    if seed < 0:
        raise ConfigError(f"a seed must be 0 or more, found {seed}: choose a non-negative integer")
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key]
    return np.random.default_rng([seed, *words])
