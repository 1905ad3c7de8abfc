"""Small verification files and desks for the tests of `gdw.verify`."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gdw.data import load
from gdw.data.verification import Queue, read_queue, write_queue
from gdw.verify import Desk, Settings, open_desk
from tests.data.files import image_folder, png

CLASSES = ("cat", "dog", "fox")


def table_queue(
    folder: Path,
    *,
    rows: int = 12,
    classes: Sequence[str] = CLASSES,
    header: Sequence[str] = ("size", "label", "note"),
    label: str = "label",
) -> Queue:
    """A table whose row i has the class i modulo the number of classes; to verify are rows 0, 1, 2, ..."""
    lines = [(i, classes[i % len(classes)], f"note {i}") for i in range(rows)]
    with (folder / "d.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([[header[0], label, *header[2:]], *lines])
    source = load(folder / "d.csv", label=label, features=[header[0]], label_as_classes=True)
    every = np.arange(rows)
    likely = [[(classes[-1], 0.5), (classes[0], 0.25)]] * rows
    return write_queue(
        folder / "v.jsonl", source, every, label=label, data=folder / "d.csv", likely=likely
    )


def image_queue(folder: Path) -> Queue:
    """Six pictures in two class folders, each with two neighbours."""
    files = {f"{'ab'[i % 2]}/{i}.png": png((40 * i, 0, 0), (9, 6)) for i in range(6)}
    image_folder(folder / "images", files)
    source = load(folder / "images", label="label")
    near = [[(i + 1) % 6, (i + 2) % 6] for i in range(6)]
    return write_queue(
        folder / "v.jsonl", source, np.arange(6), label="label", data=folder / "images", neighbours=near
    )  # fmt: skip


def desk(queue: Queue, **settings: Any) -> Desk:
    return open_desk(read_queue(queue.path), Settings(**{"annotator": "ann", **settings}))
