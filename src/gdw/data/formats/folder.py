"""A folder of class folders of images; for predictions also images in any folders, or one image."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdw.data.formats.format import CopyPlan, Format
from gdw.data.images import IMAGE_SUFFIXES
from gdw.data.rows import Kind, Rows, suffixes
from gdw.data.text_files import ReadOptions
from gdw.errors import DataError, composed, counted, listed, shortened, shown

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


# The names of the parts of a split, beginning with the part to train on.
_PARTS = ("train", "training", "val", "valid", "validation", "dev", "test", "testing")
_SHOWN = 8


class FolderRows(Rows):
    """The image files below `folder`; the label of an image is the name of its class folder."""

    columns: tuple[str, ...] = ("image", "label")
    kind: Kind | None = "image"

    def __init__(
        self,
        folder: Path,
        paths: Sequence[Path],
        labels: Sequence[str | None],
        notes: tuple[str, ...] = (),
    ) -> None:
        self.folder = folder
        self.notes = notes
        self._paths = paths
        self._labels = labels

    def __len__(self) -> int:
        return len(self._paths)

    def arrow(self, column: str, rows: NDArray[np.int64] | None = None) -> Any:
        import pyarrow as pa

        chosen = range(len(self)) if rows is None else rows.tolist()
        if column == "label":
            _refuse_split(self.folder, self._paths)
            return pa.chunked_array([pa.array([self._labels[row] for row in chosen], pa.string())])
        return pa.chunked_array([pa.array([shown(self._paths[row]) for row in chosen])])

    def values(self, column: str, rows: NDArray[np.int64]) -> list[Any]:
        values: Sequence[Any] = self._labels if column == "label" else self._paths
        return [values[row] for row in rows.tolist()]

    def where(self, row: int) -> str:
        return shown(self.folder / self._paths[row])

    def unlabelled(self, row: int, column: str, others: int) -> str:
        if column != "label":
            return super().unlabelled(row, column, others)
        more = f", and neither are {others} more images" if others else ""
        return f"{self.where(row)} is not in the folder of a class{more}: move it into one, or remove it"


def open_folder(folder: Path, options: ReadOptions) -> FolderRows:  # noqa: ARG001
    """All images below `folder`, sorted by path, without hidden files and folders; or the image at `folder`.

    The label of an image is the first folder of its path: `cats/summer/1.jpg` has the label `cats`. An image
    that is not in a class folder has no label. Notes say which files and folders are not used. Folders that
    are the parts of a split, such as `train` and `test`, are refused when their labels are read.

    Raises:
        DataError: there are no images.
    """
    if not folder.is_dir():
        return FolderRows(folder.parent, [Path(folder.name)], [None])
    images, others, hidden = _images(folder)
    paths = sorted(images, key=os.fsencode)
    if not paths:
        raise DataError(
            f"the folder {shown(folder)} has no images: expected {', '.join(IMAGE_SUFFIXES[:3])}, ... files, "
            f"with labels in one folder per class.{_hint(folder)}"
        )
    labels = [shown(path.parts[0]) if len(path.parts) > 1 else None for path in paths]
    return FolderRows(
        folder, paths, labels, _notes(folder, others, hidden, {path.parts[0] for path in paths})
    )


def copy_folder(plan: CopyPlan, output: Path) -> None:
    """Copy the images to the new folder `output`; relabelled images go into the folder of their new class.

    If the name of a relabelled image exists in its new class, the old class becomes a part of the name. The
    folder appears complete or not at all. Raises `DataError` for a label that is not the name of a folder.
    """
    import numpy as np

    paths = plan.rows.values("image", np.arange(len(plan.rows)))
    plan.require_all(len(paths))
    targets = _targets(plan, paths)
    prefix = f".{output.name}.gdw-"
    for entry in output.parent.iterdir():
        # Left behind by a process that was killed: only one process at a time writes this output.
        if entry.name.startswith(prefix) and entry.suffix == ".tmp" and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(dir=output.parent, prefix=prefix, suffix=".tmp"))
    try:
        for row, target in targets.items():
            place = temporary / target
            place.parent.mkdir(parents=True, exist_ok=True)
            _copy(plan.source / paths[row], place)
        temporary.chmod(plan.source.stat().st_mode & 0o777)
        temporary.rename(output)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _copy(source: Path, place: Path) -> None:
    """Copy an image. A link to nothing, which `skip_broken` leaves out of a training, is copied as a link."""
    if source.is_symlink() and not source.exists():
        place.symlink_to(source.readlink())
    else:
        shutil.copy2(source, place)


FOLDER = Format((), open_folder, copy_folder)


def _hint(folder: Path) -> str:
    tables = sorted(entry.name for entry in folder.iterdir() if entry.suffix in suffixes())
    return f" It has {listed(tables, 3)}: give the path of the file itself." if tables else ""


def _refuse_split(folder: Path, paths: Sequence[Path]) -> None:
    """Refuse a folder of `train`, `test`, ... that hold the same class folders: the classes are those."""
    classes = _folders_in_folders(paths)
    if not {name.lower() for name in classes} <= set(_PARTS):
        return
    train = [name for name in classes if name.lower() in _PARTS[:2]][:1]
    others = [name for name in classes if name not in train]
    if not train or not _share_classes(classes[train[0]], [classes[name] for name in others]):
        return
    held_out = next((name for name in others if name.lower().startswith("test")), others[0])
    raise DataError(
        f"the folders {listed(sorted(classes))} of {shown(folder)} are the parts of a split, and the "
        f"classes are the folders in them: give {shown(folder / train[0])} as the data, and --test "
        f"{shown(folder / held_out)}"
    )


def _folders_in_folders(paths: Sequence[Path]) -> dict[str, set[str]]:
    """The names of the folders in each folder that have images; an empty name: it has images itself."""
    found: dict[str, set[str]] = {}
    for path in paths:
        found.setdefault(path.parts[0], set()).add(path.parts[1] if len(path.parts) > 2 else "")
    return found


def _share_classes(first: set[str], others: Sequence[set[str]]) -> bool:
    return "" not in first and any(first & other for other in others)


def _notes(
    folder: Path, others: Sequence[Path], hidden: Sequence[Path], classes: set[str]
) -> tuple[str, ...]:
    """What is not used: other files by their suffix, hidden images, and class folders without images."""
    notes = [_unused(others)] if others else []
    if hidden:
        are = counted(len(hidden), "image is", "images are")
        first = shown(min(hidden, key=os.fsencode))
        notes.append(f"{are} not used, because the name begins with a dot; the first is {first}")
    folders = {entry.name for entry in folder.iterdir() if entry.is_dir()}
    empty = sorted(name for name in folders - classes if not name.startswith("."))
    if empty:
        are = counted(len(empty), "folder is", "folders are")
        them = "it" if len(empty) == 1 else "them"
        notes.append(
            f"{are} not used, because there are no images in {them}: {listed(map(shown, empty))}"
        )
    return tuple(notes)


def _unused(files: Sequence[Path]) -> str:
    count = Counter(shown(path.suffix.lower()) or "no suffix" for path in files)
    kinds = [f"{number:,} {suffix}" for suffix, number in sorted(count.items())]
    are = counted(len(files), "file is", "files are")
    return (
        f"{are} not used, because the suffix is not that of an image: {shortened(kinds, _SHOWN)}; "
        f"the first is {shown(min(files, key=os.fsencode))}"
    )


def _images(folder: Path) -> tuple[list[Path], list[Path], list[Path]]:
    """The relative paths of the images, of the other files that are not hidden, and of the hidden images."""
    images: list[Path] = []
    others: list[Path] = []
    hidden: list[Path] = []
    for path in _files(folder):
        is_image = path.name.lower().endswith(IMAGE_SUFFIXES)
        if not path.name.startswith("."):
            (images if is_image else others).append(path)
        elif is_image:
            hidden.append(path)
    return images, others, hidden


def _files(folder: Path) -> Iterator[Path]:
    """The relative paths of the files; links to folders are followed, but each folder is read once."""
    visited: set[tuple[int, int]] = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        state = os.stat(parent)  # noqa: PTH116 - os.walk gives strings
        if (state.st_dev, state.st_ino) in visited:
            folders.clear()
            continue
        visited.add((state.st_dev, state.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        here = Path(parent).relative_to(folder)
        yield from (here / name for name in files)


def _targets(plan: CopyPlan, paths: Sequence[Path]) -> dict[int, Path]:
    """The new relative path of each row to copy."""
    # A label is the printable form of a folder's name; the folder of the copy has the name itself.
    folder_of = {composed(shown(path.parts[0])): path.parts[0] for path in reversed(paths)}
    targets = {row: paths[row] for row in range(len(paths)) if plan.keep[row]}
    # Some file systems do not distinguish upper and lower case.
    taken = {_folded(path) for row, path in targets.items() if row not in plan.relabel}
    for row, label in plan.relabel.items():
        old = paths[row]
        target = Path(_folder_name(folder_of.get(label, label), label, old), *old.parts[1:])
        targets[row] = _untaken(target, old, taken)
        taken.add(_folded(targets[row]))
    return targets


def _folder_name(folder: str, label: str, old: Path) -> str:
    if Path(folder).is_absolute() or ".." in Path(folder).parts or len(Path(folder).parts) != 1:
        raise DataError(
            f"the label {label!r} is not the name of a folder, so {shown(old)} cannot be copied into it"
        )
    return folder


def _untaken(target: Path, old: Path, taken: set[bytes]) -> Path:
    """`target`, or the same path with the old class in the name if `target` is taken."""
    path, number = target, 0
    while _folded(path) in taken:
        number += 1
        more = f"-from-{old.parts[0]}" + (f"-{number}" if number > 1 else "")
        path = target.with_name(f"{old.stem}{more}{old.suffix}")
    return path


def _folded(path: Path) -> bytes:
    return os.fsencode(path).lower()
