"""Preparing a method for a training loop of your own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.optim import SGD, Adam, AdamW, Optimizer

from gdw.errors import ConfigError
from gdw.hypergradient.collective import require_whole
from gdw.hypergradient.inputs import Forward
from gdw.reweight.base import Reweighter
from gdw.train.before_training import check_before_training, make_sets
from gdw.train.evaluation import device_and_dtype
from gdw.train.feed import Data
from gdw.train.processes import seeded
from gdw.train.trainer import Trainer


def prepare(
    reweighter: Reweighter,
    train: Data,
    meta: Data | None = None,
    *,
    epochs: int,
    batch_size: int = 100,
    forward: Forward | None = None,
    **training_options: Any,
) -> None:
    """Prepare a method for a training loop of your own, as `gdw.Trainer` does before its first step.

    Some methods look at the whole training set before the first step. They may fit copies of the untrained
    model, for example one per fold of the clean examples. Call this function once, before your loop, with
    the untrained model. Then pass `indices` to `backward`: the positions of the batch's examples in `train`.
    If the method's `joins_clean` is true, draw the batches from the examples of `train` followed by those
    of `meta`; the indices of the clean examples continue those of `train`. If its `clean_targets()` is not
    None, they replace the targets of `meta` in the meta batches.

    Args:
        reweighter: the method, made with your model and your optimizer.
        train: the training set: a map-style data set, or a pair `(X, y)`, see `gdw.Trainer.fit`.
        meta: the clean examples, in the same form.
        epochs: how many epochs your loop will train.
        batch_size: the batch size of your loop.
        forward: `(model, inputs) -> logits`; None: the reweighter's.
        training_options: options of `TrainConfig` for the models that are fitted, such as `lr` or `seed`. By
            default `optimizer`, `lr`, `momentum`, `nesterov` and `weight_decay` are those of the
            reweighter's optimizer (SGD, Adam or AdamW), `accelerator` and `precision` those of its model.

    Raises:
        ConfigError: the method needs clean examples and `meta` is None; an option is unknown or wrong; or the
            model is sharded.
        DataError, ModelError: the data or the model cannot be used.

    Example:
        >>> import torch, gdw
        >>> X, y = torch.randn(60, 4), torch.randint(3, (60,))  # labels that may be wrong
        >>> X_clean, y_clean = torch.randn(12, 4), torch.arange(12) % 3
        >>> model = torch.nn.Linear(4, 3)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> reweighter = gdw.reweight.build("glc", model, optimizer)
        >>> gdw.prepare(reweighter, (X, y), (X_clean, y_clean), epochs=2, batch_size=24, progress="none")
        >>> X_all, y_all = torch.cat([X, X_clean]), torch.cat([y, y_clean])  # reweighter.joins_clean is True
        >>> for epoch in range(2):
        ...     for indices in torch.randperm(72).split(24):
        ...         optimizer.zero_grad()
        ...         result = reweighter.backward((X_all[indices], y_all[indices]), indices=indices)
        ...         optimizer.step()
        >>> result.weights.shape
        torch.Size([24, 3])
    """
    for name in ("method", "method_options"):
        if name in training_options:
            raise ConfigError(f"{name}: the reweighter is the method, leave {name} out")
    kind, problem = type(reweighter), reweighter._problem
    require_whole(problem.model)
    sets = make_sets(kind, kind.__name__, train, meta)
    device, dtype = device_and_dtype(problem.model)
    options = {
        **_optimizer_options(problem.optimizer, training_options),
        "accelerator": device.type,
        "precision": "64" if dtype == torch.float64 else "32",
        **training_options,
    }
    trainer = Trainer(
        method="plain",
        epochs=epochs,
        batch_size=batch_size,
        forward=forward or problem.forward,
        **options,
    )
    if kind.prepare is not Reweighter.prepare:
        known = {"train": sets.train, "meta": sets.meta}
        check_before_training(problem.model, known, trainer.forward, config=trainer.config)
    with seeded(trainer.config.seed + trainer.processes.rank, device):
        trainer.prepare(reweighter, problem.model, sets)


def _optimizer_options(optimizer: Optimizer, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the user's optimizer that a `TrainConfig` has; none if `given` names another."""
    if "optimizer" in given:
        return {}
    first = optimizer.param_groups[0]
    # A scheduler may have changed the rate already, for example at the start of a warmup.
    options = {"lr": float(first.get("initial_lr", first["lr"]))}
    if isinstance(optimizer, SGD):
        names = ("momentum", "nesterov", "weight_decay")
        return {**options, "optimizer": "sgd", **{name: first[name] for name in names}}
    if isinstance(optimizer, (Adam, AdamW)):
        return {**options, "optimizer": "adamw", "weight_decay": first["weight_decay"]}
    raise ConfigError(
        f"optimizer: expected the reweighter's to be SGD, Adam or AdamW, found {type(optimizer).__name__}: "
        "name one for the models that are fitted, such as optimizer='sgd', lr=0.1"
    )
