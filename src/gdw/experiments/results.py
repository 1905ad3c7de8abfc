"""The results of a grid as they are on disk: what each cell reached, and which tables they make."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gdw.experiments.begun import Begun, begun
from gdw.experiments.cells import Cell, Setting, expand
from gdw.experiments.folder import GridFolder
from gdw.experiments.protocol import Protocol


@dataclass(frozen=True)
class Score:
    """One figure of one method in one setting: `values` by seed, and the seeds that failed or are missing."""

    values: dict[int, float]
    failed: tuple[int, ...] = ()
    missing: tuple[int, ...] = ()

    @property
    def mean(self) -> float | None:
        return statistics.fmean(self.values.values()) if self.values else None

    @property
    def spread(self) -> float | None:
        """The sample standard deviation; None for fewer than two values."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None


@dataclass(frozen=True)
class Group:
    """Settings with the same methods: one table, in which ranks are comparable."""

    settings: tuple[Setting, ...]
    methods: tuple[str, ...]


class Results:
    """What the folder of a grid holds now, finished or not.

    Attributes:
        protocol: the one that was run last.
        cells: all of its cells.
        results: of the finished ones, see `result.json`.
        errors: of the failed ones, a line each.
        begun: how far those are that are neither, as far as they can be read.
    """

    def __init__(self, folder: GridFolder) -> None:
        self.folder = folder
        self.protocol: Protocol = folder.protocol()
        self.cells = expand(self.protocol)
        states = {cell: folder.state(cell) for cell in self.cells}
        self.results: dict[Cell, dict[str, Any]] = {
            cell: folder.result(cell) for cell, state in states.items() if state == "done"
        }
        here = f"{folder.path.resolve()}/"
        self.errors = {
            cell: folder.failure(cell).replace(here, "").replace(f"{folder.path}/", "")
            for cell, state in states.items()
            if state == "failed"
        }

        started = {
            cell: begun(folder.cell(cell)) for cell, state in states.items() if state == "begun"
        }
        self.begun = {cell: part for cell, part in started.items() if part is not None}

    @property
    def complete(self) -> bool:
        return len(self.results) == len(self.cells)

    def groups(self) -> list[Group]:
        """The tables: settings in the order of the protocol, by the methods they are tried with."""
        order = list(self.protocol.methods)
        methods: dict[Setting, set[str]] = {}
        for cell in self.cells:
            methods.setdefault(cell.setting, set()).add(cell.method)
        settings: dict[tuple[str, ...], list[Setting]] = {}
        for setting, names in methods.items():
            key = tuple(name for name in order if name in names)
            settings.setdefault(key, []).append(setting)
        return [Group(tuple(found), key) for key, found in settings.items()]

    def score(self, setting: Setting, method: str, figure: str) -> Score:
        """`figure` (a name in `result.json`) of `method` in `setting`; null ones do not count."""
        cells = [c for c in self.cells if c.setting == setting and c.method == method]
        values = {c.seed: self.results[c][figure] for c in cells if c in self.results}
        return Score(
            {seed: value for seed, value in values.items() if value is not None},
            tuple(c.seed for c in cells if c in self.errors),
            tuple(c.seed for c in cells if c not in self.results and c not in self.errors),
        )

    def curves(self, setting: Setting, method: str) -> list[list[float]]:
        """Test accuracy after each epoch, a list a finished seed."""
        return [
            result["curve"]
            for cell, result in self.results.items()
            if cell.setting == setting and cell.method == method
        ]

    def unfinished(self, setting: Setting, method: str) -> dict[int, Begun]:
        """Cells that were begun, by seed."""
        return {
            cell.seed: found
            for cell, found in self.begun.items()
            if cell.setting == setting and cell.method == method
        }

    def pairs(self, group: Group, one: str, other: str) -> list[float]:
        """The measure of `one` less that of `other` wherever both have finished on one setting and seed."""
        found = []
        for setting in group.settings:
            a, b = (self.score(setting, m, self.protocol.measure).values for m in (one, other))
            found += [a[seed] - b[seed] for seed in a if seed in b]
        return found


def mean_ranks(results: Results, group: Group) -> tuple[dict[str, float], int]:
    """The mean rank of each method by the measure (1 is best, ties share), and over how many settings.

    A setting counts when no cell of it is left to run; a method of which a seed failed comes last there.
    """
    from scipy.stats import rankdata

    ranks: dict[str, list[float]] = {method: [] for method in group.methods}
    for setting in group.settings:
        measure = results.protocol.measure
        scores = [results.score(setting, method, measure) for method in group.methods]
        if any(score.missing for score in scores):
            continue
        keys = [_order(score) for score in scores]
        for method, rank in zip(group.methods, rankdata(keys), strict=True):
            ranks[method].append(float(rank))
    counted = len(next(iter(ranks.values())))
    if not counted:
        return {}, 0
    return {method: statistics.fmean(found) for method, found in ranks.items()}, counted


def _order(score: Score) -> float:
    """Smaller is better; failed ones last."""
    if score.failed or score.mean is None:
        return float("inf")
    return -score.mean


def reference_of(results: Results, group: Group, ranks: dict[str, float]) -> str | None:
    """The method that the others are held against: the protocol's, else the best by mean rank."""
    named = results.protocol.reference
    if named in group.methods:
        return named
    return min(ranks, key=lambda method: ranks[method]) if ranks else None


def total_hours(sittings: Sequence[dict[str, Any]]) -> float:
    """The time that the grid was worked on, over all sittings."""
    return float(sum(sitting["seconds"] for sitting in sittings)) / 3600
