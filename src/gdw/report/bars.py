"""Which classes suffer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gdw.report.figures import ORANGE, name_ticks, new_figure, tidy
from gdw.report.folder import part_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_BARS = 30


def plot_issues_by_class(
    data: str | os.PathLike[str] | Sequence[Mapping[str, Any]], *, limit: int = MOST_BARS
) -> Figure:
    """The estimated share of wrong labels among the examples given each label, the largest first.

    `data` is a run folder or `by_class` of its `audit.json` (`label`, `examples`, `wrong_share`); the
    `limit` classes with the largest share are shown. Raises `RunError` for a run without audit.
    """
    found = part_of(data, "audit")
    rows: Sequence[Mapping[str, Any]] = found["by_class"] if isinstance(found, dict) else found
    worst = sorted(rows, key=lambda row: row["wrong_share"] or 0, reverse=True)[:limit]
    figure = new_figure(7, 0.9 + 0.26 * max(1, len(worst)))
    axes = figure.subplots()
    shares = [row["wrong_share"] or 0 for row in worst]
    bars = axes.barh(range(len(worst)), shares, color=ORANGE)
    notes = [f"{row['wrong_share'] or 0:.0%} of {row['examples']:,}" for row in worst]
    axes.bar_label(bars, notes, padding=4, fontsize="small")
    name_ticks(axes, "y", [row["label"] for row in worst])
    axes.set_ylim(len(worst) - 0.4, -0.6)
    axes.set_xlim(0, max([0.01, *shares]) * 1.25)
    axes.set_xlabel("estimated share of wrong labels")
    from matplotlib.ticker import PercentFormatter

    axes.xaxis.set_major_formatter(PercentFormatter(1))
    tidy(axes)
    axes.grid(visible=False, axis="y")
    return figure
