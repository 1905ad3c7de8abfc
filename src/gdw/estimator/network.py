"""The network of a fit: by name, or the user's own module."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from gdw.data.examples import Inputs
from gdw.errors import ConfigError, ModelError
from gdw.hypergradient.inputs import default_forward
from gdw.models import build_model
from gdw.train.evaluation import evaluation_mode, whereabouts
from gdw.train.feed import place

Factory = Callable[[tuple[int, ...], int], nn.Module]
"""From the shape of one example and the number of classes to a network."""


def build_network(
    model: str, module: nn.Module | Factory | None, *, encoder: Any, num_classes: int, seed: int
) -> nn.Module:
    """A network from inputs `(B, *encoder.input_shape)` to logits `(B, num_classes)`, new at each call.

    Raises `ConfigError` for a name or a module that is none.
    """
    if module is None:
        return build_model(
            model,
            input_shape=encoder.input_shape,
            num_classes=num_classes,
            mean_std=encoder.mean_std,
            kind=encoder.kind,
            seed=seed,
        )
    if isinstance(module, nn.Module):
        return copy.deepcopy(module)
    if not callable(module):
        raise ConfigError(
            f"module: expected an nn.Module or a function (input_shape, num_classes) -> nn.Module, "
            f"found {type(module).__name__}"
        )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        made = module(encoder.input_shape, num_classes)
    if not isinstance(made, nn.Module):
        raise ConfigError(
            f"module: the function returned {type(made).__name__}, expected an nn.Module"
        )
    return made


def check_logits(network: nn.Module, inputs: Inputs | torch.Tensor, num_classes: int) -> None:
    """Raise `ModelError` unless `network` gives one logit a class for the first of `inputs`."""
    device, dtype = whereabouts(network)
    batch = (inputs[np.zeros(1, dtype=np.int64)], torch.zeros(1, dtype=torch.int64))
    with evaluation_mode(network), torch.no_grad():
        logits = default_forward(network, place(batch, device=device, dtype=dtype)[0])
    if logits.shape != (1, num_classes):
        raise ModelError(
            f"module: expected logits of shape (B, {num_classes}), one for each class of y, found "
            f"{('B', *logits.shape[1:])}: give it {num_classes} outputs"
        )
