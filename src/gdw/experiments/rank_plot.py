"""A picture of the mean ranks of the methods of a grid, with their critical difference."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from gdw.experiments.rank_table import Ranking
from gdw.experiments.results import Results
from gdw.report.style import BLUE, GREY, is_wide, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def rank_plot(results: Results, ranking: Ranking, width: float) -> Figure:
    """A dot at the mean rank of each method; methods whose bars overlap cannot be told apart.

    Args:
        results: of the grid.
        ranking: of a group of its settings.
        width: of the picture, in inches.
    """
    from matplotlib.figure import Figure

    names = list(ranking.ranks)
    height = 1.2 + 0.3 * len(names)
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    half, places = ranking.test.critical_difference / 2, np.arange(len(names))
    means = np.array(list(ranking.ranks.values()))
    axes.axvspan(means[0] - half, means[0] + half, color=BLUE, alpha=0.12, linewidth=0)
    colours = [BLUE if name in ranking.like_best else GREY for name in names]
    axes.hlines(places, means - half, means + half, colors=colours, linewidth=2)
    axes.scatter(means, places, c=colours, zorder=3)
    letters = 34 if is_wide(width) else 18
    titles = [results.protocol.title(name).replace("$", r"\$") for name in names]
    axes.set_yticks(places, [textwrap.shorten(t, letters, placeholder=" …") for t in titles])
    axes.invert_yaxis()
    axes.set_xlabel(
        f"mean rank over {ranking.test.settings} settings (1 is the best);"
        + (" " if is_wide(width) else "\n")
        + "bars that overlap: no difference at 5 %"
    )
    tidy(axes)
    return figure
