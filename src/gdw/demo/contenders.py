"""The data of the demonstration, and the methods it compares as configurations of ordinary runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from gdw.data.split import split_clean
from gdw.runs.config import DataConfig, RunConfig
from gdw.runs.model_config import ModelConfig
from gdw.train.config import TrainConfig

CLASSES = 10
TEST = 500
CLEAN_PER_CLASS = 5
NOISE = "uniform:0.4"
IMBALANCE = "5"
EPOCHS = 15
BATCH = 50
CLEAN_EPOCHS = 80
LAST_EPOCHS = 5
"""Accuracies are means over these last epochs."""


@dataclass(frozen=True)
class Contender:
    """One way to train. All have the same clean examples, as meta set or among the training examples.

    Attributes:
        title: its name in tables.
        method: a name in `gdw.reweight.METHODS`.
        options: of the method.
        clean_only: whether it trains on the clean examples alone.
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
    "gdw": Contender("GDW (paper)", "gdw"),
    "robust": Contender("robust (recommended)", "robust"),
}

RECOMMENDED = "robust"


@dataclass(frozen=True)
class Files:
    """The files with the data of one seed."""

    train: Path
    clean: Path
    test: Path


def write_digits(folder: Path, seed: int) -> Files:
    """Write scikit-learn's digits (1,797 scans of 8 × 8 pixels) as train, clean and test `.npz` files.

    The test and the clean examples are class-balanced. All labels are true.

    Args:
        folder: a new folder.
        seed: of the split.
    """
    from sklearn.datasets import load_digits

    scans = load_digits()
    pixels, labels = scans.images.astype(np.float32), scans.target.astype(np.int64)
    test, rest = split_clean(labels, TEST, CLASSES, seed)
    clean, train = split_clean(labels[rest], CLEAN_PER_CLASS * CLASSES, CLASSES, seed + 1)
    parts = {"train": rest[train], "clean": rest[clean], "test": test}
    folder.mkdir(parents=True)
    for name, rows in parts.items():
        np.savez(folder / f"{name}.npz", X=pixels[rows], y=labels[rows])
    return Files(*(folder / f"{name}.npz" for name in parts))


def configuration(contender: Contender, files: Files, *, seed: int) -> RunConfig:
    """The run of one contender with one seed.

    All contenders have the same network, noise, imbalance and clean examples.
    """
    noisy_train: dict[str, Any] = {
        "noise": NOISE,
        "imbalance": IMBALANCE,
        "meta": str(files.clean),
        "add_clean": contender.method == "plain",
    }
    data = DataConfig(
        path=str(files.clean if contender.clean_only else files.train),
        test=str(files.test),
        **({} if contender.clean_only else noisy_train),
    )
    training = TrainConfig(
        method=contender.method,
        method_options=contender.options,
        # The clean examples are few: more epochs give about as many steps as the others take.
        epochs=CLEAN_EPOCHS if contender.clean_only else EPOCHS,
        batch_size=BATCH // 2 if contender.clean_only else BATCH,
        lr=0.1,
        seed=seed,
        last_epochs=LAST_EPOCHS,
        accelerator="cpu",
        progress="none",
        checkpoints_kept=1,
    )
    return RunConfig(data, ModelConfig(name="mlp:128,128"), training)
