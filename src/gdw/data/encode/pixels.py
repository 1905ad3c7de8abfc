"""The encoder of arrays of images: any numeric scale becomes uint8, and grey becomes three channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdw.data.encode.encoder import MeanStd, require_kind, write_settings
from gdw.data.encode.image import (
    channel_statistics,
    evenly_spaced,
    read_mean_std,
    square,
)
from gdw.data.examples import Inputs
from gdw.data.source import Source, chunks
from gdw.errors import DataError
from gdw.files.memory import memory_share
from gdw.files.representation import ShortRepr

CHUNK = 4096
STATISTICS_SAMPLE = 5000

# The values of white that are in common use: binary images or unit floats, 4-bit scans (scikit-learn's
# digits), bytes, 12-bit and 16-bit scans.
WHITES = (1.0, 16.0, 255.0, 4095.0, 65535.0)


@dataclass(frozen=True, eq=False, repr=False)
class PixelEncoder(ShortRepr):
    """Encodes images `(N, H, W)` or `(N, H, W, 3)` of any numeric type as uint8 `(N, 3, H, W)`.

    All images are converted at once if the result needs at most `memory_limit` bytes. They are converted
    batch by batch if it needs more, or if the images are bytes of the right size already.

    Attributes:
        shape: the height and width of the encoded images.
        resized: whether images are resized, to squares.
        black, white: the pixel values that become 0 and 255. Values outside are clipped.
        mean_std: the mean and standard deviation of each channel over the training images.
        memory_limit: in bytes; default: `memory_share()` at the time of encoding.
    """

    shape: tuple[int, int]
    resized: bool
    black: float
    white: float
    mean_std: MeanStd
    memory_limit: int | None = None
    name: ClassVar[str] = "pixels"
    kind: ClassVar[Literal["array"]] = "array"

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (3, *self.shape)

    @classmethod
    def fit(cls, source: Source, *, image_size: int | None) -> PixelEncoder:
        images = source.array(evenly_spaced(len(source), STATISTICS_SAMPLE))
        height, width = _shape(images, source)
        black, white = value_range(source)
        resized = image_size is not None
        side = (image_size, image_size) if image_size is not None else (height, width)
        unfinished = cls(side, resized, black, white, ((0.0,) * 3, (1.0,) * 3))
        mean_std = channel_statistics(_channels_first(unfinished.quantize(images)))
        return cls(side, resized, black, white, mean_std)

    def encode(self, source: Source) -> Inputs:
        require_kind(source, "array")
        first = source.array(np.arange(min(1, len(source))))
        height, width = _shape(first, source)
        if not self.resized and (height, width) != self.shape:
            raise DataError(
                f"expected images of {self.shape[0]} x {self.shape[1]} pixels as in training, found "
                f"{height} x {width} in {source.origin}: resize them, or train with image_size="
            )
        channels = 3 if first.ndim == 4 and first.shape[3] == 3 else 1
        limit = memory_share() if self.memory_limit is None else self.memory_limit
        size = len(source) * channels * self.shape[0] * self.shape[1]
        # Bytes of the right size can be read where they are, as fast as from a copy.
        if size > limit or (self._are_bytes(first) and not self.resized):
            return PixelsOnDemand(source, self)
        pixels = np.empty((len(source), *self.shape, channels), dtype=np.uint8)
        for indices in chunks(len(source), CHUNK):
            pixels[indices] = self.quantize(source.array(indices))
        return PixelInputs(pixels)

    def _are_bytes(self, images: NDArray[Any]) -> bool:
        return images.dtype == np.uint8 and self.black == 0 and self.white == 255

    def quantize(self, images: NDArray[Any]) -> NDArray[np.uint8]:
        """Images `(B, H, W[, C])` as bytes `(B, *shape, C)`, C being 1 or 3."""
        if images.ndim == 3:
            images = images[..., None]
        if not self._are_bytes(images):
            unit = (images.astype(np.float64) - self.black) / (self.white - self.black)
            images = np.rint(unit.clip(0, 1) * 255).astype(np.uint8)
        return self._resize(images) if self.resized else images

    def _resize(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        from PIL import Image

        channels = images.shape[3]
        out = np.empty((len(images), *self.shape, channels), dtype=np.uint8)
        for position, image in enumerate(images):
            picture = Image.fromarray(np.ascontiguousarray(image.repeat(3 // channels, axis=2)))
            out[position] = square(picture, self.shape[0]).transpose(1, 2, 0)[..., :channels]
        return out

    def save(self, folder: Path) -> None:
        mean, std = self.mean_std
        settings = {
            "shape": self.shape,
            "resized": self.resized,
            "black": self.black,
            "white": self.white,
            "mean": mean,
            "std": std,
        }
        write_settings(folder, self.name, settings)

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> PixelEncoder:  # noqa: ARG003
        height, width = (int(size) for size in settings["shape"])
        black, white = float(settings["black"]), float(settings["white"])
        if not black < white:
            raise ValueError(f"black {black} is not below white {white}")
        resized = bool(settings["resized"])
        return cls((height, width), resized, black, white, read_mean_std(settings))


class PixelInputs:
    """Bytes `(N, H, W, 1)` or `(N, H, W, 3)`, read as batches `(B, 3, H, W)`. Grey is stored once."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, indices: Sequence[int] | NDArray[np.int64], /) -> Tensor:
        return _channels_first(self.pixels[np.asarray(indices, dtype=np.int64)])


class PixelsOnDemand:
    """Images of a source that `encoder` converts when a batch is read: uint8 `(B, 3, H, W)`."""

    def __init__(self, source: Source, encoder: PixelEncoder) -> None:
        self.source = source
        self.encoder = encoder
        self.on_demand = encoder.resized

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, indices: Sequence[int] | NDArray[np.int64], /) -> Tensor:
        images = self.source.array(np.asarray(indices, dtype=np.int64))
        return _channels_first(self.encoder.quantize(images))


def _channels_first(pixels: NDArray[np.uint8]) -> Tensor:
    """Bytes `(B, H, W, 1 or 3)` as `(B, 3, H, W)`, contiguous."""
    images = torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))
    return images.expand(-1, 3, -1, -1).contiguous()


def quantizer(
    source: Source, black: float, white: float
) -> Callable[[NDArray[Any]], NDArray[np.uint8]]:
    """The function from images of `source`, as `Source.array` gives them, to bytes `(B, H, W, C)`.

    Raises:
        DataError: the arrays are not images.
    """
    shape = _shape(source.array(np.arange(min(1, len(source)))), source)
    return PixelEncoder(shape, False, black, white, ((0.0,) * 3, (1.0,) * 3)).quantize


def _shape(images: NDArray[Any], source: Source) -> tuple[int, int]:
    if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] not in (1, 3)):
        raise DataError(
            f"expected images of shape (N, H, W) or (N, H, W, 3), found {images.shape} in "
            f"{source.origin}: put the channels last"
        )
    return int(images.shape[1]), int(images.shape[2])


def value_range(source: Source) -> tuple[float, float]:
    """The values of black and white: 0 and 255 for bytes, else the nearest common scale of all pixels."""
    lows, highs = [], []
    for indices in chunks(len(source), CHUNK):
        images = source.array(indices)
        if images.dtype == np.uint8:
            return 0.0, 255.0
        lows.append(float(images.min()))
        highs.append(float(images.max()))
    low, high = min(lows), max(highs)
    if low >= 0:
        return 0.0, next((white for white in WHITES if high <= white), high)
    return low, high if high > low else low + 1.0
