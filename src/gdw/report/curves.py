"""Learning curves."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gdw.report.figures import BLUE, GREEN, GREY, ORANGE, new_figure, tidy
from gdw.report.folder import part_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Records = Sequence[Mapping[str, Any]]


def plot_history(
    data: str | os.PathLike[str] | _Records,
    *,
    baseline: str | os.PathLike[str] | _Records | None = None,
) -> Figure:
    """Loss and accuracy over the epochs.

    `data` is a run folder or its history (`FitResult.history`); `baseline` another one, whose accuracy
    on the test data is drawn beside. Raises `RunError` when the run has no history.
    """
    records: _Records = part_of(data, "history")
    other: _Records = [] if baseline is None else part_of(baseline, "history")
    figure = new_figure(8.4, 3.2)
    loss, accuracy = figure.subplots(1, 2)
    _line(loss, records, "train_loss", "training, given labels", BLUE, "-")
    _line(loss, records, "meta_loss", "clean examples", ORANGE, "--")
    _line(loss, records, "test_nll", "test", GREEN, "-.")
    loss.set_ylabel("loss")
    _line(accuracy, records, "train_accuracy", "training, given labels", BLUE, "-")
    _line(accuracy, records, "test_accuracy", "test", GREEN, "-.")
    _line(accuracy, other, "test_accuracy", "test, baseline", GREY, ":")
    accuracy.set_ylabel("accuracy")
    for axes in (loss, accuracy):
        _finish(axes)
    from matplotlib.ticker import PercentFormatter

    accuracy.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def _line(axes: Axes, records: _Records, name: str, label: str, colour: str, style: str) -> None:
    points = [(r["epoch"], r[name]) for r in records if r.get(name) is not None]
    if not points:
        return
    epochs, values = zip(*points, strict=True)
    # A line through one point is invisible.
    marker = "o" if len(points) == 1 else None
    axes.plot(epochs, values, style, color=colour, linewidth=2, label=label, marker=marker)


def _finish(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(axes)
    if axes.get_lines():
        axes.legend(frameon=False, fontsize="small")
