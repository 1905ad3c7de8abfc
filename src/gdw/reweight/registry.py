"""Methods by the names that configuration files and the command line use."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from gdw.errors import ConfigError, nearest
from gdw.reweight.base import Reweighter
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
from gdw.reweight.soft_bootstrap import SoftBootstrap

METHODS: dict[str, type[Reweighter]] = {
    "gdw": GDW,
    "gdw_unconstrained": UnconstrainedGDW,
    "mwn": MetaWeightNet,
    "l2rw": L2RW,
    "plain": Plain,
    "plain_clean": PlainClean,
    "clean_only": CleanOnly,
    "fine_tune": FineTune,
    "class_balanced": ClassBalanced,
    "inverse_frequency": InverseFrequency,
    "focal": Focal,
    "ldam": LDAM,
    "logit_adjustment": LogitAdjustment,
    "label_smoothing": LabelSmoothing,
    "soft_bootstrap": SoftBootstrap,
    "hard_bootstrap": HardBootstrap,
    "forward": ForwardCorrection,
    "glc": GLC,
    "co_teaching": CoTeaching,
    "elr": ELR,
    "cleanlab": ConfidentLearning,
    "posterior": PosteriorLabels,
}


def check_options(method: str, options: Mapping[str, Any]) -> None:
    """Whether the method exists and takes these options with these values, before any work.

    Raises:
        ConfigError: unknown method or option, with the nearest known one; or a value that does not fit.
    """
    if method not in METHODS:
        raise ConfigError(
            f"unknown method {method!r}: expected one of {', '.join(METHODS)}."
            f"{nearest(method, METHODS)}"
        )
    signature = inspect.signature(METHODS[method].__init__).parameters
    known = [name for name, p in signature.items() if p.kind is p.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            raise ConfigError(
                f"method {method!r} has no option {name!r}: it takes {', '.join(known)}."
                f"{nearest(name, known)}"
            )
    with torch.random.fork_rng(devices=[]):
        # Whether the head exists is for the real model to say.
        tried = {k: v for k, v in options.items() if k != "head"}
        model = nn.Sequential(nn.Linear(1, 2))
        try:
            METHODS[method](model, torch.optim.SGD(model.parameters(), lr=1.0), **tried)
        except TypeError as error:
            raise ConfigError(f"method {method!r}: an option has a wrong type ({error})") from error


def build(method: str, model: nn.Module, optimizer: Optimizer, **options: Any) -> Reweighter:
    """The reweighter of that name, e.g. `build("gdw", model, optimizer, clip=0.5)`.

    Raises:
        ConfigError: unknown method or option.
    """
    check_options(method, options)
    return METHODS[method](model, optimizer, **options)
