"""What is wrong with targets that do not fit the logits, and how to mend it."""

from __future__ import annotations

import torch
from torch import Tensor

from gdw.errors import DataError

_VOID = (255, 65535)
"""Class numbers that usually mean "no label", beside negative ones."""

_SUM_TOLERANCE = 0.02  # of probabilities in bfloat16

SEVERAL = (
    "for several classes per example (multi-label) use gdw.GDW(model, optimizer, "
    "loss='binary_cross_entropy') in a loop of your own"
)


def wrong_shape(logits: Tensor, targets: Tensor) -> DataError:
    """The error for logits that are not `(N, C, ...)`, or for targets of another shape than theirs."""
    if logits.dim() < 2 or logits.shape[1] == 1:
        return DataError(
            f"logits must have shape (N, C) or (N, C, ...) with two or more classes, got "
            f"{tuple(logits.shape)}: a binary classifier needs two logits, as of nn.Linear(..., 2) (or one, "
            "with loss='binary_cross_entropy' and targets of the same shape)"
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
    if targets.shape == logits.shape and (targets.sum(1) > 1).any():
        return f": {SEVERAL}, with targets.float()"
    if targets.shape == logits.shape:
        return ": for one-hot labels pass targets.argmax(1) or targets.float()"
    if targets.dim() == len(of_indices) + 1 and targets.shape[1] == 1:
        return ": pass targets.squeeze(1)" + (".long()" if targets.is_floating_point() else "")
    return ""


def wrong_sums(targets: Tensor, sums: Tensor, name: str = "") -> DataError:
    """The error for class probabilities `(N, C, ...)` whose `sums` `(N, ...)` are not all one."""
    sums = sums.flatten(1).amax(1) if sums.dim() > 1 else sums
    row = int((sums - 1).abs().argmax())
    fix = "divide them by their sum, targets / targets.sum(1, keepdim=True)"
    if ((targets == 0) | (targets == 1)).all():
        fix = SEVERAL if (sums > 1).any() else "leave out examples without a class"
    where = f"{name}: " if name else ""
    return DataError(
        f"{where}targets given as class probabilities must sum to one for each example, but those of row "
        f"{row} sum to {sums[row].item():.4g}: {fix}"
    )


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
    void = f"if {found} marks targets without a label, give the method ignore_index={found}"
    usual = found < 0 or found in _VOID
    fix = f"{void}; otherwise {fix}" if usual else f"{fix}; {void}"
    return DataError(
        f"there are {classes} logits (classes 0 to {classes - 1}) but a target is class {found}: {fix}"
    )


class DistributionCheck:
    """Returns the targets after a look at them, see `require_distributions`."""

    def __init__(self) -> None:
        self._looked = False

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        # On an accelerator each look waits for the device: one batch shows the form of all.
        look = targets.device.type == "cpu" or not self._looked
        if (
            look
            and targets.is_floating_point()
            and targets.shape == logits.shape
            and logits.shape[1] > 1
        ):
            self._looked = True
            require_distributions(targets)
        return targets


def require_distributions(targets: Tensor, name: str = "") -> None:
    """Check that class probabilities `(N, C, ...)` sum to one; class indices are not looked at.

    `name` is that of the data set, for the error message.

    Raises:
        DataError: those of an example do not, as with several ones in a row.
    """
    if not targets.is_floating_point():
        return
    sums = targets.sum(1, dtype=torch.promote_types(targets.dtype, torch.float32))
    if ((sums - 1).abs() > _SUM_TOLERANCE).any():
        raise wrong_sums(targets, sums, name)
