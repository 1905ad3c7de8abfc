"""Whether the state in a checkpoint has the form that a training can go on from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import singledispatch
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
    _require_position(state, {"epoch": epochs, "batch": batches, "step": epochs * batches})
    for name, part in parts.items():
        _require_form(part.state_dict(), state[name])
    parameters = [p for group in parts["optimizer"].param_groups for p in group["params"]]
    for number, values in state["optimizer"]["state"].items():
        for value in values.values():
            if isinstance(value, Tensor) and value.shape not in (parameters[number].shape, ()):
                raise ValueError(f"expected the shape {tuple(parameters[number].shape)}")


def _require_position(state: Mapping[str, Any], limits: Mapping[str, int]) -> None:
    position = state["position"]
    inside = all(type(position[k]) is int and 0 <= position[k] <= limits[k] for k in limits)
    if not inside or state["scheduler"]["last_epoch"] != position["step"]:
        raise ValueError(f"position {position}")


@singledispatch
def _require_form(now: object, then: Any) -> None:
    """Raise an exception unless `then` has the form of `now`. Objects of other types are not checked."""


@_require_form.register
def _require_mapping(now: dict, then: Any) -> None:  # type: ignore[type-arg]
    if "param_groups" in now:
        _require_optimizer(now, then)
    else:
        for name, value in now.items():
            _require_form(value, then[name])


@_require_form.register(list)
@_require_form.register(tuple)
def _require_sequence(now: Sequence[Any], then: Any) -> None:
    for one, other in zip(now, then, strict=True):
        _require_form(one, other)


@_require_form.register
def _require_prepared(now: None, then: Any) -> None:  # noqa: ARG001
    """What the method prepares after the start, or never."""
    for value in then.values() if isinstance(then, dict) else [then]:
        _require_numbers(value, (Tensor, int, float, dict))


@_require_form.register
def _require_tensor(now: Tensor, then: Any) -> None:
    if now.shape != then.shape or now.is_floating_point() != then.is_floating_point():
        raise ValueError(f"expected the shape {tuple(now.shape)}")


@_require_form.register(int)
@_require_form.register(float)
def _require_number(now: float, then: Any) -> None:  # noqa: ARG001
    if not abs(then) < _LARGEST:
        raise ValueError(f"expected a number, found {then}")


@_require_form.register
def _require_text(now: str, then: Any) -> None:  # noqa: ARG001
    if not isinstance(then, str):
        raise TypeError(f"expected a text, found {type(then).__name__}")


def _require_optimizer(now: Mapping[str, Any], then: Mapping[str, Any]) -> None:
    """Its options have their types, and what it keeps for each parameter is of numbers."""
    _require_form(now["param_groups"], then["param_groups"])
    for values in then["state"].values():
        for name, value in values.items():
            if name != "step":
                _require_numbers(value, (Tensor,))


def _require_numbers(value: Any, types: tuple[type, ...]) -> None:
    if not (value is None or isinstance(value, types)):
        raise TypeError(f"expected numbers, found {type(value).__name__}")
