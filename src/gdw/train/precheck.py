"""What can be known to fail is said before training starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from gdw.errors import ConfigError
from gdw.hypergradient.inputs import Forward
from gdw.hypergradient.preserve import preserved_buffers
from gdw.train import feed
from gdw.train.config import TrainConfig
from gdw.train.evaluation import check_classes, evaluation_mode, whereabouts
from gdw.train.random_state import seeded

_LOOK = 8

# The sets trained on, and the option that says how many examples a batch of each has.
_BATCH_SIZES = {"train": "batch_size", "meta": "meta_batch_size"}

# What PyTorch's batch_norm says; the same type of error may be the model's own.
_TOO_FEW = "more than 1 value per channel"


def check_before_training(
    model: nn.Module,
    sets: Mapping[str, Any],
    forward: Forward,
    *,
    config: TrainConfig,
    processes: int = 1,
) -> None:
    """Run `model` once on a few training examples and hold the logits against the targets of all `sets`.

    `ModelError` for a class without a logit. `ConfigError` for augmentation of what are no images, and for
    batches of a single example a process that the model's BatchNorm cannot work with. The model, its
    buffers and the random state stay as they are.
    """
    device, dtype = whereabouts(model)
    logits: Tensor | None = None
    with seeded(0, device), preserved_buffers(model), torch.no_grad():
        for name, dataset in sets.items():
            if dataset is None:
                continue
            few = list(range(min(_LOOK, len(dataset))))
            batch = feed.place(next(feed.batches(dataset, [few])), device=device, dtype=dtype)
            if logits is None:
                with evaluation_mode(model):
                    logits = forward(model, batch[0])
            known = getattr(dataset, "targets", None)
            check_classes(logits, known if isinstance(known, Tensor) else batch[1], name)
            if name in _BATCH_SIZES:
                if config.augment != "none":
                    _check_images(batch[0], name, config.augment)
                if _share(dataset, name, config, processes) == 1 and _normalises(model):
                    one = next(feed.batches(dataset, [[0]]))
                    inputs, _ = feed.place(one, device=device, dtype=dtype)
                    _check_single(model, inputs, forward, name, config=config, processes=processes)


def _check_images(inputs: Any, name: str, augment: str) -> None:
    if not isinstance(inputs, Tensor) or inputs.dim() != 4:
        found = (
            f"inputs of shape {tuple(inputs.shape)}"
            if isinstance(inputs, Tensor)
            else type(inputs).__name__
        )
        raise ConfigError(
            f"augment={augment!r} (--augment) crops and flips images: expected {name} inputs of shape "
            f"(B, C, H, W), found {found}; leave it out"
        )


def _normalises(model: nn.Module) -> bool:
    return any(isinstance(m, _BatchNorm) and m.training for m in model.modules())


def _share(dataset: Any, name: str, config: TrainConfig, processes: int) -> int:
    """How many examples of a batch the process with the fewest gets."""
    size: int = getattr(config, _BATCH_SIZES[name])
    return min(size, len(dataset)) // processes


def _check_single(
    model: nn.Module,
    inputs: Any,
    forward: Forward,
    name: str,
    *,
    config: TrainConfig,
    processes: int,
) -> None:
    """Try the model in train mode on one example: BatchNorm over pixels can do with it, others cannot."""
    try:
        forward(model, inputs)
    except ValueError as error:
        if _TOO_FEW not in str(error):
            raise
    else:
        return
    option = _BATCH_SIZES[name]
    alone = "" if processes == 1 else f" in each of {processes} processes"
    fix = (
        f"give at least {2 * processes} {name} examples"
        if getattr(config, option) >= 2 * processes
        else f"use a {option} (--{option.replace('_', '-')}) of {2 * processes} or more"
    )
    if processes > 1:
        fix += ", or fewer processes"
    raise ConfigError(
        f"{name}: a batch has 1 example{alone}, but the model's BatchNorm needs at least 2 to normalise: "
        f"{fix}"
    )
