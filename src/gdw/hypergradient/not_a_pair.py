"""What was found in place of a batch `(inputs, targets)`, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from gdw.errors import listed


def described(batch: Any) -> str:
    """What was found in place of a pair, and how to make a pair of it."""
    kind = type(batch).__name__
    if isinstance(batch, Mapping):
        return f"{kind} with the keys {listed(map(str, batch))}: {_pair_of(batch)}"
    if isinstance(batch, (tuple, list)):
        return (
            f"{kind} of length {len(batch)}: several inputs are one tuple, ((a, b), targets), and positions "
            "in the data set are given as backward(..., indices=...)"
        )
    if isinstance(batch, Tensor) and batch.dim() == 0:
        return (
            "a single number: backward takes the batch, not the loss, and computes the loss itself"
        )
    return f"{kind}: pass (inputs, targets)"


def _pair_of(batch: Mapping[Any, Any]) -> str:
    """How to make a pair of a batch that is a mapping, with the key of its targets if its name is usual."""
    usual = ("labels", "label", "targets", "target", "y", "class", "classes")
    key = next((key for name in usual for key in batch if str(key).lower() == name), None)
    if key is not None:
        return f"pass (batch, batch.pop({key!r}))"
    return "pass (batch, targets), and take the targets out of the batch first: batch.pop(KEY)"
