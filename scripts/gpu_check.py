"""What a training step costs on this machine: each method as it is, and captured in a CUDA graph.

Usage: python scripts/gpu_check.py --out FOLDER [--device cpu] [--steps 100] [--methods plain,gdw]

Trains ResNet-32 on random images of 32 pixels, batch 100 + 100, with `gdw.Trainer`, and writes `check.json`:
the milliseconds of a step by the clock, between two moments at which the GPU has nothing left to do, and the
most memory in use. A method that fails is written with its error, and the others run. After the steps that
are timed, ten are profiled: how many kernels a step has, and how long they keep the GPU busy. With --variants
the captured steps are also timed with cuDNN's benchmark, with images channels-last, and without TF32; with
--captured steps that are not captured are left out.
"""

from __future__ import annotations

import argparse
import json
import time
import traceback
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from gdw import Trainer
from gdw.data.examples import Examples
from gdw.models import build_model
from gdw.train import Callback, TrainConfig
from gdw.train.device_examples import DeviceBatches
from gdw.train.monitoring import TrainingView

BATCH, WARMUP, PROFILED = 100, 30, 10
PIXELS = (3, 32, 32)


class Clock(Callback):
    """Measures the steps of a training after the first ones, and then profiles some on a GPU."""

    def __init__(self, first: int, last: int) -> None:
        self._first, self._last = first, last
        self._seen, self._began = 0, 0.0
        self._profile: Any = None
        self.figures: dict[str, Any] = {}

    def on_start(self, training: TrainingView) -> None:
        # The trainings of a preparation have no callbacks, so this is the run itself.
        self._on_gpu = training.processes.device.type == "cuda"

    def on_batch(self, epoch: int, indices: Any, result: Any) -> None:  # noqa: ARG002
        self._seen += 1
        if self._seen == self._first:
            self._began = _now()
        elif self._seen == self._last:
            milliseconds = 1000 * (_now() - self._began) / (self._last - self._first)
            self.figures["milliseconds"] = round(milliseconds, 3)
            if self._on_gpu:
                self._profile = torch.profiler.profile(
                    activities=[torch.profiler.ProfilerActivity.CUDA]
                )
                self._profile.start()
        elif self._seen == self._last + PROFILED and self._profile is not None:
            _now()
            self._profile.stop()
            try:
                self._count_kernels()
            except Exception as error:  # noqa: BLE001 - the time is known all the same
                self.figures["profile"] = f"{type(error).__name__}: {error}"
            self._profile = None

    def _count_kernels(self) -> None:
        events = [e for e in self._profile.events() if str(e.device_type).endswith("CUDA")]
        busy = sum(event.device_time_total for event in events)
        self.figures["kernels"] = round(len(events) / PROFILED)
        self.figures["busy_milliseconds"] = round(busy / 1000 / PROFILED, 3)


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def images(count: int, seed: int) -> Examples:
    draws = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, *PIXELS), generator=draws, dtype=torch.uint8)
    return Examples(pixels, torch.randint(0, 10, (count,), generator=draws))


def captures() -> dict[str, dict[str, Any]]:
    """The options of a training that are measured, by name."""
    field = TrainConfig.model_fields.get("capture")
    if field is None:
        return {"eager": {}}
    other = next(v for v in typing.get_args(field.annotation) if v not in ("auto", True))
    return {"eager": {"capture": other}, "captured": {"capture": "auto"}}


def measure(method: str, steps: int, device: str, options: dict[str, Any]) -> dict[str, Any]:
    """The cost of a step of `method`."""
    on_gpu = device != "cpu"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    first = WARMUP if on_gpu else 2
    last = first + steps
    clock = Clock(first, last)
    began = time.perf_counter()
    trainer = Trainer(
        method=method,
        epochs=1,
        batch_size=BATCH,
        meta_batch_size=BATCH,
        augment="standard",
        accelerator=device,
        progress="none",
        **options,
    )
    model = build_model("resnet32", input_shape=PIXELS, num_classes=10, seed=0)
    count = BATCH * (last + PROFILED * on_gpu)
    trainer.fit(model, images(count, 0), images(1000, 1), callbacks=[clock])
    return {
        **clock.figures,
        "peak_megabytes": round(torch.cuda.max_memory_allocated() / 1e6, 1) if on_gpu else None,
        "seconds_in_all": round(time.perf_counter() - began, 2),
    }


@contextmanager
def variant(name: str) -> Iterator[None]:
    """Inside, steps are computed as `name` says."""
    backends = torch.backends.cudnn
    kept = backends.benchmark, backends.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    original = DeviceBatches.batches

    def channels_last(self: DeviceBatches, *arguments: Any, **options: Any) -> Iterator[Any]:
        for indices, (inputs, targets) in original(self, *arguments, **options):
            yield indices, (inputs.contiguous(memory_format=torch.channels_last), targets)

    backends.benchmark = "benchmark" in name
    if "channels-last" in name:
        DeviceBatches.batches = channels_last  # type: ignore[method-assign]
    if "no TF32" in name:
        backends.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        DeviceBatches.batches = original  # type: ignore[method-assign]
        backends.benchmark, backends.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = kept


VARIANTS = ("benchmark", "channels-last", "channels-last, benchmark", "no TF32")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--methods", default="plain,gdw,mwn,robust")
    parser.add_argument("--variants", action="store_true")
    parser.add_argument("--captured", action="store_true", help="leave out what is not captured")
    arguments = parser.parse_args()
    device = arguments.device
    found: dict[str, Any] = {
        "torch": torch.__version__,
        "card": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "steps": {},
    }
    chosen = {k: v for k, v in captures().items() if k == "captured" or not arguments.captured}
    extra = [("captured", name) for name in VARIANTS if arguments.variants]
    kinds = [(name, "") for name in chosen] + extra
    for method in arguments.methods.split(","):
        for name, how in kinds:
            label = f"{method} {name}" + (f", {how}" if how else "")
            options = captures().get(name, {})
            try:
                with variant(how):
                    found["steps"][label] = measure(method, arguments.steps, device, options)
            except Exception as error:  # noqa: BLE001 - the other methods are to be measured too
                text = traceback.format_exc(limit=-3)
                found["steps"][label] = {"error": f"{type(error).__name__}: {error}", "trace": text}
            print(label, json.dumps(found["steps"][label]), flush=True)
            arguments.out.mkdir(parents=True, exist_ok=True)
            (arguments.out / "check.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
