"""CIFAR-10 and CIFAR-100 in their binary version, optionally with human labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gdw.errors import DataError, one_line
from gdw.experiments.dataset_builders import save_npz
from gdw.files.documents import write_atomically
from gdw.models.weights import UNREADABLE

_PIXELS = 3 * 32 * 32
_TRAIN = {10: [f"data_batch_{i}.bin" for i in range(1, 6)], 100: ["train.bin"]}
_TEST = {10: "test_batch.bin", 100: "test.bin"}
_NAMES = {10: "batches.meta.txt", 100: "fine_label_names.txt"}
_FOLDER = {10: "cifar-10-batches-bin", 100: "cifar-100-binary"}


def write_cifar(folder: Path, root: Path, *, classes: int, human: str | None) -> None:
    """Write `train.npz` and `test.npz` with `X` uint8 `(N, 32, 32, 3)` and `label`, class names.

    Args:
        folder: where the files are written.
        root: the unpacked binary version, or the folder that contains it.
        classes: 10 or 100.
        human: the `.pt` file of CIFAR-10N or CIFAR-100N; each of its labels becomes a column of the training
            file. None: no human labels.

    Raises:
        DataError: a file is missing, cut short, or in another order.
    """
    place = root if (root / _NAMES[classes]).is_file() else root / _FOLDER[classes]
    names = np.array(_read(place / _NAMES[classes]).decode().split())
    parts = [_images(place / name, classes) for name in _TRAIN[classes]]
    X, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    human_columns = {} if human is None else _human_columns(Path(human), y, names)
    test_X, test_y = _images(place / _TEST[classes], classes)
    _save(folder / "train.npz", X=X, label=names[y], **human_columns)
    _save(folder / "test.npz", X=test_X, label=names[test_y])


def human_labels(path: Path) -> dict[str, NDArray[np.int64]]:
    """The label arrays `(N,)` in a `.pt` file of CIFAR-10N or CIFAR-100N, by name.

    The file is a pickle, which can run code when it is read. Only plain arrays are loaded (`weights_only`).

    Raises:
        DataError: the file is missing, damaged, or contains something else.
    """
    content = _plain_content(path)
    if not isinstance(content, dict):
        raise DataError(
            f"{path} should hold a dictionary of label arrays, found {type(content).__name__}"
        )
    arrays = {str(name): np.asarray(values) for name, values in content.items()}
    return {
        name: a.astype(np.int64)
        for name, a in arrays.items()
        if a.ndim == 1 and a.dtype.kind in "iu"
    }


def _plain_content(path: Path) -> Any:
    try:
        with torch.serialization.safe_globals(_array_parts()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"there is no {path}: check the path of the human labels") from None
    except UNREADABLE as error:
        raise DataError(
            f"{path} is damaged or holds more than plain arrays, which could run code "
            f"({one_line(error)[:200]}): download the file again from the page of the data set"
        ) from None


def _human_columns(
    path: Path, y: NDArray[np.int64], names: NDArray[np.str_]
) -> dict[str, NDArray[np.str_]]:
    """The human labels of the images with the true labels `y`, as class names."""
    codes = {name: codes for name, codes in human_labels(path).items() if codes.shape == y.shape}
    true = codes.pop("clean_label", None)
    if true is not None and not np.array_equal(true, y):
        raise DataError(
            f"clean_label of {path} is not the label of the images: expected both in the order of the "
            "original batches"
        )
    return {
        name: names[column]
        for name, column in codes.items()
        if column.min() >= 0 and column.max() < len(names)
    }


def _array_parts() -> list[Any]:
    """The classes and functions that a pickled array of numbers consists of."""
    # NumPy has no public name for the function that makes an array; older files use an older name of it.
    maker = np.zeros(0).__reduce__()[0]
    types = {type(np.dtype(t)) for t in (np.int64, np.int32, np.int16, np.int8, np.uint8)}
    return [
        np.ndarray,
        np.dtype,
        *types,
        (maker, "numpy.core.multiarray._reconstruct"),
        (maker, "numpy._core.multiarray._reconstruct"),
    ]


def _images(path: Path, classes: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Pixels uint8 `(N, 32, 32, 3)` and class numbers `(N,)`."""
    # CIFAR-100 has a coarse class before the fine one.
    before = 1 if classes == 10 else 2
    content = np.frombuffer(_read(path), dtype=np.uint8)
    if not len(content) or len(content) % (before + _PIXELS):
        raise DataError(
            f"{path} has {len(content)} bytes, not a multiple of {before + _PIXELS}: the file is cut short, "
            "or is not of the binary version of CIFAR"
        )
    rows = content.reshape(-1, before + _PIXELS)
    labels = rows[:, before - 1].astype(np.int64)
    if labels.max() >= classes:
        raise DataError(f"{path}: found the class {labels.max()}, expected numbers below {classes}")
    return rows[:, before:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(
            f"there is no {path}: expected the binary version of CIFAR, unpacked (the Python version "
            "consists of pickles, which can run code and are not loaded)"
        ) from None


def _save(path: Path, **arrays: NDArray[Any]) -> None:
    write_atomically(path, lambda file: save_npz(file, **arrays))
