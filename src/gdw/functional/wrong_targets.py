"""What is wrong with targets that do not fit the logits, and how to mend it."""

from __future__ import annotations

from torch import Tensor

from gdw.errors import DataError


def wrong_shape(logits: Tensor, targets: Tensor) -> DataError:
    """The error for logits that are not `(N, C, ...)`, or for targets of another shape than theirs."""
    if logits.dim() < 2:
        return DataError(
            f"logits must have shape (N, C) or (N, C, ...), got {tuple(logits.shape)}: "
            "a binary classifier needs two logits"
        )
    of_indices = (logits.shape[0], *logits.shape[2:])
    soft = targets.is_floating_point()
    form, expected = ("probabilities", tuple(logits.shape)) if soft else ("indices", of_indices)
    return DataError(
        f"targets given as class {form} must have shape {expected} for logits of shape "
        f"{tuple(logits.shape)}, got {tuple(targets.shape)}{_fix(logits, targets, of_indices)}"
    )


def _fix(logits: Tensor, targets: Tensor, of_indices: tuple[int, ...]) -> str:
    """How to mend targets of a common wrong form; empty for others."""
    if targets.is_floating_point() and targets.shape == of_indices:
        return ": class indices are integers, targets.long()"
    if targets.shape == logits.shape and logits.shape[1] > 1:
        return ": for one-hot labels pass targets.argmax(1) or targets.float()"
    if targets.dim() == len(of_indices) + 1 and targets.shape[1] == 1:
        return ": pass targets.squeeze(1)" + (".long()" if targets.is_floating_point() else "")
    return ""


def wrong_binary_shape(logits: Tensor, targets: Tensor) -> DataError:
    """The error for targets of binary cross-entropy that do not have the shape of the logits."""
    fix = "for one class per example use loss='cross_entropy'"
    if logits.shape[1] == 1 and targets.shape == (logits.shape[0], *logits.shape[2:]):
        fix = "pass targets.unsqueeze(1)"
    return DataError(
        "binary_cross_entropy needs one target from 0 to 1 for each logit, shape "
        f"{tuple(logits.shape)}, found shape {tuple(targets.shape)}: {fix}"
    )


def wrong_device(logits: Tensor, targets: Tensor) -> DataError:
    """The error for targets on another device than the logits."""
    return DataError(
        f"targets are on {targets.device}, but the logits on {logits.device}: move the batch to the device "
        "of the model, batch.to(device)"
    )


def unknown_class(found: int, classes: int) -> DataError:
    """The error for a class index that the model has no logit for."""
    fix = "give the model one output for each class"
    if found == classes:
        fix += ", and count classes from 0"
    return DataError(
        f"there are {classes} logits (classes 0 to {classes - 1}) but a target is class {found}: {fix}; if "
        f"it marks targets without a label, pass ignore_index={found}"
    )
