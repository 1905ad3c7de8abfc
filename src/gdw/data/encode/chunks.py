"""Long data in parts, so that what is worked on at a time stays small."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def chunks(length: int, size: int) -> list[NDArray[np.int64]]:
    """The indices below `length` in runs of at most `size`."""
    return [np.arange(start, min(start + size, length)) for start in range(0, length, size)]
