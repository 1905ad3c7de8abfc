"""What is wrong, and what may help, when a model does not fit the inputs or the targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from gdw.errors import GDWError, ModelError, listed
from gdw.functional.wrong_targets import SEVERAL


def explained(error: Exception, inputs: Any, name: str) -> Exception:
    """An error of the model with advice if the `inputs` of the data set `name` explain it, else `error`."""
    text = str(error).partition("\n")[0]
    advice = "" if isinstance(error, GDWError) else _advice(error, text, inputs)
    return ModelError(f"{name}: {text}: {advice}") if advice else error


def _advice(error: Exception, text: str, inputs: Any) -> str:
    if isinstance(error, TypeError) and isinstance(inputs, Mapping) and "argument" in text:
        return (
            f"the model gets {listed(inputs)} of the items as keywords; leave out what is no input, or give "
            "forward=lambda model, inputs: ..."
        )
    if isinstance(error, RuntimeError) and "type" in text:
        for leaf in tree_leaves(inputs):
            if isinstance(leaf, Tensor) and not leaf.is_floating_point():
                return (
                    f"the inputs are {leaf.dtype}; give floating-point numbers, such as "
                    "X.astype('float32')"
                )
    return ""


def misfit(targets: Tensor, classes: int, name: str) -> ModelError:
    """The error for targets of the data set `name` that are not those of a model with `classes` logits."""
    shape = tuple(targets.shape)
    if targets.is_floating_point():
        return ModelError(
            f"{name}: floating-point targets are class probabilities of shape (N, {classes}), "
            f"found {shape}; class indices must be integers"
        )
    if targets.dim() == 2 and (targets.sum(1) > 1).any() and int(targets.max()) <= 1:
        return ModelError(f"{name}: expected one class per example, found several: {SEVERAL}")
    if targets.dim() != 1:
        return ModelError(
            f"{name}: integer targets are class numbers of shape (N,), found {shape}; "
            "class probabilities, and classes in one-hot form, must be floating-point numbers"
        )
    low, high = int(targets.min()), int(targets.max())
    wrong = low if low < 0 else high
    rest = targets[targets != wrong]
    # 255 and negative numbers are common for "no label", if all other targets are classes.
    void = wrong < 0 or (wrong == 255 and (not len(rest) or int(rest.max()) < classes))
    fix = (
        f"leave such examples out if {wrong} means that the label is missing (training needs a label for "
        "every example), or number the classes from 0"
        if void
        else "give the model one output for each class"
    )
    return ModelError(
        f"{name}: found class {wrong}, but the model has {classes} logits (classes 0 to {classes - 1}): {fix}"
    )
