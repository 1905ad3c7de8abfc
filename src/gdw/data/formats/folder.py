"""A folder of class folders of images."""

from __future__ import annotations

import os
from pathlib import Path

from gdw.data.images import SUFFIXES, is_image_name
from gdw.data.rows import FolderRows
from gdw.errors import DataError
from gdw.files.wording import listed, shown


def open_folder(folder: Path) -> FolderRows:
    """All images below `folder`, sorted by path; hidden files and folders are left out.

    The label of an image is the first folder on its way (`cats/summer/1.jpg` is of class `cats`); one that is
    in no class folder has no label. Raises `DataError` when there is no image.
    """
    paths = sorted(_images(folder), key=os.fsencode)
    if not paths:
        tables = sorted(
            entry.name
            for entry in folder.iterdir()
            if entry.suffix in (".csv", ".parquet", ".jsonl")
        )
        hint = f" It holds {listed(tables, 3)}: name the file itself." if tables else ""
        raise DataError(
            f"the folder {shown(folder)} holds no images: expected one folder a class with "
            f"{', '.join(SUFFIXES[:3])}, ... files inside.{hint}"
        )
    labels = [shown(path.parts[0]) if len(path.parts) > 1 else None for path in paths]
    return FolderRows(folder, paths, labels)


def _images(folder: Path) -> list[Path]:
    """Relative paths of the images; links to folders are followed, but never in a circle."""
    found: list[Path] = []
    seen: set[tuple[int, int]] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        state = os.stat(parent)  # noqa: PTH116 - Path.stat has no advantage in os.walk's own terms
        if (state.st_dev, state.st_ino) in seen:
            folders.clear()
            continue
        seen.add((state.st_dev, state.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(parent).relative_to(folder)
        found += [here / n for n in files if is_image_name(n) and not n.startswith(".")]
    return found
