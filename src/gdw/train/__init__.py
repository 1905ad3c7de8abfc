"""Training on Lightning Fabric: the loop, its configuration, checkpoints, history and evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdw._lazy import lazy

if TYPE_CHECKING:
    from gdw.train.callback import Callback
    from gdw.train.config import TrainConfig
    from gdw.train.evaluation import evaluate
    from gdw.train.result import FitResult
    from gdw.train.run_folder import RunFolder
    from gdw.train.trainer import Trainer
    from gdw.train.watched import Watched

_HOME = {
    "Callback": "gdw.train.callback",
    "FitResult": "gdw.train.result",
    "RunFolder": "gdw.train.run_folder",
    "TrainConfig": "gdw.train.config",
    "Trainer": "gdw.train.trainer",
    "Watched": "gdw.train.watched",
    "evaluate": "gdw.train.evaluation",
}

__all__ = [
    "Callback",
    "FitResult",
    "RunFolder",
    "TrainConfig",
    "Trainer",
    "Watched",
    "evaluate",
]


__getattr__ = lazy(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
