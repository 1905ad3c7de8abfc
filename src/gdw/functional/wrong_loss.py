"""What is wrong with a loss of the user, and how to mend it."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from gdw.errors import DataError, one_line

_BINARY = "loss='binary_cross_entropy', which adds up the classes"


def wrong_form(loss: Any) -> str | None:
    """Why a loss of PyTorch returns no loss of each example, and what to write; None if it may."""
    if isinstance(loss, type):
        return (
            f"loss: expected a function (logits, targets) -> loss per example, found the class "
            f"{loss.__name__}: make an object of it, such as nn.CrossEntropyLoss(reduction='none')"
        )
    if isinstance(loss, nn.BCEWithLogitsLoss):
        return f"loss: nn.BCEWithLogitsLoss returns no loss per example: pass {_BINARY}"
    reduction = getattr(loss, "reduction", "none")
    if isinstance(loss, nn.Module) and reduction != "none":
        name = type(loss).__name__
        also = " or leave loss out, which is the same" if _is_default(loss) else ""
        return (
            f"loss: expected one value per example, but this nn.{name} returns their {reduction}: "
            f"pass nn.{name}(..., reduction='none'){also}"
        )
    return None


def _is_default(loss: nn.Module) -> bool:
    return type(loss) is nn.CrossEntropyLoss and (
        loss.weight,
        loss.label_smoothing,
        loss.ignore_index,
    ) == (None, 0.0, -100)


def wrong_losses(losses: Tensor, logits: Tensor) -> DataError:
    """The error for `losses` that are not one value per example."""
    expected, found = (logits.shape[0], *logits.shape[2:]), tuple(losses.shape)
    fix = "use reduction='none'"
    if losses.shape == logits.shape:
        fix = f"add up the classes, .sum(1); for multi-label targets pass {_BINARY}"
    return DataError(
        f"the loss must return one value per example, shape {expected}, but returned shape {found}: {fix}"
    )


def failed_loss(logits: Tensor, targets: Tensor, error: Exception) -> DataError:
    """The error for a loss that raised `error`."""
    return DataError(
        f"the loss failed on logits of shape {tuple(logits.shape)} and targets of shape "
        f"{tuple(targets.shape)} and type {targets.dtype}: {one_line(error)}"
    )
