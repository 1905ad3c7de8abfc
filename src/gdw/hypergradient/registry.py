"""Engines by the names that `hypergradient=` takes."""

from __future__ import annotations

from gdw.errors import ConfigError, nearest
from gdw.hypergradient.engines import Engine, finite_difference, forward_mode, reference
from gdw.hypergradient.head_only import head_only

HEAD = "head"

ENGINES: dict[str, Engine] = {
    "finite_difference": finite_difference,
    "forward": forward_mode,
    "reference": reference,
    HEAD: head_only,
}


def resolve_engine(name: str, *, head: str | None = None) -> Engine:
    """The engine of that name; `head` is the module that was named beside it.

    Raises:
        ConfigError: an unknown name (says the known ones), or a head for an engine that takes none.
    """
    if name not in ENGINES:
        raise ConfigError(
            f"unknown hypergradient {name!r}: expected one of {', '.join(ENGINES)}."
            f"{nearest(name, ENGINES)}"
        )
    if head is not None and name != HEAD:
        raise ConfigError(f"head={head!r} goes with hypergradient='head', found {name!r}")
    return ENGINES[name]
