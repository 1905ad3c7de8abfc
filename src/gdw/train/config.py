"""What a training run is told: one frozen, validated record whose errors name the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

from pydantic import Field, field_validator, model_validator

from gdw.options import Options
from gdw.reweight import check_options

_Count: TypeAlias = Annotated[int, Field(ge=1)]
_Positive: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_NotNegative: TypeAlias = Annotated[float, Field(ge=0, allow_inf_nan=False)]

# These change neither the data, the order nor the arithmetic of one process, so a resumed run may
# differ in them.
_FREE_TO_CHANGE = frozenset(
    {
        "accelerator",
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


class TrainConfig(Options):
    """Options of `gdw.Trainer`; the defaults are the settings of the paper's CIFAR experiments.

    `batch_size` and `meta_batch_size` are global: K processes share each batch. With `accumulate=k`
    an optimizer step averages the gradients of k such batches. `augment` changes the images of training and
    meta batches: "standard" crops (4 pixels of reflected border) and flips at random, "standard+cutout" then
    greys out a square of half the side in each. A wrong, unknown or contradictory
    option raises `ConfigError`.
    """

    what: ClassVar[str] = "training "

    method: str = "gdw"
    method_options: dict[str, Any] = Field(default_factory=dict)
    epochs: _Count = 80
    batch_size: _Count = 100
    meta_batch_size: _Count = 100
    accumulate: _Count = 1
    eval_batch_size: _Count = 512
    optimizer: Literal["sgd", "adamw"] = "sgd"
    lr: _Positive = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    weight_decay: _NotNegative = 5e-4
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup_epochs: _NotNegative = 0.0
    clip_grad_norm: _Positive | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    augment: Literal["none", "standard", "standard+cutout"] = "none"
    precision: Literal["32", "bf16", "64"] = "32"
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    devices: _Count = 1
    nodes: _Count = 1
    workers: Annotated[int, Field(ge=0)] = 0
    seed: Annotated[int, Field(ge=0)] = 0
    last_epochs: _Count = 5
    progress: Literal["auto", "bar", "lines", "none"] = "auto"
    checkpoints_kept: _Count = 2
    checkpoint_every: _Count | None = None

    @field_validator("precision", mode="before")
    @classmethod
    def _precision_from_number(cls, value: object) -> object:
        # YAML reads `precision: 32` as a number.
        return str(value) if isinstance(value, int) else value

    @model_validator(mode="after")
    def _consistent(self) -> TrainConfig:
        check_options(self.method, self.method_options)
        for name in ("forward", "label_smoothing"):
            if name in self.method_options:
                raise ValueError(
                    f"{name} is an option of the trainer itself: take it out of method_options"
                )
        if "loss" in self.method_options:
            raise ValueError(
                "loss is no option of the trainer, which trains on class labels with the cross-entropy: "
                "take it out of method_options, or use the method in a loop of your own"
            )
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise ValueError("nesterov needs optimizer 'sgd' and a momentum above 0")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs must be below epochs, found {self.warmup_epochs:g} of {self.epochs}"
            )
        return self

    def conflicts(self, earlier: Mapping[str, Any]) -> list[str]:
        """Where this run would part from the `earlier` one that it is to continue, as text."""
        free = _FREE_TO_CHANGE | ({"epochs"} if self.schedule == "constant" else set())
        now = self.plain()
        return [
            f"{name} (was {earlier[name]!r}, now {now[name]!r})"
            for name in now
            if name not in free and name in earlier and earlier[name] != now[name]
        ]
