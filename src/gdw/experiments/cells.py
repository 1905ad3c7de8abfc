"""The cells of a grid: which run each one is, and the name of its folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import product
from math import prod
from typing import Any

from gdw.errors import ConfigError, nearest
from gdw.experiments.protocol import Protocol

AXES = ("data", "noise", "imbalance", "method", "seed")
_MOST_CELLS = 100_000


@dataclass(frozen=True, order=True)
class Setting:
    """Data, noise and imbalance: what all methods of a comparison share, and a column of the tables."""

    data: str
    noise: str | None
    imbalance: str | None

    def __str__(self) -> str:
        parts = [self.data]
        if self.noise is not None:
            parts.append(self.noise.replace(":", " ", 1))
        if self.imbalance is not None:
            parts.append(f"imbalance {self.imbalance}")
        return ", ".join(parts)

    @property
    def slug(self) -> str:
        """The setting as a part of a file name."""
        return "__".join(
            _safe(part)
            for part in (self.data, self.noise, self.imbalance and f"imbalance-{self.imbalance}")
            if part
        )


@dataclass(frozen=True)
class Cell:
    """One run of a grid. All methods of a setting and seed see the same rows, noise and clean examples.

    Attributes:
        data, method: names of entries of the protocol.
        noise, imbalance: as `gdw train` takes them; None for none.
        seed: of the run.
        formerly: the name of the method's entry in an earlier version of the protocol, if it had another.

    >>> cell = Cell("digits", "uniform:0.4", None, "robust", 0)
    >>> print(cell)
    digits, uniform 0.4: robust, seed 0
    >>> cell.slug
    'digits__uniform-0.4__robust__seed-0'
    """

    data: str
    noise: str | None
    imbalance: str | None
    method: str
    seed: int
    formerly: str | None = field(default=None, compare=False)

    @property
    def setting(self) -> Setting:
        return Setting(self.data, self.noise, self.imbalance)

    @property
    def slug(self) -> str:
        """The name of the run's folder."""
        return self._slug(self.method)

    @property
    def former_slug(self) -> str | None:
        """The name of the run's folder under the earlier name of the method's entry, if it had one."""
        return None if self.formerly is None else self._slug(self.formerly)

    def axes(self) -> dict[str, Any]:
        """The values of data, noise, imbalance, method and seed, by name."""
        return {axis: getattr(self, axis) for axis in AXES}

    def __str__(self) -> str:
        return f"{self.setting}: {self.method}, seed {self.seed}"

    def _slug(self, method: str) -> str:
        return f"{self.setting.slug}__{_safe(method)}__seed-{self.seed}"


def expand(protocol: Protocol, only: Sequence[str] = ()) -> list[Cell]:
    """The cells of a protocol, all cells of the first seed first.

    A grid that is stopped early has thus compared all methods on the first seeds.

    Args:
        protocol: the protocol.
        only: conditions `axis=glob`, where the axis is data, noise, imbalance, method or seed, and `none`
            stands for no noise or no imbalance. A cell must match one condition of each axis that is named.

    Raises:
        ConfigError: a condition cannot be read, no cell is left, or the folders of two cells would have the
            same name.
    """
    globs: dict[str, list[str]] = {}
    for axis, glob in map(_condition, only):
        globs.setdefault(axis, []).append(glob)
    cells = sorted(dict.fromkeys(_all_cells(protocol)), key=lambda cell: cell.seed)
    chosen = [cell for cell in cells if _matches(cell, globs)]
    if not chosen:
        raise ConfigError(f"no cell of {protocol.name} matches {' and '.join(only)}")
    _require_distinct_folders(chosen)
    return chosen


def _all_cells(protocol: Protocol) -> Iterator[Cell]:
    formerly = {name: protocol.method_entry(name).formerly for name in protocol.methods}
    count = sum(prod(len(values) for _, values in block) for block in protocol.blocks())
    if count > _MOST_CELLS:
        raise ConfigError(
            f"{protocol.name} has {count:,} cells: expected at most {_MOST_CELLS:,}; split the protocol"
        )
    for block in protocol.blocks():
        for seed, data, noise, imbalance, method in product(
            block.seeds, block.data, block.noise, block.imbalance, block.methods
        ):
            yield Cell(data, noise, imbalance, method, seed, formerly[method])


def _condition(text: str) -> tuple[str, str]:
    axis, equals, glob = text.partition("=")
    axis = {"methods": "method", "seeds": "seed"}.get(axis, axis)
    if not equals or axis not in AXES:
        raise ConfigError(
            f"--only takes AXIS=GLOB with the axis one of {', '.join(AXES)}, found {text!r}."
            f"{nearest(axis, AXES)}"
        )
    return axis, glob


def _matches(cell: Cell, globs: dict[str, list[str]]) -> bool:
    return all(
        any(fnmatchcase(_axis_text(cell, axis), pattern) for pattern in patterns)
        for axis, patterns in globs.items()
    )


def _axis_text(cell: Cell, axis: str) -> str:
    value = getattr(cell, axis)
    return "none" if value is None else str(value)


def _require_distinct_folders(cells: Sequence[Cell]) -> None:
    by_folder: dict[str, Cell] = {}
    for cell in cells:
        # On some file systems folders whose names differ only in case are the same folder.
        other = by_folder.setdefault(cell.slug.lower(), cell)
        if other != cell:
            raise ConfigError(
                f"the cells {str(other)!r} and {str(cell)!r} would share a folder: rename one"
            )


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", text)
