"""Training on Lightning Fabric: the trainer, its options, callbacks, and evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdw._lazy import lazy

if TYPE_CHECKING:
    from gdw.train.config import TrainConfig
    from gdw.train.custom_loop import prepare
    from gdw.train.evaluation import evaluate
    from gdw.train.monitoring import Callback, TrainingView
    from gdw.train.output import FitResult
    from gdw.train.run_folder import RunFolder
    from gdw.train.trainer import Trainer

_HOME = {
    "RunFolder": "gdw.train.run_folder",
    "Callback": "gdw.train.monitoring",
    "FitResult": "gdw.train.output",
    "TrainConfig": "gdw.train.config",
    "Trainer": "gdw.train.trainer",
    "TrainingView": "gdw.train.monitoring",
    "evaluate": "gdw.train.evaluation",
    "prepare": "gdw.train.custom_loop",
}

__all__ = [
    "Callback",
    "FitResult",
    "RunFolder",
    "TrainConfig",
    "Trainer",
    "TrainingView",
    "evaluate",
    "prepare",
]


__getattr__ = lazy(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
