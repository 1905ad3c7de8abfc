"""The encoder of image files: squares of one size, decoded once if they fit into memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from gdw.data.encode.encoder import MeanStd, require_kind, write_settings
from gdw.data.examples import Inputs
from gdw.data.grey_range import FORMER_RANGE, GreyRange, read_grey_range
from gdw.data.image_checks import check_images
from gdw.data.source import Source, chunks
from gdw.errors import DataError
from gdw.files.memory import memory_share
from gdw.files.representation import ShortRepr

SIZE_SAMPLE = 64
STATISTICS_SAMPLE = 1000
SMALL, LARGE = 32, 224

# The largest number of images that one thread decodes at a time. With fewer, the threads would wait for
# tasks; with more, decoded photographs would need much memory.
CHUNK = 64


@dataclass(frozen=True, eq=False, repr=False)
class ImageEncoder(ShortRepr):
    """Encodes images as RGB squares, uint8 `(N, 3, S, S)`: shorter side resized to S, centre cropped.

    All images are decoded at once if they need at most `memory_limit` bytes, otherwise batch by batch.

    Attributes:
        image_size: S.
        mean_std: the mean and standard deviation of each channel over the training images.
        grey: the values of black and white in grey images of more than 8 bits; None if the training images
            have none, so that each image is read by its own range.
        memory_limit: in bytes; default: `memory_share()` at the time of encoding.
        notes: one line each for the user, on pixels of the training images; they are not saved.
    """

    image_size: int
    mean_std: MeanStd
    grey: GreyRange | None = None
    memory_limit: int | None = None
    notes: tuple[str, ...] = field(default=(), repr=False)
    # The images that `fit` decoded, so that `encode` of the same source does not decode them again.
    _decoded: WeakKeyDictionary[Source, Tensor] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False
    )
    name: ClassVar[str] = "image"
    kind: ClassVar[Literal["image"]] = "image"

    def __reduce__(self) -> tuple[Any, ...]:
        # Without the decoded images, which cannot be pickled.
        return ImageEncoder, (
            self.image_size,
            self.mean_std,
            self.grey,
            self.memory_limit,
            self.notes,
        )

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (3, self.image_size, self.image_size)

    @classmethod
    def fit(cls, source: Source, *, image_size: int | None) -> ImageEncoder:
        with naming_all(source):
            return cls._fitted(source, image_size)

    @classmethod
    def _fitted(cls, source: Source, image_size: int | None) -> ImageEncoder:
        if image_size is None:
            shorter = [
                min(image.size) for image in source.images(evenly_spaced(len(source), SIZE_SAMPLE))
            ]
            image_size = SMALL if float(np.median(shorter)) <= 2 * SMALL else LARGE
        chosen = evenly_spaced(len(source), STATISTICS_SAMPLE)
        grey, notes = read_grey_range(source, evenly_spaced(len(source), SIZE_SAMPLE))
        if grey is not None:
            grey, notes = read_grey_range(source, chosen)
        if _bytes(source, image_size) > memory_share():
            sample = decode_squares(source, chosen, image_size, grey)
            return cls(image_size, channel_statistics(sample), grey, notes=notes)
        images = decode_squares(source, np.arange(len(source)), image_size, grey)
        statistics = channel_statistics(images[torch.from_numpy(chosen)])
        encoder = cls(image_size, statistics, grey, notes=notes)
        encoder._decoded[source] = images
        return encoder

    def encode(self, source: Source) -> Inputs:
        require_kind(source, "image")
        decoded = self._decoded.pop(source, None)
        if decoded is not None:
            return decoded
        limit = memory_share() if self.memory_limit is None else self.memory_limit
        if _bytes(source, self.image_size) > limit:
            return ImagesOnDemand(source, self.image_size, self.grey)
        with naming_all(source):
            return decode_squares(source, np.arange(len(source)), self.image_size, self.grey)

    def save(self, folder: Path) -> None:
        mean, std = self.mean_std
        settings = {"image_size": self.image_size, "mean": mean, "std": std, "grey": self.grey}
        write_settings(folder, self.name, settings)

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> ImageEncoder:  # noqa: ARG003
        # Encoders of 0.1.0 have no such entry.
        grey = settings.get("grey", FORMER_RANGE)
        if grey is not None:
            black, white = grey
            grey = float(black), float(white)
        return cls(int(settings["image_size"]), read_mean_std(settings), grey)


class ImagesOnDemand:
    """Images that do not fit into memory. They are decoded when a batch is read: uint8 `(B, 3, S, S)`.

    `on_demand` tells loaders that a batch takes long, so that worker processes should prepare it.
    """

    on_demand = True

    def __init__(self, source: Source, image_size: int, grey: GreyRange | None = None) -> None:
        self.source = source
        self.image_size = image_size
        self.grey = grey

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, indices: Sequence[int] | NDArray[np.int64], /) -> Tensor:
        chosen = np.asarray(indices, dtype=np.int64)
        return decode_squares(self.source, chosen, self.image_size, self.grey)


def _bytes(source: Source, size: int) -> int:
    return len(source) * 3 * size**2


@contextmanager
def naming_all(source: Source) -> Iterator[None]:
    """Inside, the error of an image that cannot be read also says how many there are, and what to do."""
    try:
        yield
    except DataError:
        check_images(source)
        raise


def decode_squares(
    source: Source, indices: NDArray[np.int64], size: int, grey: GreyRange | None = None
) -> Tensor:
    """The images at `indices` `(B,)` as uint8 `(B, 3, S, S)`; `DataError` names an unreadable one."""
    out = np.empty((len(indices), 3, size, size), dtype=np.uint8)

    def fill(positions: NDArray[np.int64]) -> None:
        for position, image in zip(
            positions, source.images(indices[positions], grey=grey), strict=True
        ):
            out[position] = square(image, size)

    # Pillow decodes and resizes without the interpreter's lock. A worker process of a loader uses one thread,
    # because the other workers use the other cores.
    threads = 1 if get_worker_info() is not None else min(8, os.cpu_count() or 1)
    share = max(1, min(CHUNK, -(-len(indices) // threads)))
    with ThreadPoolExecutor(threads) as pool:
        pending = [pool.submit(fill, positions) for positions in chunks(len(indices), share)]
        try:
            for task in pending:
                task.result()
        except BaseException:
            # The error of one image is raised at once, without waiting for the others.
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return torch.from_numpy(out)


def square(image: Any, size: int) -> NDArray[np.uint8]:
    """A PIL image as `(3, size, size)`: shorter side resized with antialiasing, centre cropped."""
    from PIL import Image, ImageOps

    fitted = ImageOps.fit(image, (size, size), method=Image.Resampling.BILINEAR)
    pixels: NDArray[np.uint8] = np.asarray(fitted, dtype=np.uint8).transpose(2, 0, 1)
    return pixels


def evenly_spaced(length: int, count: int) -> NDArray[np.int64]:
    """At most `count` equidistant indices below `length`, so that a sorted folder gives all its classes."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).astype(np.int64))


def read_mean_std(settings: dict[str, Any]) -> MeanStd:
    mean = tuple(float(value) for value in settings["mean"])
    std = tuple(float(value) for value in settings["std"])
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise ValueError(f"mean {mean} and std {std} are not those of three channels")
    return mean, std


def channel_statistics(images: Tensor) -> MeanStd:
    """The mean and standard deviation of each channel of uint8 images `(N, C, H, W)`, for pixels in [0, 1].

    A constant channel gets a standard deviation of 1, so that it becomes zero after normalisation.
    """
    pixels = images.double().transpose(0, 1).flatten(1) / 255
    std = pixels.std(dim=1, correction=0)
    std[std < 1e-6] = 1.0
    return tuple(pixels.mean(dim=1).tolist()), tuple(std.tolist())
