"""Grids of data × noise × imbalance × method × seed: protocols, a runner that resumes, results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdw._lazy import lazy

if TYPE_CHECKING:
    from gdw.experiments.cells import Cell, expand
    from gdw.experiments.detection import detection_score
    from gdw.experiments.grid import Grid
    from gdw.experiments.protocol import Protocol
    from gdw.experiments.results import Results
    from gdw.experiments.shipped import find_protocol, read_protocol, shipped_protocols

_HOME = {
    "Cell": "cells",
    "Grid": "grid",
    "Protocol": "protocol",
    "Results": "results",
    "detection_score": "detection",
    "expand": "cells",
    "find_protocol": "shipped",
    "read_protocol": "shipped",
    "shipped_protocols": "shipped",
}

__all__ = [
    "Cell",
    "Grid",
    "Protocol",
    "Results",
    "detection_score",
    "expand",
    "find_protocol",
    "read_protocol",
    "shipped_protocols",
]


__getattr__ = lazy(__name__, {name: f"gdw.experiments.{module}" for name, module in _HOME.items()})


def __dir__() -> list[str]:
    return sorted(__all__)
