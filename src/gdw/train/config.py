"""What a training run is told: one frozen, validated record whose errors name the field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from gdw.errors import warn_user
from gdw.options import Form, Group, Options
from gdw.reweight.registry import check_options, modernised

_Count: TypeAlias = Annotated[int, Field(ge=1)]
_Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_NotNegative: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]

# These change neither the data, the order nor the arithmetic of one process, so a resumed run may
# differ in them.
_FREE_TO_CHANGE = frozenset(
    {
        "accelerator",
        "capture",
        "checkpoint_every",
        "checkpoints_kept",
        "devices",
        "eval_batch_size",
        "last_epochs",
        "nodes",
        "progress",
        "workers",
    }
)


NOT_IN_TRAINING = {
    "forward": "use forward= of gdw.Trainer",
    "ignore_index": "the trainer needs a label for every example; use the method in a loop of your own",
    "label_smoothing": "use --label-smoothing, or label_smoothing= of gdw.Trainer",
    "loss": "the trainer trains on class labels with the cross-entropy; use the method in a loop of your own",
}
"""Options of the methods that `method_options` must not hold, and what to do instead."""

_METHOD = Group("Method")
_RUN = Group("Run folder and progress")
_MACHINE = Group("Machine")


class TrainConfig(Options):
    """Options of `gdw.Trainer`; the defaults are the settings of the paper's CIFAR experiments.

    Raises:
        ConfigError: an option is unknown, has a wrong value, or contradicts another option.
    """

    what: ClassVar[str] = "training "
    group: ClassVar[Group] = Group("Training")

    method: Annotated[str, _METHOD, Form("NAME")] = Field(
        default="robust", description="The training method. gdw methods lists them all."
    )
    method_options: Annotated[dict[str, Any], _METHOD, Form("NAME=VALUE")] = Field(
        default_factory=dict,
        description="An option of the method, such as folds=2; repeat it for several options. gdw methods "
        "NAME lists the options of a method with their values, defaults and presets. If not given, the "
        "defaults.",
    )
    prepare_on: Annotated[Literal["features", "network"], _METHOD] = Field(
        default="features",
        description="How robust and others train their models before the run, if it fine-tunes a backbone. "
        "features: on the features of the backbone as it is, in seconds. network: by fine-tuning it for each "
        "model, which takes several times as long as the run.",
    )
    epochs: _Count = Field(default=80, description="How many times training goes through the data.")
    batch_size: _Count = Field(
        default=100,
        description="The number of training examples in a batch, over all processes together.",
    )
    meta_batch_size: Annotated[_Count, _METHOD] = Field(
        default=100,
        description="The number of verified examples in a batch, over all processes together. "
        "Used by methods that compare each training batch with one.",
    )
    accumulate: _Count = Field(
        default=1,
        description="Average the gradients of this many batches for each step of the optimizer.",
    )
    optimizer: Literal["sgd", "adamw"] = Field(
        default="sgd", description="The optimizer of the network."
    )
    lr: _Positive = Field(default=0.1, description="The highest learning rate, above 0.")
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.9, description="The momentum of the optimizer sgd, from 0 to below 1."
    )
    nesterov: bool = Field(
        default=False, description="Use Nesterov momentum, with the optimizer sgd."
    )
    weight_decay: _NotNegative = Field(
        default=5e-4, description="The weight decay of the optimizer, from 0."
    )
    schedule: Literal["cosine", "constant"] = Field(
        default="cosine",
        description="How the learning rate changes: cosine lowers it to 0 over the epochs, constant "
        "keeps it.",
    )
    warmup_epochs: Annotated[_NotNegative, Form("EPOCHS")] = Field(
        default=0.0,
        description="Raise the learning rate linearly from 0 during this many epochs, which may be a part of "
        "one, such as 0.5.",
    )
    clip_grad_norm: _Positive | None = Field(
        default=None,
        description="Scale gradients down to this norm where theirs is larger. If not given, they are not "
        "scaled.",
    )
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.0,
        description="The share of each label that is spread over all classes, from 0 to below 1.",
    )
    augment: Literal["none", "standard", "standard+cutout"] = Field(
        default="none",
        description="Random changes to images: standard shifts them by up to 4 pixels (an eighth of small "
        "images) and mirrors them, standard+cutout also hides a square of half the side.",
    )
    seed: Annotated[int, Field(ge=0)] = Field(
        default=0, description="The seed of all random choices. The same seed gives the same run."
    )
    eval_batch_size: Annotated[_Count, _MACHINE] = Field(
        default=512,
        description="The number of examples in a batch where the network is only evaluated.",
    )
    precision: Annotated[Literal["32", "bf16", "64"], _MACHINE] = Field(
        default="32",
        description="The floating point numbers to compute with: 32 or 64 bits, or bfloat16.",
    )
    accelerator: Annotated[Literal["auto", "cpu", "gpu", "cuda", "mps"], _MACHINE] = Field(
        default="auto", description="The hardware to train on. auto takes a GPU if there is one."
    )
    capture: Annotated[Literal["auto", "none"], _MACHINE] = Field(
        default="auto",
        description="Whether the steps on an NVIDIA GPU are captured as CUDA graphs, where that is possible. "
        "Small networks train faster with it; a graph needs as much memory as a step.",
    )
    devices: Annotated[_Count, _MACHINE] = Field(
        default=1, description="The number of processes on each machine, one for each GPU."
    )
    nodes: Annotated[_Count, _MACHINE] = Field(default=1, description="The number of machines.")
    workers: Annotated[int, Field(ge=0), _MACHINE] = Field(
        default=0, description="The number of processes that load data in the background."
    )
    last_epochs: Annotated[_Count, _RUN] = Field(
        default=5, description="Report the test accuracy as the mean of this many last epochs."
    )
    progress: Annotated[Literal["auto", "bar", "lines", "none"], _RUN] = Field(
        default="auto",
        description="How to show progress: one bar over everything with the time left, a line for each "
        "epoch, or nothing. auto shows the bar on a terminal, else at most a line a minute.",
    )
    checkpoints_kept: Annotated[_Count, _RUN] = Field(
        default=2, description="The number of newest checkpoints that stay in the run folder."
    )
    checkpoint_every: Annotated[_Count | None, _RUN] = Field(
        default=None,
        description="Write a checkpoint after this many optimizer steps too. If not given, only after each "
        "epoch.",
    )

    @model_validator(mode="before")
    @classmethod
    def _modernise(cls, values: Any) -> Any:
        """Translate the spellings of gdw 0.1.0, with a `FutureWarning` that names the new one."""
        options, named = values.get("method_options"), values.get("method", "robust")
        if not isinstance(options, Mapping) or not isinstance(named, str):
            return values
        # Before "robust" was the default, "gdw" was, and the only method with a preset.
        former = "preset" in options and (
            "method" not in values or (named, options["preset"]) == ("robust", "robust")
        )
        method, options, note = modernised("gdw" if former else named, options)
        if former and note is None:
            note = (
                f"preset {options['preset']!r} is an option of method 'gdw': choose that method too"
            )
        if note is None:
            return values
        warn_user(note, FutureWarning)
        return {**values, "method": method, "method_options": options}

    @field_validator("precision", mode="before")
    @classmethod
    def _precision_from_number(cls, value: object) -> object:
        # YAML reads `precision: 32` as a number.
        return str(value) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        for name, remedy in NOT_IN_TRAINING.items():
            if name in self.method_options:
                raise ValueError(f"{name} is not an option of a method in training: {remedy}")
        check_options(self.method, self.method_options, hidden=NOT_IN_TRAINING)
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise ValueError("nesterov needs optimizer 'sgd' and a momentum above 0")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs must be below epochs, found {self.warmup_epochs:g} of {self.epochs}"
            )
        return self

    @property
    def decisive(self) -> dict[str, Any]:
        """The options that decide the course of training."""
        return {name: v for name, v in self.plain().items() if name not in _FREE_TO_CHANGE}

    def conflicts(self, earlier: Mapping[str, Any]) -> list[str]:
        """Compare with the options of the earlier run that this one is to continue.

        Args:
            earlier: the options of that run, as its configuration or checkpoint holds them; those of gdw
                0.1.0 are translated first.

        Returns:
            One text for each option that would change the course of training, such as
            `"lr (was 0.1, now 0.5)"`.
        """
        free = _FREE_TO_CHANGE | ({"epochs"} if self.schedule == "constant" else set())
        now, earlier = self.plain(), dict(earlier)
        earlier["method"], earlier["method_options"], _ = modernised(
            earlier.get("method", ""), earlier.get("method_options", {})
        )
        return [
            f"{name} (was {earlier[name]!r}, now {now[name]!r})"
            for name in now
            if name not in free and name in earlier and earlier[name] != now[name]
        ]


def lr_factor(
    step: int, *, total: int, warmup: int = 0, schedule: Literal["cosine", "constant"] = "cosine"
) -> float:
    """The factor of the learning rate at optimizer step `step` (from 0) of `total`.

    It rises linearly over the first `warmup` steps: `(step + 1) / warmup`. Then it stays at 1 ("constant")
    or falls along half a cosine that reaches 0 at step `total` ("cosine": Loshchilov and Hutter, ICLR 2017,
    without restarts).
    """
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    # After the last step the scheduler asks for a step beyond the end; there the cosine stays at 0.
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return 0.5 * (1.0 + math.cos(math.pi * progress))
