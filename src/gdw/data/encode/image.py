"""Image files: squares of one size, decoded once if they fit in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdw.data.encode.channels import MeanStd, channel_statistics
from gdw.data.encode.chunks import chunks
from gdw.data.encode.contract import require_kind
from gdw.data.encode.store import write_settings
from gdw.data.examples import Inputs
from gdw.data.source import Source

MEMORY_LIMIT = 4 * 2**30
SIZE_SAMPLE = 64
STATISTICS_SAMPLE = 1000
SMALL, LARGE = 32, 224

# Images that one thread decodes at a time: enough to hide the hand-over, few enough to stay small
# when the originals are photographs.
CHUNK = 64


@dataclass(frozen=True, eq=False)
class ImageEncoder:
    """RGB squares, uint8 `(N, 3, S, S)`: the shorter side resized to S, the middle of the longer kept.

    Decoded into memory at once when that takes up to `memory_limit` bytes, else batch by batch.
    """

    image_size: int
    mean_std: MeanStd
    memory_limit: int = MEMORY_LIMIT
    name: ClassVar[str] = "image"
    kind: ClassVar[Literal["image"]] = "image"

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (3, self.image_size, self.image_size)

    @classmethod
    def fit(cls, source: Source, *, image_size: int | None) -> ImageEncoder:
        if image_size is None:
            shorter = [min(image.size) for image in source.images(spread(len(source), SIZE_SAMPLE))]
            image_size = SMALL if float(np.median(shorter)) <= 2 * SMALL else LARGE
        sample = decode_squares(source, spread(len(source), STATISTICS_SAMPLE), image_size)
        return cls(image_size, channel_statistics(sample))

    def encode(self, source: Source) -> Inputs:
        require_kind(source, "image")
        if len(source) * 3 * self.image_size**2 <= self.memory_limit:
            return decode_squares(source, np.arange(len(source)), self.image_size)
        return ImagesOnDemand(source, self.image_size)

    def save(self, folder: Path) -> None:
        mean, std = self.mean_std
        settings = {"image_size": self.image_size, "mean": mean, "std": std}
        write_settings(folder, self.name, settings)

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> ImageEncoder:  # noqa: ARG003
        return cls(int(settings["image_size"]), read_mean_std(settings))


class ImagesOnDemand:
    """Images too many to hold, decoded when a batch asks for them: `(B, 3, S, S)` uint8."""

    def __init__(self, source: Source, image_size: int) -> None:
        self.source = source
        self.image_size = image_size

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, indices: Sequence[int] | NDArray[np.int64], /) -> Tensor:
        return decode_squares(self.source, np.asarray(indices, dtype=np.int64), self.image_size)


def decode_squares(source: Source, indices: NDArray[np.int64], size: int) -> Tensor:
    """The images at `indices` `(B,)` as uint8 `(B, 3, S, S)`; `DataError` names an unreadable one."""
    out = np.empty((len(indices), 3, size, size), dtype=np.uint8)

    def fill(positions: NDArray[np.int64]) -> None:
        for position, image in zip(positions, source.images(indices[positions]), strict=True):
            out[position] = square(image, size)

    # Pillow decodes and resizes outside the interpreter's lock
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        pending = [pool.submit(fill, positions) for positions in chunks(len(indices), CHUNK)]
        try:
            for task in pending:
                task.result()
        except BaseException:
            # one bad image must not wait for all the others
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return torch.from_numpy(out)


def square(image: Any, size: int) -> NDArray[np.uint8]:
    """A PIL image as `(3, size, size)`: shorter side resized with antialiasing, centre cropped."""
    from PIL import Image, ImageOps

    fitted = ImageOps.fit(image, (size, size), method=Image.Resampling.BILINEAR)
    pixels: NDArray[np.uint8] = np.asarray(fitted, dtype=np.uint8).transpose(2, 0, 1)
    return pixels


def spread(length: int, count: int) -> NDArray[np.int64]:
    """At most `count` indices below `length`, evenly apart: all classes of a sorted folder, no draw."""
    return np.unique(np.linspace(0, length - 1, min(count, length)).astype(np.int64))


def read_mean_std(settings: dict[str, Any]) -> MeanStd:
    mean = tuple(float(value) for value in settings["mean"])
    std = tuple(float(value) for value in settings["std"])
    if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
        raise ValueError(f"mean {mean} and std {std} are not those of three channels")
    return mean, std
