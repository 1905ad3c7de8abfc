"""Plots of the learning curves, the share of wrong labels by class, and the reliability of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gdw.errors import ConfigError
from gdw.report.style import (
    BLUE,
    GREEN,
    GREY,
    LONGEST_NAME,
    ORANGE,
    WIDE,
    RunLike,
    is_wide,
    name_ticks,
    new_figure,
    part_of,
    percent_axes,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_BARS = 30

_Records = Sequence[Mapping[str, Any]]


def plot_history(
    data: RunLike | _Records,
    *,
    baseline: RunLike | _Records | None = None,
    width: float = WIDE,
) -> Figure:
    """Plot loss and accuracy over the epochs.

    Args:
        data: a run, its folder, or its history (`FitResult.history`).
        baseline: another run, whose accuracy on the test data is drawn for comparison.
        width: of the figure, in inches. In a narrow figure the axes are one above the other.

    Returns:
        A figure with two axes, loss and accuracy.

    Raises:
        RunError: the run has no history.

    Example:
        >>> import gdw
        >>> history = [{"epoch": 1, "train_loss": 0.9}, {"epoch": 2, "train_loss": 0.5}]
        >>> loss, accuracy = gdw.report.plot_history(history).axes
        >>> loss.get_ylabel(), accuracy.get_ylabel()
        ('loss', 'accuracy')
    """
    records: _Records = part_of(data, "history")
    other: _Records = [] if baseline is None else part_of(baseline, "history")
    if is_wide(width):
        figure = new_figure(width, 3.2)
        loss, accuracy = figure.subplots(1, 2)
    else:
        figure = new_figure(width, 5.4)
        loss, accuracy = figure.subplots(2, 1)
    _line(loss, records, "train_loss", "training, given labels", BLUE, "-")
    _line(loss, records, "meta_loss", "verified examples", ORANGE, "--")
    _line(loss, records, "test_nll", "test", GREEN, "-.")
    loss.set_ylabel("loss")
    _line(accuracy, records, "train_accuracy", "training, given labels", BLUE, "-")
    _line(accuracy, records, "test_accuracy", "test", GREEN, "-.")
    _line(accuracy, other, "test_accuracy", "test, baseline", GREY, ":")
    accuracy.set_ylabel("accuracy")
    for axes in (loss, accuracy):
        _finish_curves(axes)
    percent_axes(accuracy.yaxis)
    return figure


def _line(axes: Axes, records: _Records, name: str, label: str, colour: str, style: str) -> None:
    points = [(r["epoch"], r[name]) for r in records if r.get(name) is not None]
    if not points:
        return
    epochs, values = zip(*points, strict=True)
    # A line through one point is invisible.
    marker = "o" if len(points) == 1 else None
    axes.plot(epochs, values, style, color=colour, linewidth=2, label=label, marker=marker)


def _finish_curves(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(axes)
    if axes.get_lines():
        axes.legend(frameon=False, fontsize="small")


def plot_issues_by_class(
    data: RunLike | _Records, *, limit: int = MOST_BARS, width: float = WIDE
) -> Figure:
    """Plot, for each given label, the estimated share of wrong labels, largest first.

    Args:
        data: a run, its folder, or `by_class` of its `audit.json`: records with `label`, `examples` and
            `wrong_share`.
        limit: only so many labels, those with the largest shares, are shown.
        width: of the figure, in inches.

    Returns:
        A figure with one bar per label.

    Raises:
        RunError: the run has not been audited.

    Example:
        >>> import gdw
        >>> rows = [{"label": "cat", "examples": 80, "wrong_share": 0.25}]
        >>> gdw.report.plot_issues_by_class(rows).axes[0].get_xlabel()
        'estimated share of wrong labels'
    """
    audit = part_of(data, "audit")
    rows: _Records = audit["by_class"] if isinstance(audit, dict) else audit
    worst = sorted(rows, key=_wrong_share, reverse=True)[:limit]
    figure = new_figure(width, 0.9 + 0.26 * max(1, len(worst)))
    axes = figure.subplots()
    shares = [_wrong_share(row) for row in worst]
    bars = axes.barh(range(len(worst)), shares, color=ORANGE)
    unit, room, letters = (" examples", 1.45, LONGEST_NAME) if is_wide(width) else ("", 1.7, 14)
    notes = [f"{_wrong_share(row):.0%} of {row['examples']:,}{unit}" for row in worst]
    axes.bar_label(bars, notes, padding=4, fontsize="small")
    name_ticks(axes, "y", [row["label"] for row in worst], limit=letters)
    axes.set_ylim(len(worst) - 0.4, -0.6)
    axes.set_xlim(0, max([0.01, *shares]) * room)
    axes.set_xlabel("estimated share of wrong labels")
    percent_axes(axes.xaxis)
    tidy(axes)
    axes.grid(visible=False, axis="y")
    return figure


def _wrong_share(row: Mapping[str, Any]) -> float:
    return row["wrong_share"] or 0.0


def plot_reliability(data: RunLike | Mapping[str, Any], *, width: float = WIDE) -> Figure:
    """Plot how often the model is right, by its confidence (Guo et al., ICML 2017).

    Args:
        data: a run, its folder, or the content of its `evaluation.json`. Its entry `reliability` has the
            `count`, mean `confidence` and `accuracy` of each bin; both means are None in an empty bin.
        width: of the figure, in inches.

    Returns:
        A figure with two axes: the accuracy and the share of predictions, by confidence.

    Raises:
        RunError: the run has not been evaluated.
        ConfigError: `data` has no entry `reliability`.

    Example:
        >>> import gdw
        >>> bins = {"count": [10, 30], "confidence": [0.4, 0.9], "accuracy": [0.5, 0.8]}
        >>> len(gdw.report.plot_reliability({"reliability": bins}).axes)
        2
    """
    evaluation: Mapping[str, Any] = part_of(data, "evaluation")
    bins = evaluation.get("reliability")
    if bins is None:
        raise ConfigError(
            "expected 'reliability' in the evaluation, found none: gdw evaluate RUN DATA adds it"
        )
    count = np.array(bins["count"], dtype=float)
    used = count > 0
    confidence = np.array(bins["confidence"], dtype=float)[used]
    accuracy = np.array(bins["accuracy"], dtype=float)[used]
    figure = new_figure(width, 4.4)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot((0, 1), (0, 1), "--", color=GREY, label="accuracy equals confidence")
    upper.plot(confidence, accuracy, "o-", color=BLUE, linewidth=2, label="this model")
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    upper.legend(frameon=False, fontsize="small", loc="upper left")
    edges = np.linspace(0, 1, len(count) + 1)
    lower.bar(edges[:-1], count / count.sum(), np.diff(edges), align="edge", color=BLUE)
    lower.set(xlabel="confidence of the prediction", ylabel="share of\npredictions")
    for axes in (upper, lower):
        tidy(axes)
        percent_axes(axes.xaxis, axes.yaxis)
    return figure
