"""Generalized Data Weighting: train classifiers on wrong labels and unbalanced classes.

Everything below is imported on first use, so that `import gdw` (and `gdw --help`) stay quick.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdw._lazy import lazy
from gdw._version import __version__

if TYPE_CHECKING:
    from gdw import data, functional, hypergradient, models, reweight, train
    from gdw.errors import GDWError
    from gdw.reweight import GDW, L2RW, MetaWeightNet, Plain, StepResult
    from gdw.train import TrainConfig, Trainer

_HOME = {
    "GDW": "gdw.reweight",
    "MetaWeightNet": "gdw.reweight",
    "L2RW": "gdw.reweight",
    "Plain": "gdw.reweight",
    "StepResult": "gdw.reweight",
    "Trainer": "gdw.train",
    "TrainConfig": "gdw.train",
    "GDWError": "gdw.errors",
}
_MODULES = ("data", "functional", "hypergradient", "models", "reweight", "train")

__all__ = [
    "GDW",
    "L2RW",
    "GDWError",
    "MetaWeightNet",
    "Plain",
    "StepResult",
    "TrainConfig",
    "Trainer",
    "__version__",
    "data",
    "functional",
    "hypergradient",
    "models",
    "reweight",
    "train",
]


__getattr__ = lazy(__name__, _HOME, _MODULES)


def __dir__() -> list[str]:
    return sorted(__all__)
