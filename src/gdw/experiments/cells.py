"""The cells of a grid: which run each one is, and what its folder is called."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from itertools import product

from gdw.errors import ConfigError, nearest
from gdw.experiments.protocol import Protocol

AXES = ("data", "noise", "imbalance", "method", "seed")


@dataclass(frozen=True, order=True)
class Setting:
    """What all methods of a comparison share: a column of the table."""

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
        """As part of a file's name."""
        return "__".join(
            _safe(part)
            for part in (self.data, self.noise, self.imbalance and f"imbalance-{self.imbalance}")
            if part
        )


@dataclass(frozen=True)
class Cell:
    """One run. All methods of a setting and seed see the same rows, noise and clean examples."""

    data: str
    noise: str | None
    imbalance: str | None
    method: str
    seed: int

    @property
    def setting(self) -> Setting:
        return Setting(self.data, self.noise, self.imbalance)

    @property
    def slug(self) -> str:
        """The name of the run's folder."""
        return f"{self.setting.slug}__{_safe(self.method)}__seed-{self.seed}"

    def __str__(self) -> str:
        return f"{self.setting}: {self.method}, seed {self.seed}"


def expand(protocol: Protocol, only: Sequence[str] = ()) -> list[Cell]:
    """The cells of a protocol, seed by seed, so that a grid cut short has compared all methods on the first.

    `only` keeps those that match an `axis=glob` of every axis named (data, noise, imbalance, method, seed;
    `none` is no noise or imbalance).

    Raises `ConfigError` for an axis that is none, a choice that leaves no cell, or two cells whose folders
    would be called alike.
    """
    wanted: dict[str, list[str]] = {}
    for axis, glob in map(_condition, only):
        wanted.setdefault(axis, []).append(glob)
    cells: dict[Cell, None] = {}
    for block in protocol.blocks():
        for seed, data, noise, imbalance, method in product(
            block.seeds, block.data, block.noise, block.imbalance, block.methods
        ):
            cells[Cell(data, noise, imbalance, method, seed)] = None
    chosen = [
        cell
        for cell in sorted(cells, key=lambda cell: cell.seed)
        if all(any(fnmatchcase(_text(cell, a), g) for g in globs) for a, globs in wanted.items())
    ]
    if not chosen:
        raise ConfigError(f"no cell of {protocol.name} matches {' and '.join(only)}")
    _require_own_folders(chosen)
    return chosen


def _condition(text: str) -> tuple[str, str]:
    axis, equals, glob = text.partition("=")
    axis = {"methods": "method", "seeds": "seed"}.get(axis, axis)
    if not equals or axis not in AXES:
        raise ConfigError(
            f"--only takes AXIS=GLOB with the axis one of {', '.join(AXES)}, found {text!r}."
            f"{nearest(axis, AXES)}"
        )
    return axis, glob


def _text(cell: Cell, axis: str) -> str:
    value = asdict(cell)[axis]
    return "none" if value is None else str(value)


def _require_own_folders(cells: Sequence[Cell]) -> None:
    owner: dict[str, Cell] = {}
    for cell in cells:
        # Folders that differ in case only are one folder on some file systems.
        other = owner.setdefault(cell.slug.lower(), cell)
        if other != cell:
            raise ConfigError(
                f"the cells {str(other)!r} and {str(cell)!r} would share a folder: rename one"
            )


def _safe(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.+-]+", "-", text)
