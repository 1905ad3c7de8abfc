"""Training on Lightning Fabric: the loop, its configuration, checkpoints, history and evaluation."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gdw.train.callback import Callback
    from gdw.train.config import TrainConfig
    from gdw.train.evaluation import evaluate
    from gdw.train.result import FitResult
    from gdw.train.run import RunFolder
    from gdw.train.trainer import Trainer

_HOME = {
    "Callback": "gdw.train.callback",
    "FitResult": "gdw.train.result",
    "RunFolder": "gdw.train.run",
    "TrainConfig": "gdw.train.config",
    "Trainer": "gdw.train.trainer",
    "evaluate": "gdw.train.evaluation",
}

__all__ = ["Callback", "FitResult", "RunFolder", "TrainConfig", "Trainer", "evaluate"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'gdw.train' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
