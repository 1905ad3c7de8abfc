"""Reweighters: how each example's gradient is weighted. One contract, one file a method.

`METHODS` is the registry; `build` makes a reweighter by name, as the trainer and the command line do.
"""

from gdw.reweight.base import Reweighter, StepResult
from gdw.reweight.class_balanced import ClassBalanced
from gdw.reweight.clean_only import CleanOnly
from gdw.reweight.cleanlab import ConfidentLearning
from gdw.reweight.co_teaching import CoTeaching
from gdw.reweight.elr import ELR
from gdw.reweight.fine_tune import FineTune
from gdw.reweight.focal import Focal
from gdw.reweight.forward_correction import ForwardCorrection
from gdw.reweight.gdw import GDW
from gdw.reweight.gdw_unconstrained import UnconstrainedGDW
from gdw.reweight.glc import GLC
from gdw.reweight.hard_bootstrap import HardBootstrap
from gdw.reweight.inverse_frequency import InverseFrequency
from gdw.reweight.l2rw import L2RW
from gdw.reweight.label_smoothing import LabelSmoothing
from gdw.reweight.ldam import LDAM
from gdw.reweight.logit_adjustment import LogitAdjustment
from gdw.reweight.meta_weight_net import MetaWeightNet
from gdw.reweight.plain import Plain
from gdw.reweight.plain_clean import PlainClean
from gdw.reweight.posterior import PosteriorLabels
from gdw.reweight.preparation import Predict, Preparation, Subset
from gdw.reweight.presets import PRESETS, Preset
from gdw.reweight.registry import METHODS, build, check_options
from gdw.reweight.soft_bootstrap import SoftBootstrap
from gdw.reweight.weighting_network import WeightingNetwork

__all__ = [
    "ELR",
    "GDW",
    "GLC",
    "L2RW",
    "LDAM",
    "METHODS",
    "PRESETS",
    "ClassBalanced",
    "CleanOnly",
    "CoTeaching",
    "ConfidentLearning",
    "FineTune",
    "Focal",
    "ForwardCorrection",
    "HardBootstrap",
    "InverseFrequency",
    "LabelSmoothing",
    "LogitAdjustment",
    "MetaWeightNet",
    "Plain",
    "PlainClean",
    "PosteriorLabels",
    "Predict",
    "Preparation",
    "Preset",
    "Reweighter",
    "SoftBootstrap",
    "StepResult",
    "Subset",
    "UnconstrainedGDW",
    "WeightingNetwork",
    "build",
    "check_options",
]
