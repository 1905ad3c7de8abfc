"""Checks that the options of several methods share; each a one-line `ConfigError`."""

from __future__ import annotations

from gdw.errors import ConfigError


def check_number(name: str, value: object, low: float, high: float = float("inf")) -> float:
    """`value` if it is a number from `low` to `high`."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        span = f"from {low:g} to {high:g}" if high < float("inf") else f"of at least {low:g}"
        raise ConfigError(f"{name} must be a number {span}, got {value!r}")
    return float(value)


def check_whole(name: str, value: object, low: int) -> int:
    """`value` if it is a whole number of at least `low`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < low:
        raise ConfigError(f"{name} must be a whole number of at least {low}, got {value!r}")
    return value
