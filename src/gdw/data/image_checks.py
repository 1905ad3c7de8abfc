"""Images that cannot be read: found before the training, and left out if the user wants."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gdw.data.images import fault, named, path_of
from gdw.data.source import Source
from gdw.errors import DataError, counted

if TYPE_CHECKING:
    from gdw.data.features.known_images import KnownImages

SKIP = "--skip-broken (skip_broken=True) leaves such images out"
"""What a run can do about images that cannot be read."""

_SHOWN = 3
_ROWS_AT_ONCE = 1024
_IMAGES_PER_TASK = 32
_IN_FILES = (str, Path, bytes, dict, type(None))


def check_images(
    source: Source, *, threads: int | None = None, remedy: str = "gdw.data.broken_images lists all"
) -> None:
    """Read every image of `source`, so that a damaged one is found before the training and not during it.

    Args:
        source: the examples. Nothing is done unless they are images.
        threads: the number of threads; default: one per processor.
        remedy: what to do other than to repair or remove the images, for the message.

    Raises:
        DataError: an image cannot be read. The message names the first one and says how many there are.
    """
    broken = broken_images(source, threads=threads)
    if broken:
        position, _ = broken[0]
        value = _values(source, slice(position, position + 1))[0]
        reason = fault(value, source.rows.folder)
        more = "" if len(broken) == 1 else f" ({len(broken):,} images cannot be read)"
        raise DataError(f"{source.where(position)}: {reason}{more}: repair or remove it; {remedy}")


def broken_images(
    images: Source | Sequence[Any], *, threads: int | None = None
) -> list[tuple[int, str]]:
    """Find the images that cannot be read: damaged, empty, missing, too large or of an unknown format.

    >>> broken_images(["photos/holiday.jpg"])
    [(0, 'there is no such file (a relative path starts at the folder of the data file)')]

    Args:
        images: N examples of a `Source`; or N paths of image files, encoded images as bytes, or mappings with
            "bytes" and "path". Pictures and arrays in memory count as readable.
        threads: the number of threads; default: one per processor.

    Returns:
        The position of each image that cannot be read, from 0, and why.
    """
    in_memory = set[int]()
    if not isinstance(images, Source):
        in_memory = {i for i, image in enumerate(images) if not isinstance(image, _IN_FILES)}
    elif images.kind != "image":
        return []
    reasons = enumerate(_reasons(images, threads))
    return [(i, reason) for i, reason in reasons if reason is not None and i not in in_memory]


def _reasons(images: Source | Sequence[Any], threads: int | None) -> Iterator[str | None]:
    """Why each image cannot be read, or None."""
    from gdw.data.features.known_images import KnownImages

    folder, known = images.rows.folder if isinstance(images, Source) else Path(), KnownImages()
    with ThreadPoolExecutor(threads or os.cpu_count()) as pool:
        for start in range(0, len(images), _ROWS_AT_ONCE):
            values = _values(images, slice(start, start + _ROWS_AT_ONCE))
            # With one task per image, small images would spend more time in the queue than in the decoder.
            tasks = [
                values[i : i + _IMAGES_PER_TASK] for i in range(0, len(values), _IMAGES_PER_TASK)
            ]
            yield from chain.from_iterable(
                pool.map(partial(_faults, folder=folder, known=known), tasks)
            )


def without_broken(source: Source) -> Source:
    """The examples of `source` whose images can be read; `skipped` and a note name the others.

    Raises:
        DataError: none can be read.
    """
    broken = dict(broken_images(source))  # empty unless the examples are images
    if not broken:
        return source
    if len(broken) == len(source):
        none = f" (none of the {len(source):,} images can be read)" if len(source) > 1 else ""
        raise DataError(
            f"{source.where(0)}: {broken[0]}{none}: expected at least one readable image"
        )
    kept = source.select(np.delete(np.arange(len(source)), list(broken)))
    skipped = tuple((int(source.row_numbers[i]), reason) for i, reason in broken.items())
    return replace(kept, skipped=skipped, notes=(*source.notes, _note(source, broken)))


def checked(source: Source, *, skip: bool) -> Source:
    """`source` with every image readable: without the others if `skip`, else they are a `DataError`."""
    if source.kind == "image":
        if skip:
            return without_broken(source)
        check_images(source, remedy=SKIP)
    return source


def _note(source: Source, broken: Mapping[int, str]) -> str:
    are = counted(len(broken), "image cannot be read and is", "images cannot be read and are")
    first = [f"{_place(source, i)} ({reason})" for i, reason in list(broken.items())[:_SHOWN]]
    rest = f"; and {len(broken) - _SHOWN:,} more" if len(broken) > _SHOWN else ""
    return f"{are} left out: {'; '.join(first)}{rest}"


def _place(source: Source, i: int) -> str:
    """The place of an image in words, with its path if there is one."""
    place, path = source.where(i), path_of(_values(source, slice(i, i + 1))[0])
    return place if not path or place.endswith(path) else f"{path} in {place}"


def _values(images: Source | Sequence[Any], part: slice) -> list[Any]:
    if isinstance(images, Source):
        return images.rows.values(images.feature_columns[0], images.row_numbers[part])
    return list(images[part])


def _faults(values: list[Any], folder: Path, known: KnownImages) -> list[str | None]:
    """What is wrong with each image, without its name. Images whose features are known can be read."""
    faults = [
        (value, None if known.has(value, folder) else fault(value, folder)) for value in values
    ]
    return [
        None if reason is None else reason.removeprefix(f"cannot read the image{named(value)}: ")
        for value, reason in faults
    ]
