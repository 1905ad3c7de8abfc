"""Before the first step: the check of model and data, and what `Reweighter.prepare` may do."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import Optimizer

from gdw.data.examples import Examples
from gdw.errors import ConfigError
from gdw.functional.losses import require_distributions
from gdw.hypergradient.inputs import Forward
from gdw.hypergradient.preserve import preserved_buffers
from gdw.reweight import Reweighter
from gdw.reweight.preparation import Predict, Subset
from gdw.reweight.robust.method import CorrectedPlain
from gdw.seeding import generator
from gdw.train import feed
from gdw.train.config import TrainConfig
from gdw.train.evaluation import (
    check_classes,
    device_and_dtype,
    evaluation_mode,
    logits_of,
    predict_probabilities,
    require_finite,
)
from gdw.train.processes import seeded

Build = Callable[[nn.Module, Optimizer], Reweighter]
FitPlainly = Callable[[TrainConfig, nn.Module, Examples, "Build | None"], None]

# How many examples of each data set are tried.
_TRIED = 8

# The data sets that are trained on, and the option that is the batch size of each.
_BATCH_SIZES = {"train": "batch_size", "meta": "meta_batch_size"}

# The message of PyTorch's batch_norm. The model itself may raise the same type of error.
_TOO_FEW = "more than 1 value per channel"


def make_sets(
    method: type[Reweighter],
    name: str,
    train: feed.Data,
    meta: feed.Data | None,
    test: feed.Data | None = None,
) -> feed.DataSets:
    """The data sets of a training by `method`; clean examples that it does not need are left out.

    `name` is that of the method in error messages.

    Raises:
        ConfigError: the method needs clean examples, and `meta` is None.
        DataError: data cannot be used.
        MissingDependencyError: the method needs a package that is not installed.
    """
    method.check_installed()
    if method.needs_clean and meta is None:
        raise ConfigError(
            f"method {name!r} needs some examples whose labels you have verified (10 or more per class): "
            "give them as meta=(X, y). No verified examples yet? Check 10 to 20 of each class by hand, or "
            "train without them: method='plain'"
        )
    return feed.DataSets(
        train=feed.as_dataset(train, "train"),
        meta=feed.as_dataset(meta, "meta") if method.needs_clean and meta is not None else None,
        test=feed.as_dataset(test, "test") if test is not None else None,
    )


class TrainerPreparation:
    """The `gdw.reweight.Preparation` of a training. Every process does the same work.

    Args:
        config: the options of the training.
        sets: its data sets.
        model: the untrained model; copies of it are trained.
        forward: `(model, inputs) -> logits`.
        fit_plainly: `(config, model, data, build)` trains a model in place, with the reweighter that
            `build` makes; None: with `Plain`.
        say: shows a message to the user.
    """

    def __init__(
        self,
        *,
        config: TrainConfig,
        sets: feed.DataSets,
        model: nn.Module,
        forward: Forward,
        fit_plainly: FitPlainly,
        say: Callable[[str], None],
    ) -> None:
        self._config = config
        self._sets = sets
        self._model = model
        self._forward = forward
        self._fit_plainly = fit_plainly
        self._say = say
        self.epochs = config.epochs
        self.batch_size = config.batch_size
        self.seed = config.seed

    @cached_property
    def given(self) -> Tensor:
        return feed.targets_of(self._sets.train)

    @cached_property
    def clean(self) -> Tensor | None:
        return None if self._sets.meta is None else feed.targets_of(self._sets.meta)

    @cached_property
    def num_classes(self) -> int:
        few = Subset("given", torch.arange(min(2, len(self._sets.train))))
        return self._predict(self._model, few).shape[1]

    def say(self, what: str) -> None:
        self._say(what)

    def fit(
        self,
        subsets: Sequence[Subset],
        *,
        epochs: int | None = None,
        seed: int = 0,
        what: str = "",
        offset: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Predict:
        self._say(what or "training a first model")
        model = copy.deepcopy(self._model)
        # The copy is trained on this device, without checkpoints, and by no method that prepares itself.
        fit_seed = int(generator(self._config.seed, "preparation", "fit", seed).integers(2**31))
        config = self._config.model_copy(
            update={
                "method": "plain",
                "method_options": {},
                "epochs": epochs or self._config.epochs,
                "warmup_epochs": min(self._config.warmup_epochs, (epochs or 2) / 2),
                "seed": fit_seed,
                "progress": "none",
            }
        )
        # Joining reads examples, and a data set with random transforms draws random numbers for them.
        with seeded(fit_seed, device_and_dtype(model)[0]):
            first, *others = map(self._examples, subsets)
            data = first.joined(*others) if others else first
        build = None if offset is None else self._corrected(subsets, offset, noise)
        self._fit_plainly(config, model, data, build)
        return lambda subset: self._predict(model, subset)

    def _corrected(self, subsets: Sequence[Subset], offset: Tensor, noise: Tensor | None) -> Build:
        doubtful = torch.cat([torch.full((len(s.indices),), s.part == "given") for s in subsets])

        def build(model: nn.Module, optimizer: Optimizer) -> Reweighter:
            return CorrectedPlain(
                model,
                optimizer,
                doubtful=doubtful,
                offset=offset,
                noise=noise,
                forward=self._forward,
            )

        return build

    def _predict(self, model: nn.Module, subset: Subset) -> Tensor:
        predictions = predict_probabilities(
            model,
            self._examples(subset),
            batch_size=self._config.eval_batch_size,
            forward=self._forward,
        )
        return torch.cat([probabilities for _, probabilities in predictions])

    def _examples(self, subset: Subset) -> Examples:
        given = subset.part == "given"
        dataset: Any = self._sets.train if given else self._sets.meta
        targets = self.given if given else self.clean
        assert targets is not None, "a method that asks for clean examples says so by needs_clean"
        # The targets may be on a device, but those of a subset are on the CPU.
        selected = Examples(dataset.inputs, targets).select(
            subset.indices, "train" if given else "meta"
        )
        return selected if subset.targets is None else Examples(selected.inputs, subset.targets)


def check_before_training(
    model: nn.Module,
    sets: Mapping[str, Any],
    forward: Forward,
    *,
    config: TrainConfig,
    processes: int = 1,
) -> None:
    """Run the model on a few examples, to find errors before training; model and random state stay.

    Args:
        model: the model, in train mode.
        sets: data sets by name; None for one that is not used.
        forward: `(model, inputs) -> logits`.
        config: the options of the training.
        processes: how many processes share each batch.

    Raises:
        DataError: the model has no finite output for an input, or probabilities do not sum to one.
        ModelError: a class has no logit.
        ConfigError: augmentation of inputs that are not images; or batches of a single example per process,
            which the model's BatchNorm cannot normalise.
    """
    device, dtype = device_and_dtype(model)
    logits: Tensor | None = None
    with seeded(0, device), preserved_buffers(model), torch.no_grad():
        for name, dataset in sets.items():
            if dataset is None:
                continue
            doubtful = getattr(dataset, "worth_trying", [])
            few = [*range(min(_TRIED, len(dataset))), *doubtful]
            batch = feed.place(next(feed.batches(dataset, [few])), device=device, dtype=dtype)
            if logits is None or doubtful:
                with evaluation_mode(model):
                    logits = logits_of(model, batch[0], forward, name)
            known = dataset.targets if isinstance(dataset, Examples) else dataset.known_targets
            known = batch[1] if known is None else known
            check_classes(logits, known, name)
            require_distributions(known, name)
            if doubtful:
                require_finite(logits, batch[0], few, dataset, name)
            if name in _BATCH_SIZES and config.augment != "none":
                _check_images(batch[0], name, config.augment)
            if _fewest(dataset, name, config, processes) == 1 and _has_batchnorm(model):
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


def _has_batchnorm(model: nn.Module) -> bool:
    return any(isinstance(m, _BatchNorm) and m.training for m in model.modules())


def _fewest(dataset: Any, name: str, config: TrainConfig, processes: int) -> int | None:
    """The smallest number of examples that a process gets of a batch; None for data without batches."""
    if name not in _BATCH_SIZES:
        return None
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
    """Try one example in train mode: BatchNorm over pixels can normalise it, other BatchNorm cannot."""
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
