"""Whether the model is as often right as it says."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gdw.errors import ConfigError
from gdw.report.figures import BLUE, GREY, new_figure, tidy
from gdw.report.folder import part_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_reliability(data: str | os.PathLike[str] | Mapping[str, Any]) -> Figure:
    """The share of right answers at each confidence, with how many answers that is.

    `data` is a run folder or the contents of its `evaluation.json`, whose `reliability` holds `count`,
    `confidence` (mean) and `accuracy` of each bin, None where a bin is empty (Guo et al., ICML 2017).
    Raises `RunError` for a run that was not evaluated, `ConfigError` for figures without these.
    """
    figures: Mapping[str, Any] = part_of(data, "evaluation")
    bins = figures.get("reliability")
    if bins is None:
        raise ConfigError(
            "expected 'reliability' in the evaluation, found none: gdw report RUN --test DATA adds it"
        )
    count = np.array(bins["count"], dtype=float)
    used = count > 0
    confidence = np.array(bins["confidence"], dtype=float)[used]
    accuracy = np.array(bins["accuracy"], dtype=float)[used]
    figure = new_figure(5.2, 4.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot((0, 1), (0, 1), "--", color=GREY, label="as often right as it says")
    upper.plot(confidence, accuracy, "o-", color=BLUE, linewidth=2, label="this model")
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share of right answers")
    upper.legend(frameon=False, fontsize="small", loc="upper left")
    edges = np.linspace(0, 1, len(count) + 1)
    lower.bar(edges[:-1], count / count.sum(), np.diff(edges), align="edge", color=BLUE)
    lower.set(xlabel="confidence of the answer", ylabel="share of\nanswers")
    from matplotlib.ticker import PercentFormatter

    for axes in (upper, lower):
        tidy(axes)
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.xaxis.set_major_formatter(PercentFormatter(1))
    return figure
