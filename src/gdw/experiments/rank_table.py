"""The mean ranks of the methods of a grid, with tests of whether they differ."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from gdw.experiments.cells import Setting
from gdw.experiments.results import Group, Results, Score, finished_scores, mean_ranks, order_of
from gdw.experiments.significance import RankTest, rank_test
from gdw.experiments.tables import Entry, Table


@dataclass(frozen=True)
class Ranking:
    """The mean ranks of the methods of a group, the best first, and their test.

    Attributes:
        ranks: the mean rank by method.
        test: over the settings in which all methods have finished.
    """

    ranks: dict[str, float]
    test: RankTest

    @classmethod
    def of(cls, results: Results, group: Group) -> Ranking | None:
        """None for fewer than three methods, or too few finished settings for a test."""
        orders = [
            [order_of(score) for score in row.values()]
            for row in finished_scores(results, group).values()
        ]
        test = rank_test(orders)
        if test is None:
            return None
        ranks, _ = mean_ranks(results, group)
        return cls(dict(sorted(ranks.items(), key=lambda item: item[1])), test)

    @property
    def like_best(self) -> set[str]:
        """The methods that cannot be told apart from the best."""
        lowest = min(self.ranks.values())
        near = self.test.critical_difference
        return {method for method, rank in self.ranks.items() if rank - lowest < near}


def rank_table(results: Results, group: Group, *, measure: str) -> Table | None:
    """The methods by mean rank, with their mean score; None where too little has finished for a test.

    Args:
        results: of the grid.
        group: of its settings.
        measure: the title of the protocol's measure.
    """
    ranking = Ranking.of(results, group)
    if ranking is None:
        return None
    scores, title = finished_scores(results, group), results.protocol.title
    plain = next((m for m in group.methods if _is_plain(results, m)), None)
    rows = [
        (
            Entry(title(method)),
            Entry(f"{rank:.2f}", best=method in ranking.like_best),
            Entry(_mean([row[method] for row in scores.values()])),
            Entry(str(sum(_is_first(row, method) for row in scores.values()))),
            *([] if plain is None else [Entry(_worst(scores, method, plain))]),
        )
        for method, rank in ranking.ranks.items()
    ]
    worst = () if plain is None else (f"worst against {title(plain)}, points",)
    header = ("method", "mean rank", f"mean {measure[:1].lower()}{measure[1:]}", "first in", *worst)
    name = f"Mean ranks over {ranking.test.settings} settings"
    return Table(name, header, tuple(rows), _note(ranking.test, seen=plain is not None))


def _note(test: RankTest, *, seen: bool) -> str:
    p = "p < 0.001" if test.p < 0.001 else f"p = {test.p:.3f}"
    worst = " Worst: the smallest difference in any setting." if seen else ""
    return (
        f"Friedman's test of whether all methods have the same rank: χ² = {test.statistic:.1f}, {p}. The "
        f"critical difference is {test.critical_difference:.2f}: mean ranks that differ by less cannot be "
        "told apart at 5 % (Nemenyi's test). Marked: the best, and those that cannot be told apart from it. "
        f"Settings of one data set are not independent, so the tests are only a guide.{worst}"
    )


def _is_plain(results: Results, method: str) -> bool:
    entry = results.protocol.method_entry(method)
    return entry.method == "plain" and not entry.data and not entry.training


def _mean(scores: list[Score]) -> str:
    means = [score.mean for score in scores if score.mean is not None]
    return f"{100 * statistics.fmean(means):.1f}" if means else "—"


def _is_first(row: dict[str, Score], method: str) -> bool:
    return order_of(row[method]) == min(map(order_of, row.values()))


def _worst(scores: dict[Setting, dict[str, Score]], method: str, plain: str) -> str:
    """The smallest difference of `method` from `plain` in any setting, in points."""
    pairs = ((row[method].mean, row[plain].mean) for row in scores.values())
    differences = [
        100 * (mine - theirs) for mine, theirs in pairs if mine is not None and theirs is not None
    ]
    return f"{min(differences):+.1f}" if differences and method != plain else "—"
