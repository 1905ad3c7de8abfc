"""Reweighters: how each example's gradient is weighted. One contract, one file a method.

`METHODS` is the registry; `build` makes a reweighter by name, as the trainer and the command line do.
"""

from gdw.reweight.base import Reweighter, StepResult
from gdw.reweight.gdw import GDW
from gdw.reweight.l2rw import L2RW
from gdw.reweight.meta_weight_net import MetaWeightNet
from gdw.reweight.plain import Plain
from gdw.reweight.preparation import Predict, Preparation, Subset
from gdw.reweight.presets import PRESETS, Preset
from gdw.reweight.registry import METHODS, build, check_options
from gdw.reweight.weighting_network import WeightingNetwork

__all__ = [
    "GDW",
    "L2RW",
    "METHODS",
    "PRESETS",
    "MetaWeightNet",
    "Plain",
    "Predict",
    "Preparation",
    "Preset",
    "Reweighter",
    "StepResult",
    "Subset",
    "WeightingNetwork",
    "build",
    "check_options",
]
