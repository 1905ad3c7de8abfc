"""A backbone at work: on the GPU if there is one, otherwise on all cores."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdw.backbones.backbone import Backbone, device_of
from gdw.data.features.shard import Features
from gdw.data.features.store import Precision
from gdw.errors import ModelError
from gdw.files.memory import local_processes, usable_cores

# One thread for each batch is faster than several threads for one layer. Beyond this number they would wait
# for the interpreter's lock.
_MOST_WORKERS = 16
# Small batches stay in the cache of a core.
_BATCH_ON_CPU, _BATCH_ON_GPU = 32, 128


def fastest_device() -> torch.device:
    """The GPU if there is one."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def precision(name: str) -> Precision:
    """The type of the numbers inside the backbone `name`: bfloat16 where this machine computes in it.

    On a CPU with such instructions it is twice as fast or more. A module of the user, whose name has no
    library as in "timm:resnet18", computes in its own types.
    """
    return "bfloat16" if ":" in name and _has_bfloat16(fastest_device()) else "float32"


def _has_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # The functions that tell it have no public names, and older versions of PyTorch lack some.
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    asked = (getattr(torch.cpu, name, None) for name in names)
    return device.type == "cpu" and any(ask() for ask in asked if ask is not None)


class NetworkAtWork:
    """A context in which `features` may be called by `workers` threads at a time.

    It moves the backbone to the device, and back at the end. Each thread calls `prepare_thread` first.

    Args:
        backbone: the network.
        precision: the type of the numbers inside it.
    """

    def __init__(self, backbone: Backbone, precision: Precision) -> None:
        self._backbone = backbone
        self.device = fastest_device()
        given = int(os.environ.get("OMP_NUM_THREADS") or 0)
        cores = given if given > 0 else max(1, usable_cores() // local_processes())
        self.workers = max(1, min(cores, _MOST_WORKERS))
        self.batch_size = _BATCH_ON_CPU if self.device.type == "cpu" else _BATCH_ON_GPU
        self._threads_of_layer = max(1, cores // self.workers)
        self._precision = precision
        # Tokenizers must not be used by two threads at a time; a GPU has room for one batch.
        self._preparing = threading.Lock() if backbone.kind == "text" else nullcontext()
        self._computing = nullcontext() if self.device.type == "cpu" else threading.Lock()
        self._home = device_of(backbone.module)

    def __enter__(self) -> NetworkAtWork:
        self._threads = torch.get_num_threads()
        self._backbone.module.to(self.device)
        return self

    def __exit__(self, *error: object) -> None:
        self._backbone.module.to(self._home)
        torch.set_num_threads(self._threads)

    def prepare_thread(self) -> None:
        """Let the layers that this thread runs use its share of the cores."""
        torch.set_num_threads(self._threads_of_layer)

    def features(self, raw: Sequence[Any]) -> tuple[Features, NDArray[np.bool_]]:
        """The features of B examples, float32 `(B, F)`, and which of them are cut, booleans `(B,)`.

        Raises:
            ModelError: the network returns something else than `(B, F)`.
        """
        with self._preparing:
            inputs = self._backbone.preprocessing(raw)
            cut = self._cut(raw, inputs)
        with (
            self._computing,
            torch.inference_mode(),
            self._mixed_precision(),
        ):
            found: Any = self._backbone.module(inputs.to(self.device))
            shape = (len(raw), self._backbone.width)
            if not isinstance(found, Tensor) or tuple(found.shape) != shape:
                got = tuple(found.shape) if isinstance(found, Tensor) else type(found).__name__
                raise ModelError(
                    f"{self._backbone.name}: expected features of shape {shape}, found {got}: a backbone "
                    "must return one row of features for each example"
                )
            return found.float().cpu().numpy(), cut

    def _mixed_precision(self) -> AbstractContextManager[object]:
        if self._precision == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)

    def _cut(self, raw: Sequence[Any], inputs: Tensor) -> NDArray[np.bool_]:
        """Which texts are longer than the limit: of those that reach it, the tokenizer says which."""
        cut = np.zeros(len(raw), dtype=bool)
        preprocessing: Any = self._backbone.preprocessing
        limit = preprocessing.settings.get("limit")
        if limit is None or inputs.ndim != 2 or inputs.shape[1] < limit:
            return cut
        for row in np.flatnonzero((inputs[:, limit - 1] >= 0).numpy()).tolist():
            cut[row] = preprocessing.tokenised([raw[row]])[1] > 0
        return cut
