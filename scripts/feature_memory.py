"""Measure the memory of features and of a training on them.

    python scripts/feature_memory.py
    python scripts/feature_memory.py --different 200000

The first command takes 200,000 links to a hundred JPEG files of 224 pixels, which the network of the extra
[features] computes once: what grows with the number of examples are paths, digests, inputs and the training.
The second one takes different images of 16 pixels, and a tiny network.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=200_000, help="how many links")
    parser.add_argument(
        "--different", type=int, default=0, help="measure so many different images instead"
    )
    parser.add_argument("--epochs", type=int, default=2)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GDW_CACHE"] = str(Path(folder, "cache"))
        if arguments.different:
            measure(different(Path(folder), arguments.different), arguments.epochs, tiny=True)
        else:
            measure(links(Path(folder), arguments.images), arguments.epochs, tiny=False)


def links(folder: Path, count: int) -> Path:
    """A folder of class folders with `count` links to a hundred JPEG files of 224 x 224 pixels."""
    draws = np.random.default_rng(0)
    files = [folder / f"{k}.jpg" for k in range(100)]
    for file in files:
        coarse = Image.fromarray(draws.integers(0, 256, (14, 14, 3), dtype=np.uint8))
        coarse.resize((224, 224), Image.Resampling.BICUBIC).save(file, quality=90)
    for i in range(count):
        place = folder / "images" / str(i % CLASSES)
        if i < CLASSES:
            place.mkdir(parents=True)
        (place / f"{i}.jpg").symlink_to(files[i % len(files)])
    return folder / "images"


def different(folder: Path, count: int) -> Path:
    """An `.npz` file of `count` different images of 16 x 16 pixels."""
    draws = np.random.default_rng(0)
    pixels = draws.integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)
    np.savez(folder / "images.npz", X=pixels, y=np.arange(count) % CLASSES)
    return folder / "images.npz"


def measure(path: Path, epochs: int, *, tiny: bool) -> None:
    """Print the time and the resident memory after each part of the work."""
    import torch
    from torch import nn

    from gdw import Trainer
    from gdw.backbones import load_backbone, of_module
    from gdw.data import Examples, fit_encoder, load

    if tiny:
        layers = nn.Sequential(nn.AdaptiveAvgPool2d(8), nn.Flatten(), nn.Linear(192, 1280))
        backbone = of_module(layers, kind="image", image_size=16)
    else:
        backbone = load_backbone("package:efficientnet-lite0")
    started = time.perf_counter()

    def show(what: str) -> None:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        print(f"{time.perf_counter() - started:7.1f} s  {most:5.2f} GB  {what}", flush=True)

    show("PyTorch and the backbone are loaded")
    source = load(path, label="y" if tiny else "label")
    show(f"{len(source):,} rows are read")
    encoder = fit_encoder(source, backbone=backbone)
    show("features are computed and standardised")
    inputs = encoder.encode(source)
    show(f"inputs: {type(inputs).__name__}")
    labels = torch.from_numpy(source.known_labels.copy())
    model = nn.Linear(1280, CLASSES)
    Trainer(epochs=epochs, method="plain", batch_size=256).fit(model, Examples(inputs, labels))
    show(f"{epochs} epochs of training are done")


if __name__ == "__main__":
    main()
