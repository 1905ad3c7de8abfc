"""The results of a grid as they are in its folder: what each cell reached, and which tables they form."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any

from gdw.experiments.cells import Cell, Setting, expand
from gdw.experiments.grid_folder import GridFolder, PartialRun
from gdw.experiments.protocol import Protocol


@dataclass(frozen=True)
class Score:
    """One metric of one method in one setting.

    Attributes:
        values: the value by seed.
        failed: the seeds whose runs failed.
        missing: the seeds whose runs have not finished.

    >>> score = Score({0: 0.5, 1: 0.75})
    >>> score.mean
    0.625
    """

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
    """Settings that were tried with the same methods: one table, in which ranks are comparable."""

    settings: tuple[Setting, ...]
    methods: tuple[str, ...]


class Results:
    """What the folder of a grid holds now, whether the grid has finished or not.

    Attributes:
        protocol: the protocol of the last run.
        cells: all its cells.
        results: the content of `result.json` of each cell that has finished.
        errors: why a cell failed, in one line, of each that failed.
        started: how far a cell is, of each that was started and has neither finished nor failed; without
            those whose files cannot be read.
    """

    def __init__(self, folder: GridFolder) -> None:
        self.folder = folder
        self.protocol: Protocol = folder.protocol()
        self.cells = expand(self.protocol)
        self.results: dict[Cell, dict[str, Any]] = {}
        self.errors: dict[Cell, str] = {}
        self.started: dict[Cell, PartialRun] = {}
        self._cells: dict[tuple[Setting, str], list[Cell]] = {}
        for cell in self.cells:
            self._cells.setdefault((cell.setting, cell.method), []).append(cell)
            self._read(cell)

    def _read(self, cell: Cell) -> None:
        state = self.folder.state(cell)
        if state == "done":
            self.results[cell] = self.folder.result(cell)
        elif state == "failed":
            path = self.folder.path
            error = self.folder.failure(cell)
            self.errors[cell] = error.replace(f"{path.resolve()}/", "").replace(f"{path}/", "")
        elif state == "started":
            progress = self.folder.progress(cell)
            if progress is not None:
                self.started[cell] = progress

    @property
    def complete(self) -> bool:
        return len(self.results) == len(self.cells)

    def groups(self) -> list[Group]:
        """The settings grouped by the methods they are tried with, in the order of the protocol."""
        methods: dict[Setting, set[str]] = {}
        for cell in self.cells:
            methods.setdefault(cell.setting, set()).add(cell.method)
        settings: dict[tuple[str, ...], list[Setting]] = {}
        for setting, names in methods.items():
            key = tuple(name for name in self.protocol.methods if name in names)
            settings.setdefault(key, []).append(setting)
        return [Group(tuple(members), key) for key, members in settings.items()]

    def cells_of(self, setting: Setting, method: str) -> list[Cell]:
        """The cells of `method` in `setting`, one for each seed."""
        return self._cells.get((setting, method), [])

    def score(self, setting: Setting, method: str, metric: str) -> Score:
        """The values of `metric` (a name in `result.json`) of `method` in `setting`, without nulls."""
        cells = self.cells_of(setting, method)
        values = {c.seed: self.results[c].get(metric) for c in cells if c in self.results}
        return Score(
            {seed: value for seed, value in values.items() if value is not None},
            tuple(c.seed for c in cells if c in self.errors),
            tuple(c.seed for c in cells if c not in self.results and c not in self.errors),
        )

    def curves(self, setting: Setting, method: str) -> list[list[float]]:
        """The test accuracy after each epoch, one list for each seed that has finished."""
        cells = self.cells_of(setting, method)
        return [self.results[cell]["curve"] for cell in cells if cell in self.results]

    def unfinished(self, setting: Setting, method: str) -> dict[int, PartialRun]:
        """How far the runs are that were started and have not finished, by seed."""
        cells = self.cells_of(setting, method)
        return {cell.seed: self.started[cell] for cell in cells if cell in self.started}

    def paired_differences(self, group: Group, method: str, other: str) -> list[float]:
        """The measure of `method` minus that of `other`, for each setting and seed that both have."""
        differences = []
        for setting in group.settings:
            mine, theirs = (
                self.score(setting, name, self.protocol.measure).values for name in (method, other)
            )
            differences += [mine[seed] - theirs[seed] for seed in mine if seed in theirs]
        return differences


def finished_scores(results: Results, group: Group) -> dict[Setting, dict[str, Score]]:
    """The scores by method of each setting in which all methods have run with the same seeds."""
    measure = results.protocol.measure
    scores = {
        setting: {method: results.score(setting, method, measure) for method in group.methods}
        for setting in group.settings
    }
    return {setting: row for setting, row in scores.items() if _are_comparable(list(row.values()))}


def _are_comparable(scores: list[Score]) -> bool:
    first = scores[0]
    has_run = bool(first.values or first.failed)
    return has_run and all(score.missing == first.missing for score in scores)


def mean_ranks(results: Results, group: Group) -> tuple[dict[str, float], int]:
    """The mean rank of each method by the protocol's measure, over the settings that have finished.

    Rank 1 is the best, and equal methods share a rank. A method with a failed run is last in that setting.

    Returns:
        The mean rank by method (empty if no setting has finished), and the number of settings counted.
    """
    from scipy.stats import rankdata

    ranks = [
        rankdata([order_of(score) for score in row.values()]).tolist()
        for row in finished_scores(results, group).values()
    ]
    if not ranks:
        return {}, 0
    means = map(statistics.fmean, zip(*ranks, strict=True))
    return dict(zip(group.methods, means, strict=True)), len(ranks)


def order_of(score: Score) -> float:
    """A number that is smaller for a better score; that of a failed run is largest."""
    if score.failed or score.mean is None:
        return float("inf")
    return -score.mean


def reference_of(results: Results, group: Group, ranks: dict[str, float]) -> str | None:
    """The method that the others are compared with: the protocol's, or the one with the best mean rank."""
    named = results.protocol.reference
    if named in group.methods:
        return named
    return min(ranks, key=lambda method: ranks[method]) if ranks else None
