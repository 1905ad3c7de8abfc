"""What a training step costs on this machine: each method as it is, and captured in a CUDA graph.

Usage: python scripts/gpu_check.py --out FOLDER [--device cpu] [--steps 100] [--methods plain,gdw]

Trains ResNet-32 on random images of 32 pixels, batch 100 + 100, with `gdw.Trainer`, and writes `check.json`:
the milliseconds of a step by the clock, between two moments at which the GPU has nothing left to do, and the
most memory in use. A method that fails is written with its error, and the others run.
"""

from __future__ import annotations

import argparse
import json
import time
import traceback
import typing
from pathlib import Path
from typing import Any

import torch

from gdw import Trainer
from gdw.data.examples import Examples
from gdw.models import build_model
from gdw.train import Callback, TrainConfig

BATCH, WARMUP = 100, 30
PIXELS = (3, 32, 32)


class Clock(Callback):
    """Measures the steps after the first ones of the last training that it sees."""

    def __init__(self, first: int, last: int) -> None:
        self._first, self._last = first, last
        self._seen, self._began = 0, 0.0
        self.milliseconds = float("nan")

    def on_batch(self, epoch: int, indices: Any, result: Any) -> None:  # noqa: ARG002
        self._seen += 1
        if self._seen == self._first:
            self._began = _now()
        elif self._seen == self._last:
            self.milliseconds = 1000 * (_now() - self._began) / (self._last - self._first)


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
    last = WARMUP + steps if on_gpu else 2 + steps
    first = WARMUP if on_gpu else 2
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
    trainer.fit(model, images(BATCH * last, 0), images(1000, 1), callbacks=[clock])
    return {
        "milliseconds": round(clock.milliseconds, 3),
        "peak_megabytes": round(torch.cuda.max_memory_allocated() / 1e6, 1) if on_gpu else None,
        "seconds_in_all": round(time.perf_counter() - began, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--methods", default="plain,gdw,mwn,robust")
    arguments = parser.parse_args()
    device = arguments.device
    found: dict[str, Any] = {
        "torch": torch.__version__,
        "card": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "steps": {},
    }
    for method in arguments.methods.split(","):
        for name, options in captures().items():
            label = f"{method} {name}"
            try:
                found["steps"][label] = measure(method, arguments.steps, device, options)
            except Exception as error:  # noqa: BLE001 - the other methods are to be measured too
                text = traceback.format_exc(limit=-3)
                found["steps"][label] = {"error": f"{type(error).__name__}: {error}", "trace": text}
            print(label, json.dumps(found["steps"][label]), flush=True)
            arguments.out.mkdir(parents=True, exist_ok=True)
            (arguments.out / "check.json").write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
