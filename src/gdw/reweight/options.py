"""The options that all methods share. A method declares its own in a subclass of these records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, ClassVar

import torch
from pydantic import AfterValidator, ConfigDict, Field
from torch import Tensor

from gdw.errors import ConfigError, nearest
from gdw.options import Number, Options, Whole

LOSSES = ("cross_entropy", "binary_cross_entropy")


def _checked_loss(loss: Any) -> Any:
    if not callable(loss) and loss not in LOSSES:
        raise ValueError(
            f"expected one of {', '.join(LOSSES)}, or a function (logits, targets) -> loss per example."
            f"{nearest(str(loss), LOSSES)}"
        )
    return loss


def float64_option(value: Any, expected: str) -> Tensor:
    """An option of numbers as a float64 tensor; `ConfigError`, which begins with `expected`, for others."""
    try:
        return torch.as_tensor(value, dtype=torch.float64).cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{expected} {value!r}") from error


class MethodOptions(Options):
    """The options that every method has.

    A method declares its own options in a subclass. `model_fields_set` tells which of them were given.
    """

    what: ClassVar[str] = "method "
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    forward: Callable[..., Any] | None = Field(
        None, description="Function `(model, inputs) -> logits`, if `model(inputs)` is not enough."
    )
    ignore_index: Whole | None = Field(
        None,
        description=(
            "Targets of this class index, such as 255 for void pixels, have no loss and no gradient and are "
            "not counted. By default -100, or that of `loss`."
        ),
    )
    label_smoothing: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.0, description="Share of each target that is spread evenly over all classes."
    )


class WeightingOptions(MethodOptions):
    """The options of methods that weight the gradient of a loss: the loss can be chosen."""

    loss: Annotated[Any, AfterValidator(_checked_loss)] = Field(
        "cross_entropy",
        description=(
            '"cross_entropy" (targets: class indices or probabilities), "binary_cross_entropy" '
            "(multi-label), or a function `(logits, targets) -> (N, ...)`."
        ),
    )
