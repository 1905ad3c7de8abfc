"""How many examples per second are loaded, compared with how many a model trains on."""

from __future__ import annotations

import gc
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gdw.bench.contestants import plain_step
from gdw.bench.step_cost import quartiles
from gdw.bench.workloads import Workload
from gdw.data.augment import AUGMENTATIONS, draws_of
from gdw.data.encode import fit_encoder
from gdw.data.encode.image import ImagesOnDemand
from gdw.data.examples import EpochBatches, Examples, Inputs
from gdw.data.loading import load
from gdw.data.source import Source, from_arrays
from gdw.files.machine import describe_machine
from gdw.train import feed

AUGMENT = "standard"
SIDE = 32
JPEG_SIDE = 64

TRAINING = "training ResNet-32, plain"
IN_MEMORY = "images in memory"
FIRST = "JPEG folder, first epoch"
SECOND = "JPEG folder, second epoch"
STREAMED = "JPEG folder, too large for memory"

Task = Callable[[], int]
"""Does its work once; returns the number of examples."""


def run(
    *,
    repeats: int = 7,
    images: int = 5000,
    files: int = 500,
    batch: int = 100,
    steps: int = 3,
    model: str = "resnet32",
    seed: int = 0,
    log: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Measure the examples per second of loading and of plain training.

    Loading goes from the order of an epoch to an augmented batch on the model's device. It loads images in
    memory, and JPEG files: decoded (first epoch), kept in memory (second), or too many for memory.

    Args:
        repeats: how often everything is measured, in turn.
        images, files: the number of images of 32 x 32 pixels in memory, and of JPEG files.
        batch: the batch size.
        steps: the number of training steps in each repeat.
        model: the model that is trained, a name in `gdw.bench.workloads.MODELS`.
        seed: of the random images and the order of the epochs.
        log: takes a line after each repeat.

    Returns:
        The results for JSON. `ratio` is the median over the repeats of a rate divided by that of training.
    """
    with tempfile.TemporaryDirectory() as folder:
        _write_jpegs(Path(folder), files, seed)
        tasks = {
            TRAINING: _training(Workload(model, batch=batch), steps),
            **_loaders(Path(folder), images, batch, seed),
        }
        rates = _measure(tasks, repeats, log)
    return {
        "machine": describe_machine(),
        "repeats": repeats,
        "images": images,
        "files": files,
        "batch": batch,
        "model": model,
        "augment": AUGMENT,
        "rates": {name: _summary(values, rates[TRAINING]) for name, values in rates.items()},
    }


def table(results: Mapping[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The header and the rows of a table of the results of `run`."""
    rows: list[tuple[str, ...]] = []
    for name, summary in results["rates"].items():
        rate, ratio = (
            f"{summary[key]:,.{digits}f} ({low:,.{digits}f}-{high:,.{digits}f})"
            for key, digits in (("median", 0), ("ratio", 1))
            for low, high in [summary[f"{key}_quartiles"]]
        )
        rows.append((name, rate, ratio))
    return ("source", "examples per second", "ratio to training"), rows


def _measure(
    tasks: Mapping[str, Task], repeats: int, log: Callable[[str], None]
) -> dict[str, list[float]]:
    """Examples per second of each task in each repeat, after one repeat that does not count."""
    rates: dict[str, list[float]] = {name: [] for name in tasks}
    for task in tasks.values():
        task()
    for repeat in range(repeats):
        for name, task in tasks.items():
            gc.collect()
            start = time.perf_counter()
            examples = task()
            rates[name].append(examples / (time.perf_counter() - start))
        log(f"loading: repeat {repeat + 1} of {repeats}")
    return rates


def _summary(rates: list[float], training: list[float]) -> dict[str, Any]:
    ratios = [rate / base for rate, base in zip(rates, training, strict=True)]
    return {
        "examples_per_second": rates,
        "median": statistics.median(rates),
        "median_quartiles": list(quartiles(rates)),
        "ratio": statistics.median(ratios),
        "ratio_quartiles": list(quartiles(ratios)),
    }


def _training(workload: Workload, steps: int) -> Task:
    step = plain_step(workload)

    def train() -> int:
        for _ in range(steps):
            step()
        return steps * workload.batch

    return train


def _loaders(folder: Path, images: int, batch: int, seed: int) -> dict[str, Task]:
    draws = np.random.default_rng(seed)
    pixels = draws.integers(0, 256, (images, SIDE, SIDE, 3), dtype=np.uint8)
    arrays = from_arrays(pixels, draws.integers(0, 10, images))
    in_memory = _examples(fit_encoder(arrays).encode(arrays), arrays)
    jpegs = load(folder, label="label")
    decoded = _decoded(jpegs)
    streamed = _examples(ImagesOnDemand(jpegs, SIDE), jpegs)
    return {
        IN_MEMORY: lambda: _epoch(in_memory, batch, seed),
        FIRST: lambda: _epoch(_decoded(jpegs), batch, seed),
        SECOND: lambda: _epoch(decoded, batch, seed),
        STREAMED: lambda: _epoch(streamed, batch, seed),
    }


def _decoded(source: Source) -> Examples:
    return _examples(fit_encoder(source, image_size=SIDE).encode(source), source)


def _examples(inputs: Inputs, source: Source) -> Examples:
    return Examples(inputs, torch.from_numpy(source.known_labels.copy()))


def _epoch(examples: Examples, batch: int, seed: int) -> int:
    """Load one epoch as the training loop does, on the CPU; the number of examples."""
    order = EpochBatches(len(examples), batch, seed=seed, epoch=0)
    count = 0
    for position, loaded in enumerate(feed.batches(examples, order, seed=seed)):
        images, labels = loaded
        changed = AUGMENTATIONS[AUGMENT](images, draws_of(seed, "train", position, rank=0)), labels
        _, targets = feed.place(changed, device=torch.device("cpu"), dtype=torch.float32)
        count += len(targets)
    return count


def _write_jpegs(folder: Path, files: int, seed: int) -> None:
    """Write images of 64 x 64 pixels that are smooth like photographs; noise would not decode as fast."""
    from PIL import Image

    draws = np.random.default_rng(seed)
    for number in range(files):
        path = folder / f"class{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        coarse = Image.fromarray(draws.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((JPEG_SIDE, JPEG_SIDE), Image.Resampling.BICUBIC).save(path, quality=90)
