"""CIFAR-10 and CIFAR-100 in their binary version, with human labels beside the true ones."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gdw.errors import DataError
from gdw.files.atomic import write_atomically

_PIXELS = 3 * 32 * 32
_TRAIN = {10: [f"data_batch_{i}.bin" for i in range(1, 6)], 100: ["train.bin"]}
_TEST = {10: "test_batch.bin", 100: "test.bin"}
_NAMES = {10: "batches.meta.txt", 100: "fine_label_names.txt"}
_FOLDER = {10: "cifar-10-batches-bin", 100: "cifar-100-binary"}


def write_cifar(folder: Path, root: Path, *, classes: int, human: str | None) -> None:
    """`train.npz` and `test.npz` with `X` uint8 `(N, 32, 32, 3)` and `label`, names of classes.

    With `human` (CIFAR-10N: `CIFAR-10_human.pt`) each of its labels is another column of the training file.
    Raises `DataError` for files that are missing, cut short, or not in one order.
    """
    place = root if (root / _NAMES[classes]).is_file() else root / _FOLDER[classes]
    names = np.array(_read(place / _NAMES[classes]).decode().split())
    parts = [_images(place / name, classes) for name in _TRAIN[classes]]
    X, y = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    columns = {"label": names[y]}
    if human is not None:
        for name, codes in human_labels(Path(human)).items():
            if codes.shape != y.shape:
                continue
            if name == "clean_label" and not np.array_equal(codes, y):
                raise DataError(
                    f"clean_label of {human} is not the label of the images in {place}: "
                    "expected both in the order of the original batches"
                )
            if codes.min() >= 0 and codes.max() < classes and name != "clean_label":
                columns[name] = names[codes]
    test_X, test_y = _images(place / _TEST[classes], classes)
    _save(folder / "train.npz", X=X, **columns)
    _save(folder / "test.npz", X=test_X, label=names[test_y])


def human_labels(path: Path) -> dict[str, NDArray[np.int64]]:
    """The arrays of a `.pt` file of CIFAR-10N / CIFAR-100N, by name.

    The file is a pickle, which can run code when it is read: nothing but plain arrays is let through
    (`weights_only`). Raises `DataError` otherwise, with another way.
    """
    try:
        with torch.serialization.safe_globals(_harmless()):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"there is no {path}: check the path of the human labels") from None
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, TypeError) as error:
        raise DataError(
            f"{path} holds more than plain arrays, or is damaged, and is not loaded as it could run code "
            f"({str(error).splitlines()[0]}): get the file from the data set's own page again"
        ) from None
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


def _harmless() -> list[Any]:
    """What a pickled array of numbers is made of; older files call its maker by NumPy's older name."""
    # NumPy has no public name for it.
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
    """Pixels `(N, 32, 32, 3)` and class numbers `(N,)`; CIFAR-100 has a coarse class before the fine one."""
    before = 1 if classes == 10 else 2
    content = np.frombuffer(_read(path), dtype=np.uint8)
    if not len(content) or len(content) % (before + _PIXELS):
        raise DataError(
            f"{path} has {len(content)} bytes, no multiple of {before + _PIXELS}: it is cut short, or no "
            "binary version of CIFAR"
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
            f"there is no {path}: expected the binary version of CIFAR, unpacked (the Python version is "
            "pickles, which are not loaded as they can run code)"
        ) from None


def _save(path: Path, **arrays: NDArray[Any]) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]

    write_atomically(path, write)
