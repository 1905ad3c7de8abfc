"""Before the first step: the data sets of a training, and what makes its model ready and checks it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim import SGD, AdamW, Optimizer

from gdw.data.examples import Examples
from gdw.errors import ConfigError, ModelError, counted
from gdw.functional.wrong_targets import require_distributions
from gdw.hypergradient.inputs import Forward
from gdw.hypergradient.preserve import preserved_buffers
from gdw.reweight.base import Reweighter
from gdw.reweight.registry import METHODS
from gdw.train.config import TrainConfig
from gdw.train.evaluation import (
    check_classes,
    device_and_dtype,
    evaluation_mode,
    logits_of,
    require_finite,
)
from gdw.train.feed import BatchStreams, Data, DataSets, as_dataset, batches, place
from gdw.train.processes import Processes, seeded
from gdw.train.progress import TRAINING, Stage
from gdw.train.threads import Threads, layer_work


class StoppedInPreparation(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or SIGHUP stopped a training while its method was preparing, before the first step.

    Attributes:
        kept: what of the preparation is kept, as a part of a sentence.
        resumable: whether there is a run folder.
    """

    def __init__(self, kept: str, *, resumable: bool) -> None:
        how = ", with resume=True" if resumable else ""
        super().__init__(f"stopped during preparation; {kept}. To go on call fit(...) again{how}")
        self.kept, self.resumable = kept, resumable


# How many examples of each data set are tried.
_TRIED = 8

# The data sets that are trained on, and the option that is the batch size of each.
_BATCH_SIZES = {"train": "batch_size", "meta": "meta_batch_size"}

# The message of PyTorch's batch_norm. The model itself may raise the same type of error.
_TOO_FEW = "more than 1 value per channel"


def make_sets(
    method: type[Reweighter],
    name: str,
    train: Data,
    meta: Data | None,
    test: Data | None = None,
) -> DataSets:
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
    clean = as_dataset(meta, "meta") if method.needs_clean and meta is not None else None
    if isinstance(clean, Sized) and len(clean) < method.fewest_clean:
        raise ConfigError(
            f"method {name!r} needs {method.fewest_clean} or more clean examples, found {len(clean)}: verify "
            "10 or more of each class, or use method 'gdw' (--method gdw --set preset=short)"
        )
    return DataSets(
        train=as_dataset(train, "train"),
        meta=clean,
        test=as_dataset(test, "test") if test is not None else None,
    )


def make_ready(
    model: nn.Module, sets: DataSets, config: TrainConfig, processes: Processes, forward: Forward
) -> AbstractContextManager[None]:
    """Move the model to the device, in train mode and equal on every process, and check it.

    Returns:
        A context with the number of threads that suits it.
    """
    model.to(processes.device, torch.float64 if config.precision == "64" else None)
    if not model.training:
        model.train()
    processes.share(model)
    check = partial(
        check_before_training, model, vars(sets), forward, config=config, processes=processes.size
    )
    # With one thread there is no choice.
    if processes.device.type != "cpu" or torch.get_num_threads() == 1:
        processes.together(check)
        return nullcontext()
    batch_size = config.batch_size / processes.size
    work = layer_work(model, batch_size, lambda: processes.together(check))
    return Threads(work, processes.size)


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
            batch = place(next(batches(dataset, [few])), device=device, dtype=dtype)
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
                one = next(batches(dataset, [[0]]))
                inputs, _ = place(one, device=device, dtype=dtype)
                _check_single(model, inputs, forward, name, config=config, processes=processes)


def _check_images(inputs: Any, name: str, augment: str) -> None:
    if not isinstance(inputs, Tensor) or inputs.dim() != 4:
        shape = getattr(inputs, "shape", None)
        found = type(inputs).__name__ if shape is None else f"inputs of shape {tuple(shape)}"
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


def in_words(fits: Sequence[Stage], kept: int, run: Stage | None) -> str:
    """What will be done: `8 short trainings to prepare, then 80 epochs`."""
    texts = []
    if len(fits) > kept:
        # Each is as long as the run, for example, where a method trains on all examples before.
        longest = 0 if run is None else run.steps * run.size
        short = sum(fit.steps * fit.size for fit in fits) < longest * len(fits)
        kind = "short training" if short else "training"
        texts.append(f"{_part(len(fits) - kept, len(fits), kind)} to prepare")
    if run is not None:
        epochs = _part(run.epochs - run.first, run.epochs, "epoch")
        texts.append(f"then {epochs}" if texts else epochs)
    return ", ".join(texts)


def _part(number: int, whole: int, noun: str) -> str:
    return f"{number} of {counted(whole, noun)}" if number < whole else counted(whole, noun)


def make_optimizer(config: TrainConfig, model: nn.Module) -> Optimizer:
    """The optimizer of the trainable parameters; `ModelError` if there is none."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ModelError(
            "the model has no trainable parameter: set requires_grad on those to train"
        )
    options: Any = {"lr": config.lr, "weight_decay": config.weight_decay}
    # On a GPU a step of the optimizer can be one operation, but not for sparse gradients.
    if all(p.is_cuda for p in parameters) and not any(
        vars(m).get("sparse") for m in model.modules()
    ):
        options["fused"] = True
    if config.optimizer == "adamw":
        return AdamW(parameters, **options)
    return SGD(parameters, momentum=config.momentum, nesterov=config.nesterov, **options)


def make_streams(
    config: TrainConfig, sets: DataSets, model: nn.Module, processes: Processes
) -> BatchStreams:
    """The batches of this process, on the device and in the dtype of `model`."""
    device, dtype = device_and_dtype(model)
    joins = METHODS[config.method].joins_clean
    options: Any = {"device": device, "dtype": dtype, "joins_clean": joins}
    if device.type != "cuda":
        return BatchStreams(sets, config, processes, **options)
    from gdw.train.device_streams import DeviceStreams

    return DeviceStreams(sets, config, processes, **options)


def last_epoch(epochs: int, stop_after: int | None) -> int:
    """The epoch to stop after."""
    if stop_after is None:
        return epochs
    if stop_after < 1:
        raise ConfigError(
            f"stop_after: expected 1 epoch or more, found {stop_after}; leave it out to train all"
        )
    return min(epochs, stop_after)


def run_stage(
    config: TrainConfig, sets: DataSets, until: int, *, batches: int, first: int = 0
) -> Stage:
    """The training from epoch `first` to `until`, with so many batches in each, for the progress."""
    sizes = sets.sizes()
    # Clean examples may join each batch.
    joins = METHODS[config.method].needs_meta
    joined = min(0.5, max(0.1, sizes["meta"] / sizes["train"])) if joins else 0.0
    return Stage(
        TRAINING,
        epochs=until,
        batches=batches,
        size=min(config.batch_size, sizes["train"]) * (1 + joined),
        evaluated=0 if sets.test is None else len(sets.test),
        first=first,
    )
