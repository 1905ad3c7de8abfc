"""Option records of methods: each option is declared once, with its type, default, bounds and description."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, TypeAlias

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from gdw.errors import nearest
from gdw.options import Options


def _number(value: Any) -> Any:
    """Refuse true and false; read text such as `1e-3`, which YAML does not take for a number."""
    if isinstance(value, bool):
        raise ValueError("expected a number")
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise ValueError("expected a number") from None
    return value


def _whole(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("expected a whole number")
    return value


Number: TypeAlias = Annotated[float, BeforeValidator(_number)]
NotNegative: TypeAlias = Annotated[Number, Field(ge=0, allow_inf_nan=False)]
Share: TypeAlias = Annotated[Number, Field(ge=0, le=1)]
Whole: TypeAlias = Annotated[int, BeforeValidator(_whole)]
Count: TypeAlias = Annotated[Whole, Field(ge=1)]

LOSSES = ("cross_entropy", "binary_cross_entropy")


def _checked_loss(loss: Any) -> Any:
    if not callable(loss) and loss not in LOSSES:
        raise ValueError(
            f"expected one of {', '.join(LOSSES)}, or a function (logits, targets) -> loss per example."
            f"{nearest(str(loss), LOSSES)}"
        )
    return loss


class MethodOptions(Options):
    """The options that every method has.

    A method declares its own options in a subclass. `model_fields_set` tells which of them were given.
    """

    what: ClassVar[str] = "method "
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    forward: Callable[..., Any] | None = Field(
        None, description="Function `(model, inputs) -> logits`, if `model(inputs)` is not enough."
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


def signature_of(options: type[MethodOptions]) -> inspect.Signature:
    """The signature `(model, optimizer, *, option=default, ...)` of a method with these options."""
    positional = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        for name in ("model", "optimizer")
    ]
    keywords = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=field.get_default())
        for name, field in options.model_fields.items()
    ]
    return inspect.Signature([*positional, *keywords])


def described(options: type[MethodOptions]) -> str:
    """The options as the lines of a docstring, one option per line."""
    return "\n".join(
        f"        {name}: {field.description} Default: {field.get_default()!r}."
        for name, field in options.model_fields.items()
    )
