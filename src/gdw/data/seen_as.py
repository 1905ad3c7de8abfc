"""What a backbone sees of data. Nothing here imports PyTorch."""

from __future__ import annotations

import numpy as np

from gdw.data.source import Source


def seen_as(source: Source) -> str:
    """What a backbone sees of `source`: "image", "text", "table" or "numbers"."""
    if source.kind != "array":
        return source.kind
    return "image" if source.array(np.arange(1)).ndim > 2 else "numbers"
