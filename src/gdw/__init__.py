"""Generalized Data Weighting: train classifiers on wrong labels and unbalanced classes.

Every name is imported on first use, so that `import gdw` and `gdw --help` stay fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdw._lazy import lazy
from gdw._version import __version__

if TYPE_CHECKING:
    from gdw import (
        audit,
        backbones,
        certify,
        data,
        functional,
        hypergradient,
        models,
        report,
        reweight,
        runs,
        train,
        verify,
    )
    from gdw.errors import GDWError
    from gdw.estimator import GDWClassifier
    from gdw.estimator.suggesting import suggest
    from gdw.reweight import GDW, L2RW, MetaWeightNet, Plain, Robust, StepResult
    from gdw.runs import load
    from gdw.train import TrainConfig, Trainer, prepare

_HOME = {
    "GDW": "gdw.reweight",
    "MetaWeightNet": "gdw.reweight",
    "L2RW": "gdw.reweight",
    "Plain": "gdw.reweight",
    "Robust": "gdw.reweight",
    "StepResult": "gdw.reweight",
    "Trainer": "gdw.train",
    "TrainConfig": "gdw.train",
    "prepare": "gdw.train",
    "GDWClassifier": "gdw.estimator",
    "GDWError": "gdw.errors",
    "load": "gdw.runs.run",
    "suggest": "gdw.estimator.suggesting",
}
_MODULES = (
    "audit",
    "backbones",
    "certify",
    "data",
    "functional",
    "hypergradient",
    "models",
    "report",
    "reweight",
    "runs",
    "train",
    "verify",
)

__all__ = [
    "GDW",
    "L2RW",
    "GDWClassifier",
    "GDWError",
    "MetaWeightNet",
    "Plain",
    "Robust",
    "StepResult",
    "TrainConfig",
    "Trainer",
    "__version__",
    "audit",
    "backbones",
    "certify",
    "data",
    "functional",
    "hypergradient",
    "load",
    "models",
    "prepare",
    "report",
    "reweight",
    "runs",
    "suggest",
    "train",
    "verify",
]


__getattr__ = lazy(__name__, _HOME, _MODULES)


def __dir__() -> list[str]:
    return sorted(__all__)
