"""Independent random streams from one seed; global random state is never used."""

from __future__ import annotations

import zlib

import numpy as np

from gdw.errors import ConfigError


def generator(seed: int, *key: str | int) -> np.random.Generator:
    """A generator that is a function of `seed` and `key` alone.

    Different keys give independent streams: noise, splits and batch order drawn from the same seed are not
    correlated.

    Args:
        seed: 0 or more.
        key: what the stream is for, such as `"epoch", 3`.

    Raises:
        ConfigError: the seed is negative.
    """
    if seed < 0:
        raise ConfigError(f"a seed must be 0 or more, found {seed}: choose a non-negative integer")
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else part for part in key]
    return np.random.default_rng([seed, *words])
