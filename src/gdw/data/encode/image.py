"""Image files: squares of one size, decoded once if they fit in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import get_worker_info

from gdw.data.checking import check_images
from gdw.data.encode.channels import MeanStd, channel_statistics
from gdw.data.encode.chunks import chunks
from gdw.data.encode.contract import require_kind
from gdw.data.encode.store import write_settings
from gdw.data.examples import Inputs
from gdw.data.source import Source
from gdw.errors import DataError

# Of systems that do not say how much memory is free.
UNKNOWN_MEMORY = 8 * 2**30
SIZE_SAMPLE = 64
STATISTICS_SAMPLE = 1000
SMALL, LARGE = 32, 224

# The most images that one thread decodes at a time: enough to hide the hand-over, few enough to stay small
# when the originals are photographs.
CHUNK = 64


@dataclass(frozen=True, eq=False)
class ImageEncoder:
    """RGB squares, uint8 `(N, 3, S, S)`: the shorter side resized to S, the middle of the longer kept.

    Decoded into memory at once when that takes up to `memory_limit` bytes (default: `memory_share()` at
    that time), else batch by batch.
    """

    image_size: int
    mean_std: MeanStd
    memory_limit: int | None = None
    # what `fit` decoded, for as long as someone holds it: `encode` of the same source need not again
    _decoded: WeakKeyDictionary[Source, Tensor] = field(
        default_factory=WeakKeyDictionary, init=False, repr=False
    )
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
        chosen = spread(len(source), STATISTICS_SAMPLE)
        if _bytes(source, image_size) > memory_share():
            return cls(image_size, channel_statistics(decode_squares(source, chosen, image_size)))
        images = _all_squares(source, image_size)
        encoder = cls(image_size, channel_statistics(images[torch.from_numpy(chosen)]))
        encoder._decoded[source] = images
        return encoder

    def encode(self, source: Source) -> Inputs:
        require_kind(source, "image")
        decoded = self._decoded.pop(source, None)
        if decoded is not None:
            return decoded
        limit = memory_share() if self.memory_limit is None else self.memory_limit
        if _bytes(source, self.image_size) > limit:
            return ImagesOnDemand(source, self.image_size)
        return _all_squares(source, self.image_size)

    def save(self, folder: Path) -> None:
        mean, std = self.mean_std
        settings = {"image_size": self.image_size, "mean": mean, "std": std}
        write_settings(folder, self.name, settings)

    @classmethod
    def load(cls, folder: Path, settings: dict[str, Any]) -> ImageEncoder:  # noqa: ARG003
        return cls(int(settings["image_size"]), read_mean_std(settings))


class ImagesOnDemand:
    """Images too many to hold, decoded when a batch asks for them: `(B, 3, S, S)` uint8.

    `on_demand` tells loaders that a batch takes long and is better made ahead of its use.
    """

    on_demand = True

    def __init__(self, source: Source, image_size: int) -> None:
        self.source = source
        self.image_size = image_size

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, indices: Sequence[int] | NDArray[np.int64], /) -> Tensor:
        return decode_squares(self.source, np.asarray(indices, dtype=np.int64), self.image_size)


def _bytes(source: Source, size: int) -> int:
    return len(source) * 3 * size**2


def _all_squares(source: Source, size: int) -> Tensor:
    try:
        return decode_squares(source, np.arange(len(source)), size)
    except DataError:
        # says how many more there are
        check_images(source)
        raise


def decode_squares(source: Source, indices: NDArray[np.int64], size: int) -> Tensor:
    """The images at `indices` `(B,)` as uint8 `(B, 3, S, S)`; `DataError` names an unreadable one."""
    out = np.empty((len(indices), 3, size, size), dtype=np.uint8)

    def fill(positions: NDArray[np.int64]) -> None:
        for position, image in zip(positions, source.images(indices[positions]), strict=True):
            out[position] = square(image, size)

    # Pillow decodes and resizes outside the interpreter's lock; processes that load have no cores to spare
    threads = 1 if get_worker_info() is not None else min(8, os.cpu_count() or 1)
    share = max(1, min(CHUNK, -(-len(indices) // threads)))
    with ThreadPoolExecutor(threads) as pool:
        pending = [pool.submit(fill, positions) for positions in chunks(len(indices), share)]
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


def memory_share() -> int:
    """Bytes that one set of decoded images may take: half of what is free, shared by the machine's processes.

    The other half is for the model, its gradients and the sets that follow.
    """
    processes = os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("WORLD_SIZE") or "1"
    return free_memory() // 2 // max(1, int(processes))


def free_memory(root: Path = Path("/")) -> int:
    """Bytes that can be taken now without swapping, in the machine and in the control group of a container.

    `root` is where `/proc` and `/sys` are. Systems without them get a careful guess.
    """
    free = [UNKNOWN_MEMORY]
    table = _numbers(root / "proc/meminfo")
    if "MemAvailable" in table:
        free = [table["MemAvailable"] * 1024]
    for limit, usage, stat, cache in (
        ("memory.max", "memory.current", "memory.stat", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat",
         "total_inactive_file"),
    ):  # fmt: skip
        group = root / "sys/fs/cgroup"
        most, used = _number(group / limit), _number(group / usage)
        if most is not None and used is not None:
            # the cache of files counts as used, but gives way
            free.append(max(0, most - used + _numbers(group / stat).get(cache, 0)))
    return min(free)


def _number(path: Path) -> int | None:
    """The number in a file; None when there is none (`max`, or no such file)."""
    try:
        text = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _numbers(path: Path) -> dict[str, int]:
    """The first number of each line by its name; empty when there is no such file."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except OSError:
        return {}
    words = [line.replace(":", " ").split() for line in lines]
    return {word[0]: int(word[1]) for word in words if len(word) > 1 and word[1].isdecimal()}
