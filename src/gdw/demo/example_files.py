"""A small data set to try the other commands on: scans of digits, some in the folder of a wrong class."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gdw.data.noise import parse_noise
from gdw.data.split import split_clean

CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
HOLDOUT, VERIFIED, NEW = 300, 200, 50
NOISE = "uniform:0.25"

COMMANDS = (
    "gdw train scans --meta verified --model mlp --image-size 8 --epochs 20 --output run",
    "gdw audit run",
)
"""What to run in the folder first."""


def write_example(folder: Path) -> None:
    """Write scikit-learn's digits (1,797 scans of 8 x 8 pixels) as folders of images, one folder per class.

    `scans` are to train on, and a fifth of them is in a wrong folder. `verified` and `holdout` are right.
    `new` has no classes. `true_labels.csv` has the true class of each of the `scans`.

    Args:
        folder: a new folder.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.round(digits.images * (255 / 16)).astype(np.uint8)
    labels = digits.target.astype(np.int64)
    held_out, rest = split_clean(labels, HOLDOUT + NEW, len(CLASSES), seed=0)
    verified, scans = split_clean(labels[rest], VERIFIED, len(CLASSES), seed=1)
    verified, scans = rest[verified], rest[scans]
    given = parse_noise(NOISE).apply(labels[scans], len(CLASSES), 2)
    _write_scans(folder / "scans", pixels, scans, given)
    _write_scans(folder / "verified", pixels, verified, labels[verified])
    # The drawn rows are sorted: every seventh is left without a class.
    is_new = np.arange(len(held_out)) % (1 + HOLDOUT // NEW) == 0
    holdout = held_out[~is_new]
    _write_scans(folder / "holdout", pixels, holdout, labels[holdout])
    _write_scans(folder / "new", pixels, held_out[is_new], None)
    with (folder / "true_labels.csv").open("w", encoding="utf-8", newline="") as file:
        rows = ((_name(row), CLASSES[labels[row]]) for row in scans.tolist())
        csv.writer(file, lineterminator="\n").writerows([("scan", "label"), *rows])


def _write_scans(
    folder: Path,
    pixels: NDArray[np.uint8],
    rows: NDArray[np.int64],
    labels: NDArray[np.int64] | None,
) -> None:
    """Write the scans `rows` of `pixels`, `(N, 8, 8)`, into the folders of their `labels`, if any."""
    from PIL import Image

    for position, row in enumerate(rows.tolist()):
        place = folder if labels is None else folder / CLASSES[labels[position]]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[row]).save(place / _name(row))


def _name(row: int) -> str:
    return f"scan-{row:04d}.png"
