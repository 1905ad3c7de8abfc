"""The demonstration's data and the methods it compares, each as a configuration like a user's own."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gdw.data.split import split_clean
from gdw.runs.config import DataConfig, ModelConfig, RunConfig
from gdw.train.config import TrainConfig

CLASSES = 10
TEST = 500
CLEAN_PER_CLASS = 5
NOISE = "uniform:0.4"
IMBALANCE = "5"
EPOCHS = 15
BATCH = 50
CLEAN_EPOCHS = 80


@dataclass(frozen=True)
class Contender:
    """One way to train: its name in the table, the method with options, and what it trains on.

    All have the same clean examples: as a meta set, or among the training examples.
    """

    title: str
    method: str
    options: dict[str, Any] = field(default_factory=dict)
    clean_only: bool = False


CONTENDERS = {
    "plain": Contender("plain training", "plain"),
    "clean": Contender("clean examples only", "plain", clean_only=True),
    "mwn": Contender("Meta-Weight-Net", "mwn"),
    "l2rw": Contender("L2RW", "l2rw"),
    "gdw-published": Contender("GDW, as published", "gdw"),
    "gdw": Contender("robust (recommended)", "robust", {}),
}


@dataclass(frozen=True)
class Files:
    """The data of one seed on disk."""

    train: Path
    clean: Path
    test: Path


def write_digits(folder: Path, seed: int) -> Files:
    """scikit-learn's digits (1,797 scans of 8 × 8 pixels) as train, clean and test `.npz` files.

    Test and clean examples are class-balanced; the labels of all three are true. `folder` is made.
    """
    from sklearn.datasets import load_digits

    scans = load_digits()
    pixels, labels = scans.images.astype(np.float32), scans.target.astype(np.int64)
    test, rest = split_clean(labels, TEST, CLASSES, seed)
    chosen, left = split_clean(labels[rest], CLEAN_PER_CLASS * CLASSES, CLASSES, seed + 1)
    parts = {"train": rest[left], "clean": rest[chosen], "test": test}
    folder.mkdir(parents=True)
    for name, rows in parts.items():
        np.savez(folder / f"{name}.npz", X=pixels[rows], y=labels[rows])
    return Files(*(folder / f"{name}.npz" for name in parts))


def configuration(contender: Contender, files: Files, *, seed: int) -> RunConfig:
    """The run of one method on one seed: the same network, noise, imbalance and clean examples for all."""
    spoiled: dict[str, Any] = {
        "noise": NOISE,
        "imbalance": IMBALANCE,
        "meta": str(files.clean),
        "add_clean": contender.method == "plain",
    }
    data = DataConfig(
        path=str(files.clean if contender.clean_only else files.train),
        test=str(files.test),
        **({} if contender.clean_only else spoiled),
    )
    training = TrainConfig(
        method=contender.method,
        method_options=contender.options,
        # The clean examples are few: about as many steps as the others take, not as many epochs.
        epochs=CLEAN_EPOCHS if contender.clean_only else EPOCHS,
        batch_size=BATCH // 2 if contender.clean_only else BATCH,
        lr=0.1,
        seed=seed,
        accelerator="cpu",
        progress="none",
        checkpoints_kept=1,
    )
    return RunConfig(data, ModelConfig(name="mlp:128,128"), training)
