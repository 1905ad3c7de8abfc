"""The methods: how each example's gradient is weighted. All follow one contract, `Reweighter`.

`METHODS` is the registry. `build` makes a method by name, as the trainer and the command line do. Every name
is imported when it is first used, so that the registry can be read without PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdw._lazy import lazy

if TYPE_CHECKING:
    from gdw.reweight.base import Reweighter
    from gdw.reweight.gdw import GDW, PRESETS, UnconstrainedGDW
    from gdw.reweight.l2rw import L2RW
    from gdw.reweight.learned_weights import WeightingNetwork
    from gdw.reweight.meta_weight_net import MetaWeightNet
    from gdw.reweight.plain import Plain
    from gdw.reweight.preparation import Predict, Preparation, Subset
    from gdw.reweight.registry import METHODS, build, check_options
    from gdw.reweight.robust import Robust
    from gdw.reweight.step_result import StepResult

_HOME = {
    "GDW": "gdw.reweight.gdw",
    "L2RW": "gdw.reweight.l2rw",
    "METHODS": "gdw.reweight.registry",
    "MetaWeightNet": "gdw.reweight.meta_weight_net",
    "PRESETS": "gdw.reweight.gdw",
    "Plain": "gdw.reweight.plain",
    "Predict": "gdw.reweight.preparation",
    "Preparation": "gdw.reweight.preparation",
    "Reweighter": "gdw.reweight.base",
    "Robust": "gdw.reweight.robust",
    "StepResult": "gdw.reweight.step_result",
    "Subset": "gdw.reweight.preparation",
    "UnconstrainedGDW": "gdw.reweight.gdw",
    "WeightingNetwork": "gdw.reweight.learned_weights",
    "build": "gdw.reweight.registry",
    "check_options": "gdw.reweight.registry",
}

__all__ = [
    "GDW",
    "L2RW",
    "METHODS",
    "PRESETS",
    "MetaWeightNet",
    "Plain",
    "Predict",
    "Preparation",
    "Reweighter",
    "Robust",
    "StepResult",
    "Subset",
    "UnconstrainedGDW",
    "WeightingNetwork",
    "build",
    "check_options",
]

__getattr__ = lazy(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
