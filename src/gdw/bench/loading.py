"""How many examples a second the data come ready for the model, beside how many it trains on."""

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

from gdw.bench import contestants
from gdw.bench.measure import quartiles
from gdw.bench.workloads import Workload
from gdw.data.encode import fit_encoder
from gdw.data.encode.image import ImagesOnDemand
from gdw.data.examples import EpochBatches, Examples, Inputs
from gdw.data.loading import load
from gdw.data.source import Source, from_arrays
from gdw.files.machine import describe_machine
from gdw.train import feed

FORMAT = 1
AUGMENT = "standard"
SIDE = 32
JPEG_SIDE = 64

TRAINING = "training ResNet-32, plain"
HELD = "images in memory"
FIRST = "JPEG folder, first epoch"
SECOND = "JPEG folder, second epoch"
STREAMED = "JPEG folder, too large for memory"

Task = Callable[[], int]
"""Does its work once and says how many examples that were."""


def run(
    *,
    repeats: int = 7,
    images: int = 5000,
    files: int = 500,
    batch: int = 100,
    steps: int = 3,
    model: str = "resnet32",
    seed: int = 0,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Examples a second of loading alone and of plain training, `repeats` times in turn; for JSON.

    Loading is all from the order of an epoch to a batch that is augmented and where the model is: of `images`
    random bytes of 32 x 32 pixels as a run holds them, and of a folder with `files` JPEG files: decoded and
    kept (first epoch), from memory (second), and decoded anew as when they do not fit. Training is `steps`
    steps of `model` (a name in `gdw.bench.workloads.MODELS`) on batches of `batch`. `ratio` is the median
    over the repeats of a rate over that of training in the same repeat.
    """
    with tempfile.TemporaryDirectory() as folder:
        _write_jpegs(Path(folder), files, seed)
        tasks = {
            TRAINING: _training(Workload(model, batch=batch), steps),
            **_loaders(Path(folder), images, batch, seed),
        }
        rates = _measure(tasks, repeats, say)
    return {
        "format": FORMAT,
        "machine": describe_machine(),
        "repeats": repeats,
        "images": images,
        "files": files,
        "batch": batch,
        "model": model,
        "augment": AUGMENT,
        "rates": {name: _figures(own, rates[TRAINING]) for name, own in rates.items()},
    }


def table(results: Mapping[str, Any]) -> str:
    """The figures of `run` as a Markdown table."""
    lines = ["| what | examples a second | over training |", "|---|---|---|"]
    for name, figures in results["rates"].items():
        rate, ratio = (
            f"{figures[key]:,.{digits}f} ({low:,.{digits}f}-{high:,.{digits}f})"
            for key, digits in (("median", 0), ("ratio", 1))
            for low, high in [figures[f"{key}_quartiles"]]
        )
        lines.append(f"| {name} | {rate} | {ratio} |")
    return "\n".join(lines) + "\n"


def _measure(
    tasks: Mapping[str, Task], repeats: int, say: Callable[[str], None]
) -> dict[str, list[float]]:
    """Examples a second of each task in each repeat, after one that does not count."""
    rates: dict[str, list[float]] = {name: [] for name in tasks}
    for task in tasks.values():
        task()
    for repeat in range(repeats):
        for name, task in tasks.items():
            gc.collect()
            start = time.perf_counter()
            examples = task()
            rates[name].append(examples / (time.perf_counter() - start))
        say(f"loading: repeat {repeat + 1} of {repeats}")
    return rates


def _figures(own: list[float], training: list[float]) -> dict[str, Any]:
    ratios = [mine / base for mine, base in zip(own, training, strict=True)]
    return {
        "examples_per_second": own,
        "median": statistics.median(own),
        "median_quartiles": list(quartiles(own)),
        "ratio": statistics.median(ratios),
        "ratio_quartiles": list(quartiles(ratios)),
    }


def _training(workload: Workload, steps: int) -> Task:
    step = contestants.plain(workload)

    def train() -> int:
        for _ in range(steps):
            step()
        return steps * workload.batch

    return train


def _loaders(folder: Path, images: int, batch: int, seed: int) -> dict[str, Task]:
    draws = np.random.default_rng(seed)
    pixels = draws.integers(0, 256, (images, SIDE, SIDE, 3), dtype=np.uint8)
    arrays = from_arrays(pixels, draws.integers(0, 10, images))
    held = _examples(fit_encoder(arrays).encode(arrays), arrays)
    jpegs = load(folder, label="label")
    decoded = _decoded(jpegs)
    streamed = _examples(ImagesOnDemand(jpegs, SIDE), jpegs)
    return {
        HELD: lambda: _epoch(held, batch, seed),
        FIRST: lambda: _epoch(_decoded(jpegs), batch, seed),
        SECOND: lambda: _epoch(decoded, batch, seed),
        STREAMED: lambda: _epoch(streamed, batch, seed),
    }


def _decoded(source: Source) -> Examples:
    return _examples(fit_encoder(source, image_size=SIDE).encode(source), source)


def _examples(inputs: Inputs, source: Source) -> Examples:
    assert source.labels is not None, "loaded with labels"
    return Examples(inputs, torch.from_numpy(source.labels.copy()))


def _epoch(examples: Examples, batch: int, seed: int) -> int:
    """One epoch as the training loop gets it, on the processor; how many examples came."""
    order = EpochBatches(len(examples), batch, seed=seed, epoch=0)
    count = 0
    for position, loaded in enumerate(feed.batches(examples, order, seed=seed)):
        changed = feed.augment(
            loaded, AUGMENT, seed=seed, stream="train", position=position, rank=0
        )
        _, targets = feed.place(changed, device=torch.device("cpu"), dtype=torch.float32)
        count += len(targets)
    return count


def _write_jpegs(folder: Path, files: int, seed: int) -> None:
    """Pictures of 64 x 64 pixels as smooth as photographs, whose decoding noise would not resemble."""
    from PIL import Image

    draws = np.random.default_rng(seed)
    for number in range(files):
        path = folder / f"class{number % 2}" / f"{number}.jpg"
        path.parent.mkdir(exist_ok=True)
        coarse = Image.fromarray(draws.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((JPEG_SIDE, JPEG_SIDE), Image.Resampling.BICUBIC).save(path, quality=90)
