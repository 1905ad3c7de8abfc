"""Raw examples of each kind for a backbone: their digests, without decoding, and themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gdw.data.features.digests import Digests, as_array, derived, digest, of_texts
from gdw.data.grey_range import GreyRange
from gdw.data.images import content
from gdw.data.source import Source
from gdw.errors import DataError

# Decoded at this many times the side that is needed, or more, a photo looks the same after it was resized.
_ENOUGH = 4

Indices = NDArray[np.int64]


class RawExamples(Protocol):
    """N examples that a backbone turns into features.

    Attributes:
        noun: what they are, in messages: "image" or "text".
    """

    @property
    def noun(self) -> str: ...

    def __len__(self) -> int: ...

    def digests(self, indices: Indices) -> Digests:
        """The digests `(B,)` of the examples at `indices` `(B,)`: equal contents have equal ones."""
        ...

    def read(self, indices: Indices) -> list[Any]:
        """The images of Pillow in RGB, or the texts, at `indices`."""
        ...

    def lengths(self, indices: Indices) -> NDArray[np.int64] | None:
        """How long the examples are; None if all take the same time."""
        ...

    def where(self, index: int) -> str:
        """The place of an example in words."""
        ...


class ImageFiles:
    """Image files, or encoded images in the cells of a table.

    Args:
        source: the images.
        grey: the values of black and white in grey images of more than 8 bits; None: each by its own range.
        side: of the squares that the network sees. A much larger photo is decoded at a part of its size.
            0: decode all pixels.
    """

    noun = "image"

    def __init__(self, source: Source, grey: GreyRange | None = None, *, side: int = 0) -> None:
        self._source, self._grey, self._enough = source, grey, _ENOUGH * side
        self.where = source.where

    def __len__(self) -> int:
        return len(self._source)

    def digests(self, indices: Indices) -> Digests:
        """Those of the files as they are; `DataError` names a file that is missing."""
        source = self._source
        values = source.rows.values(source.feature_columns[0], source.row_numbers[indices])
        found = []
        for position, value in enumerate(values):
            try:
                found.append(digest(content(value, source.rows.folder)))
            except (OSError, DataError):
                self.read(indices[position : position + 1])  # raises the error that names the row
                raise
        digests = as_array(found)
        # With another range, images of 16 bits have other pixels.
        return digests if self._grey is None else derived(digests, f"grey {self._grey}")

    def read(self, indices: Indices) -> list[Any]:
        """Decode the images; `DataError` names one that cannot be read."""
        return self._source.images(indices, grey=self._grey, at_least=self._enough)

    def lengths(self, indices: Indices) -> None:
        """Images become squares of one size."""


class Pixels:
    """Images in an array.

    Args:
        source: arrays `(N, H, W)` or `(N, H, W, 3)`.
        quantize: makes bytes `(B, H, W, C)` of them.
    """

    noun = "image"

    def __init__(
        self, source: Source, quantize: Callable[[NDArray[Any]], NDArray[np.uint8]]
    ) -> None:
        self._source, self._quantize = source, quantize
        self.where = source.where

    def __len__(self) -> int:
        return len(self._source)

    def digests(self, indices: Indices) -> Digests:
        """Those of the bytes that the network sees, and of the shape."""
        images = self._quantize(self._source.array(indices))
        shape = repr(images.shape[1:]).encode()
        return as_array(digest(shape, image.tobytes()) for image in images)

    def read(self, indices: Indices) -> list[Any]:
        """The images of Pillow in RGB."""
        from PIL import Image

        images = self._quantize(self._source.array(indices))
        colours = np.broadcast_to(images, (*images.shape[:3], 3))
        return [Image.fromarray(np.ascontiguousarray(image)) for image in colours]

    def lengths(self, indices: Indices) -> None:
        """All images have one size."""


class Texts:
    """Texts; a missing text is empty."""

    noun = "text"

    def __init__(self, source: Source) -> None:
        self._source = source
        self.where = source.where

    def __len__(self) -> int:
        return len(self._source)

    def digests(self, indices: Indices) -> Digests:
        """Those of the characters."""
        return of_texts(self._source.texts(indices))

    def read(self, indices: Indices) -> list[Any]:
        """The texts."""
        return list(self._source.texts(indices))

    def lengths(self, indices: Indices) -> NDArray[np.int64]:
        """The numbers of characters."""
        return np.array([len(text) for text in self._source.texts(indices)], dtype=np.int64)
