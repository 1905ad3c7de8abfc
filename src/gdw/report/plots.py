"""Plots of the learning curves, the share of wrong labels by class, and the reliability of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdw.errors import ConfigError, DataError, counted
from gdw.report.parts import Source, answers, found, part_of, records_of, with_names
from gdw.report.style import (
    BLUE,
    GREEN,
    GREY,
    LONGEST_NAME,
    ORANGE,
    WIDE,
    figure_of,
    is_wide,
    name_ticks,
    panels,
    percent_axes,
    tidy,
    width_of,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gdw.train import FitResult

MOST_BARS = 30

_Records = Sequence[Mapping[str, Any]]


def plot_history(
    data: Source | FitResult | _Records,
    *,
    baseline: Source | FitResult | _Records | None = None,
    width: float = WIDE,
    ax: Sequence[Axes] | None = None,
) -> Figure:
    """Plot loss and accuracy over the epochs.

    Args:
        data: a run, its folder, a fitted classifier, a `FitResult`, or a history: one record per epoch,
            or a data frame of them.
        baseline: another one, whose accuracy on the test data is drawn for comparison.
        width: of a new figure, in inches. In a narrow figure the axes are one above the other.
        ax: two axes to draw in; by default those of a new figure.

    Returns:
        The figure of the two axes, loss and accuracy.

    Raises:
        RunError: the run has no history.
        ConfigError: `ax` is not two axes.
        DataError: `data` or `baseline` are no history.

    Example:
        >>> import gdw
        >>> history = [{"epoch": 1, "train_loss": 0.9}, {"epoch": 2, "train_loss": 0.5}]
        >>> loss, accuracy = gdw.report.plot_history(history).axes
        >>> loss.get_ylabel(), accuracy.get_ylabel()
        ('loss', 'accuracy')
    """
    records, other = _records(data), [] if baseline is None else _records(baseline)
    size, layout = ((width, 3.2), (1, 2)) if is_wide(width) else ((width, 5.4), (2, 1))
    loss, accuracy = panels(ax, size, *layout)
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
    return figure_of(loss)


def _records(data: Any) -> _Records:
    part = part_of(data, "history")
    records = records_of(getattr(part, "history", part), ("epoch",))
    if records is None:
        raise DataError(
            "expected a history: a run, its folder, a fitted classifier, a FitResult, or one record with an "
            f"'epoch' for each epoch, found {found(part)}"
        )
    return records


def _line(axes: Axes, records: _Records, name: str, label: str, colour: str, style: str) -> None:
    points = [(r["epoch"], r[name]) for r in records if _is_known(r.get(name))]
    if not points:
        return
    epochs, values = zip(*points, strict=True)
    # A line through one point is invisible.
    marker = "o" if len(points) == 1 else None
    axes.plot(epochs, values, style, color=colour, linewidth=2, label=label, marker=marker)


def _is_known(value: Any) -> bool:
    """Whether an epoch has this figure; in a data frame NaN stands for none."""
    return value is not None and value == value


def _finish_curves(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    tidy(axes)
    if axes.get_lines():
        axes.legend(frameon=False, fontsize="small")


def plot_issues_by_class(
    data: Source | _Records | pd.DataFrame,
    *,
    limit: int = MOST_BARS,
    width: float = WIDE,
    ax: Axes | None = None,
) -> Figure:
    """Plot, for each given label, the estimated share of wrong labels, largest first.

    Args:
        data: a run, its folder, a fitted classifier, or `by_class` of an `audit.json`: records with `label`,
            `examples` and `wrong_share`. Of a table of label issues, such as `label_issues_` of the
            classifier, the share of examples that are label issues is shown.
        limit: only so many labels, those with the largest shares, are shown.
        width: of a new figure, in inches.
        ax: the axes to draw in; by default those of a new figure.

    Returns:
        The figure, with one bar per label.

    Raises:
        RunError: the run has not been audited.
        ConfigError: `ax` is not one axes, or a table has no columns `given_label` and `is_label_issue`.
        DataError: `data` are none of these.

    Example:
        >>> import gdw
        >>> rows = [{"label": "cat", "examples": 80, "wrong_share": 0.25}]
        >>> gdw.report.plot_issues_by_class(rows).axes[0].get_xlabel()
        'estimated share of wrong labels'
    """
    audit, meaning = part_of(data, "audit"), "estimated share of wrong labels"
    if hasattr(audit, "columns") and "wrong_share" not in audit:
        audit, meaning = _flagged(audit), "share of labels in doubt"
    given = audit.get("by_class") if isinstance(audit, dict) else audit
    rows = records_of(given, ("label", "examples", "wrong_share"))
    if rows is None:
        raise DataError(
            "expected a run, its folder, a fitted classifier, a table of label issues, or records with "
            f"label, examples and wrong_share, found {found(audit)}"
        )
    worst = sorted(rows, key=_wrong_share, reverse=True)[:limit]
    (axes,) = panels(ax, (width, 0.9 + 0.26 * max(1, len(worst))))
    shares = [_wrong_share(row) for row in worst]
    bars = axes.barh(range(len(worst)), shares, color=ORANGE)
    wide = is_wide(width_of(ax, width))
    room, letters = (1.45, LONGEST_NAME) if wide else (1.7, 14)
    numbers = [
        counted(n, "example") if wide else f"{n:,}" for n in (row["examples"] for row in worst)
    ]
    notes = [f"{share:.0%} of {number}" for share, number in zip(shares, numbers, strict=True)]
    axes.bar_label(bars, notes, padding=4, fontsize="small")
    name_ticks(axes, "y", [row["label"] for row in worst], limit=letters)
    axes.set_ylim(len(worst) - 0.4, -0.6)
    axes.set_xlim(0, max([0.01, *shares]) * room)
    axes.set_xlabel(meaning)
    percent_axes(axes.xaxis)
    tidy(axes)
    axes.grid(visible=False, axis="y")
    return figure_of(axes)


def _wrong_share(row: Mapping[str, Any]) -> float:
    return row["wrong_share"] or 0.0


def _flagged(issues: pd.DataFrame) -> _Records:
    """Records by given label for a table of label issues."""
    if not {"given_label", "is_label_issue"} <= set(issues.columns):
        raise ConfigError(
            "expected a table with the columns given_label and is_label_issue, found "
            f"{', '.join(map(str, issues.columns))}"
        )
    frame = with_names(issues, ("given_label",))
    # A file may have them as text or numbers.
    is_issue = frame["is_label_issue"].map(str).str.lower().isin(("true", "1", "1.0"))
    by_label = is_issue.groupby(frame["given_label"]).agg(["size", "mean"])
    return [
        {"label": label, "examples": int(size), "wrong_share": float(share)}
        for label, size, share in by_label.itertuples()
    ]


def plot_reliability(
    data: Source | Mapping[str, Any] | ArrayLike,
    X: Any = None,
    y: ArrayLike | None = None,
    *,
    width: float = WIDE,
    ax: Axes | Sequence[Axes] | None = None,
) -> Figure:
    """Plot how often the model is right, by its confidence (Guo et al., ICML 2017).

    Args:
        data: a run, its folder, or the content of its `evaluation.json`. Its entry `reliability` has the
            `count`, mean `confidence` and `accuracy` of each bin; both means are None in an empty bin. Or a
            fitted classifier, with test data `X`, `y`. Or predicted probabilities `(N, C)`, such as those of
            `cross_val_predict`, with `y`.
        X: what the classifier predicts, N rows.
        y: the labels `(N,)`, best verified ones.
        width: of a new figure, in inches.
        ax: two axes to draw in, or one for the accuracy alone; by default those of a new figure.

    Returns:
        The figure of the two axes: the accuracy and the share of predictions, by confidence.

    Raises:
        RunError: the run has not been evaluated.
        ConfigError: `data` has no entry `reliability`, `X` or `y` is missing, or `ax` is not one or two axes.
        DataError: the probabilities do not fit `y`, or `data` are none of these.

    Example:
        >>> import gdw
        >>> bins = {"count": [10, 30], "confidence": [0.4, 0.9], "accuracy": [0.5, 0.8]}
        >>> len(gdw.report.plot_reliability({"reliability": bins}).axes)
        2
        >>> probabilities = [[0.9, 0.1], [0.3, 0.7], [0.6, 0.4]]
        >>> figure = gdw.report.plot_reliability(probabilities, y=["cat", "dog", "dog"])
        >>> figure.axes[0].get_ylabel()
        'accuracy'
    """
    bins = _bins(data, X, y)
    count = np.array(bins["count"], dtype=float)
    alone = ax is not None and np.size(np.array(ax, dtype=object)) == 1
    layout: dict[str, Any] = {} if alone else {"rows": 2, "sharex": True, "height_ratios": (3, 1)}
    upper, *lower = panels(ax, (width, 4.4), **layout)
    _plot_accuracy(upper, bins, count > 0)
    for axes in lower:
        edges = np.linspace(0, 1, len(count) + 1)
        axes.bar(edges[:-1], count / count.sum(), np.diff(edges), align="edge", color=BLUE)
        axes.set_ylabel("share of\npredictions")
    for axes in (upper, *lower):
        tidy(axes)
        percent_axes(axes.xaxis, axes.yaxis)
    (lower or [upper])[-1].set_xlabel("confidence of the prediction")
    return figure_of(upper)


def _bins(data: Any, X: Any, y: ArrayLike | None) -> Mapping[str, Any]:
    if X is None and y is None:
        evaluation = part_of(data, "evaluation")
        if not isinstance(evaluation, Mapping):
            raise DataError(
                "expected a run, its folder, the content of evaluation.json, a classifier with X and y, or "
                f"probabilities with y=labels, found {found(evaluation)} alone"
            )
        bins: Mapping[str, Any] | None = evaluation.get("reliability")
        if bins is None:
            raise ConfigError(
                "expected 'reliability' in the evaluation, found none: gdw evaluate RUN DATA adds it"
            )
        return bins
    from gdw.runs.evaluating import reliability

    return reliability(*answers(data, X, y))


def _plot_accuracy(axes: Axes, bins: Mapping[str, Any], used: NDArray[np.bool_]) -> None:
    confidence = np.array(bins["confidence"], dtype=float)[used]
    accuracy = np.array(bins["accuracy"], dtype=float)[used]
    axes.plot((0, 1), (0, 1), "--", color=GREY, label="accuracy equals confidence")
    axes.plot(
        confidence, accuracy, "o-", color=BLUE, linewidth=2, label="this model", clip_on=False
    )
    axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    axes.legend(frameon=False, fontsize="small", loc="best")
