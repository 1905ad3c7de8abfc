"""Digests of examples: equal contents have equal digests, whatever file, row or data set they are in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

SIZE = 16

Digests = NDArray[np.bytes_]
"""Digests of N examples, `(N,)` of type S16. NumPy drops zeros at the end, which does not matter: all
digests have the same length."""


def digest(*parts: bytes) -> bytes:
    """The digest of the contents of one example, 16 bytes."""
    found = blake2b(digest_size=SIZE)
    for part in parts:
        found.update(part)
    return found.digest()


def as_array(digests: Iterable[bytes]) -> Digests:
    """Digests of 16 bytes each as an array `(N,)`."""
    return np.frombuffer(b"".join(digests), dtype=f"S{SIZE}")


def as_bytes(digests: Digests) -> list[bytes]:
    """The digests `(N,)` with 16 bytes each."""
    content = np.ascontiguousarray(digests).tobytes()
    return [content[i : i + SIZE] for i in range(0, len(content), SIZE)]


def derived(digests: Digests, word: str) -> Digests:
    """Other digests of the same examples `(N,)`: those of a change to each example that `word` names."""
    change = word.encode()
    return as_array(digest(one, change) for one in as_bytes(digests))


def of_texts(texts: Sequence[str]) -> Digests:
    """The digests of texts `(N,)`, of their bytes in UTF-8."""
    return as_array(digest(text.encode("utf-8", "surrogatepass")) for text in texts)
