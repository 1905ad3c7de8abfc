"""Whether the state in a checkpoint has the form that a training can go on from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

_LARGEST = 1e30


def require_sound(
    state: Mapping[str, Any], parts: Mapping[str, Any], epochs: int, batches: int
) -> None:
    """Raise an exception if training could not go on from `state`.

    Args:
        state: of a checkpoint.
        parts: those of the training by their names in the state; they have a `state_dict`.
        epochs: of the training.
        batches: of an epoch.
    """
    position, limits = (
        state["position"],
        {"epoch": epochs, "batch": batches, "step": epochs * batches},
    )
    inside = all(type(position[k]) is int and 0 <= position[k] <= limits[k] for k in limits)
    if not inside or state["scheduler"]["last_epoch"] != position["step"]:
        raise ValueError(f"position {position}")
    for name, part in parts.items():
        _require_form(part.state_dict(), state[name])
    parameters = [p for group in parts["optimizer"].param_groups for p in group["params"]]
    for number, values in state["optimizer"]["state"].items():
        for value in values.values():
            if isinstance(value, Tensor) and value.shape not in (parameters[number].shape, ()):
                raise ValueError(f"expected the shape {tuple(parameters[number].shape)}")


def _require_form(now: Any, then: Any) -> None:
    if isinstance(now, dict) and "param_groups" in now:
        _require_optimizer(now, then)
    elif isinstance(now, dict):
        for name, value in now.items():
            _require_form(value, then[name])
    elif isinstance(now, (list, tuple)):
        for one, other in zip(now, then, strict=True):
            _require_form(one, other)
    elif now is None:
        # Prepared by the method after the start, or never.
        for value in then.values() if isinstance(then, dict) else [then]:
            if not (value is None or isinstance(value, (Tensor, int, float, dict))):
                raise TypeError(f"expected numbers, found {type(value).__name__}")
    elif isinstance(now, Tensor):
        if now.shape != then.shape or now.is_floating_point() != then.is_floating_point():
            raise ValueError(f"expected the shape {tuple(now.shape)}")
    elif isinstance(now, (int, float)) and not abs(then) < _LARGEST:
        raise ValueError(f"expected a number, found {then}")
    elif isinstance(now, str) and not isinstance(then, str):
        raise TypeError(f"expected a text, found {type(then).__name__}")


def _require_optimizer(now: Mapping[str, Any], then: Mapping[str, Any]) -> None:
    """Its options have their types, and what it keeps for each parameter is of numbers."""
    _require_form(now["param_groups"], then["param_groups"])
    for values in then["state"].values():
        for name, value in values.items():
            if not (value is None or isinstance(value, Tensor) or name == "step"):
                raise TypeError(f"expected numbers, found {type(value).__name__}")
