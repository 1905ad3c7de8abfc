"""The learning curves of the demonstration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from gdw.demo.compare import Outcome

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart with any kind of colour vision; line styles for print.
_STYLES = (
    ("#999999", "-"),
    ("#E69F00", "--"),
    ("#56B4E9", "-."),
    ("#009E73", ":"),
    ("#CC79A7", "--"),
    ("#D55E00", "-"),
)


def learning_curves(outcomes: Mapping[str, Outcome]) -> Figure:
    """Test accuracy over training, mean of the seeds with their range, one line a method."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(7.2, 4.2), layout="constrained")
    axes = figure.subplots()
    for outcome, (colour, style) in zip(outcomes.values(), _STYLES, strict=True):
        curves = np.array(outcome.curves)
        progress = np.arange(1, curves.shape[1] + 1) / curves.shape[1]
        mean = curves.mean(0)
        axes.plot(progress, mean, style, color=colour, linewidth=2, label=outcome.title)
        axes.fill_between(progress, curves.min(0), curves.max(0), color=colour, alpha=0.15)
    axes.set_xlabel("share of the training steps")
    axes.set_ylabel("accuracy on true labels")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlim(0, 1)
    axes.set_ylim(0.4, 1)
    axes.grid(alpha=0.25)
    axes.legend(loc="lower right")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure
