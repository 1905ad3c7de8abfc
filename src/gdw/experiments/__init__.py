"""Grids of runs over data, noise, imbalance, method and seed: protocols, a resumable runner, results."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdw._lazy import lazy

if TYPE_CHECKING:
    from gdw.experiments.cells import Cell, expand
    from gdw.experiments.detection import detection_score
    from gdw.experiments.grid import Grid
    from gdw.experiments.protocol import Protocol
    from gdw.experiments.protocol_files import find_protocol, read_protocol, shipped_protocols
    from gdw.experiments.results import Results

_HOME = {
    "Cell": "cells",
    "Grid": "grid",
    "Protocol": "protocol",
    "Results": "results",
    "detection_score": "detection",
    "expand": "cells",
    "find_protocol": "protocol_files",
    "read_protocol": "protocol_files",
    "shipped_protocols": "protocol_files",
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
