"""Heat maps of given label and class: the noise matrix and the class-level weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gdw.audit.evidence import ClassWeights
from gdw.errors import DataError
from gdw.report.given_noise import as_long
from gdw.report.parts import Source, found, part_of
from gdw.report.style import (
    BLUE,
    LONGEST_NAME,
    SCALE,
    WIDE,
    figure_of,
    is_wide,
    name_ticks,
    panels,
    percent_axes,
    short,
    tidy,
    width_of,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gdw.audit import NoiseMatrix

MOST_CLASSES = 40
"""A heat map of more classes cannot be read; only some of them are shown then."""
_CELLS_WITH_NUMBERS = 12
_TOP = 25
_SHORT_NAME, _VERY_FEW = 10, 5
_LETTERS_PER_INCH, _MARGIN = 9, 1.7


def plot_noise_matrix(
    data: Source | pd.DataFrame | NoiseMatrix | ArrayLike,
    *,
    label_names: Sequence[str] | None = None,
    width: float = WIDE,
    ax: Axes | None = None,
) -> Figure:
    """Plot how often examples of each true class (row) have each given label (column).

    Up to 40 classes are a heat map (12 in a narrow figure). With more classes, the most frequent confusions
    are bars with their 95 % intervals.

    Args:
        data: a run, its folder, a fitted classifier, the table of a `noise_matrix.csv`, or P(given | true)
            as a `gdw.audit.NoiseMatrix`, an array `(C, C)`, or a data frame with the classes as index and
            columns, in one order.
        label_names: the names of the C classes, for an array, a square data frame or a `NoiseMatrix`; by
            default their own, or numbers.
        width: of a new figure, in inches.
        ax: the axes to draw in; by default those of a new figure.

    Returns:
        The figure of the heat map or the bars.

    Raises:
        RunError: the run has not been audited.
        ConfigError: the array is not `(C, C)`, the number of names is not C, or `ax` is not one axes.
        DataError: `data` are no noise matrix, or are not shares from 0 to 1.

    Example:
        >>> import gdw
        >>> figure = gdw.report.plot_noise_matrix([[0.9, 0.1], [0.3, 0.7]], label_names=["cat", "dog"])
        >>> figure.axes[0].get_ylabel()
        'true class'
    """
    frame = as_long(part_of(data, "noise_matrix"), label_names)
    names = list(dict.fromkeys([*frame["true_label"], *frame["given_label"]]))
    if len(names) > most_classes(width_of(ax, width)):
        return _bars(confusions(frame, limit=_TOP), width, ax)
    place = {name: k for k, name in enumerate(names)}
    matrix = np.zeros((len(names), len(names)))
    rows, columns = frame["true_label"].map(place), frame["given_label"].map(place)
    matrix[rows, columns] = frame["probability"].fillna(0)
    axes = _heat_map(matrix, names, "% of the true class", width, ax, percent=True)
    axes.set(xlabel="label in the data", ylabel="true class")
    return figure_of(axes)


def plot_class_weights(
    data: Source | ClassWeights, *, width: float = WIDE, ax: Axes | None = None
) -> Figure:
    """Plot the mean weight of each class (column) in the examples of each given label (row).

    Of more than 40 classes (12 in a narrow figure), those are shown whose given label has the smallest mean
    weight.

    Args:
        data: a run, its folder, a fitted classifier, or their `class_weights` (`class_weights_`).
        width: of a new figure, in inches.
        ax: the axes to draw in; by default those of a new figure.

    Returns:
        The figure of the heat map.

    Raises:
        RunError: the run has not finished, or has more than 512 classes.
        ConfigError: the classifier has more than 512 classes, or `ax` is not one axes.
        DataError: `data` are no class weights.

    Example:
        >>> import gdw, numpy as np
        >>> weights = gdw.audit.ClassWeights(np.eye(2), count=np.ones(2), label_names=("cat", "dog"))
        >>> gdw.report.plot_class_weights(weights).axes[0].get_xlabel()
        'class'
    """
    weights = part_of(data, "class_weights")
    if not isinstance(weights, ClassWeights):
        raise DataError(
            "expected a run, its folder, a fitted classifier, or its weights (run.class_weights, "
            f"classifier.class_weights_), found {found(weights)}"
        )
    chosen = np.flatnonzero(weights.count > 0)
    most = most_classes(width_of(ax, width))
    if len(chosen) > most:
        of_given = np.diag(weights.weights)[chosen]
        chosen = np.sort(chosen[np.argsort(of_given, kind="stable")[:most]])
    names = [weights.label_names[k] for k in chosen]
    shown = weights.weights[np.ix_(chosen, chosen)]
    axes = _heat_map(shown, names, "mean weight", width, ax, percent=False)
    axes.set(xlabel="class", ylabel="label in the data")
    return figure_of(axes)


def most_classes(width: float) -> int:
    """The largest number of classes whose heat map can be read in a figure `width` inches wide."""
    return MOST_CLASSES if is_wide(width) else _CELLS_WITH_NUMBERS


def confusions(frame: pd.DataFrame, *, limit: int) -> pd.DataFrame:
    """The `limit` most frequent confusions in a table like `noise_matrix.csv`, as `gdw audit` orders them.

    They are ordered by the number of examples: ordered by the shares, a class of two examples would often
    come first. Those whose interval begins at 0 may not exist, and are left out if there are others. Without
    numbers of examples the lower ends of the intervals, or else the shares, order them.
    """
    wrong = frame[(frame["true_label"] != frame["given_label"]) & (frame["probability"] > 0)]
    sure = wrong["low"].fillna(wrong["probability"])
    wrong = wrong.assign(_sure=sure)[(sure > 0) | (sure.max() == 0)]
    columns = [name for name in ("count", "_sure", "probability") if name in wrong]
    order = wrong.sort_values(columns, ascending=False, kind="stable")
    worst: pd.DataFrame = order.drop(columns="_sure").head(limit)
    return worst


def _heat_map(
    matrix: NDArray[Any],
    names: list[str],
    meaning: str,
    width: float,
    ax: Axes | None,
    *,
    percent: bool,
) -> Axes:
    width = width_of(ax, width)
    wide, few = is_wide(width), len(names) <= _CELLS_WITH_NUMBERS
    letters = LONGEST_NAME if wide else _letters_on_phone(names)
    flat, height = _name_room(names, letters, width)
    (axes,) = panels(ax, (width, height + (0.38 if few else 0.19) * max(2, len(names))))
    limits: Any = {"vmin": 0, "vmax": 1} if percent else {}
    # Without interpolation the page holds one pixel per cell, sharp at any size.
    image = axes.imshow(matrix, cmap=SCALE, interpolation="none", aspect="auto", **limits)
    if wide and not few:
        _add_scale(axes, image, percent=percent)
    axes.set_title(meaning, loc="left", fontsize="medium")
    axes.spines[:].set_visible(False)
    size = ("medium" if wide else "small") if few else "x-small"
    name_ticks(axes, "x", names, limit=letters, rotation=0 if flat else 90, fontsize=size)
    name_ticks(axes, "y", names, limit=letters, fontsize=size)
    if few:
        _write_numbers(
            axes, matrix, image, small=not wide and len(names) > _VERY_FEW, percent=percent
        )
    return axes


def _add_scale(axes: Axes, image: Any, *, percent: bool) -> None:
    """Show beside the map which colour is which value."""
    bar = figure_of(axes).colorbar(image, ax=axes, fraction=0.04)
    bar.outline.set_visible(False)
    if percent:
        percent_axes(bar.ax.yaxis)


def _letters_on_phone(names: list[str]) -> int:
    return _SHORT_NAME if len(names) > _VERY_FEW else 16


def _name_room(names: list[str], letters: int, width: float) -> tuple[bool, float]:
    """Whether the names below a heat map fit side by side, and the height that they need, in inches."""
    longest = max((len(short(name, letters)) for name in names), default=0)
    flat = longest * len(names) <= _LETTERS_PER_INCH * (width - _MARGIN)
    return flat, 0.9 if flat else 0.8 + 0.085 * longest


def _write_numbers(
    axes: Axes, matrix: NDArray[Any], image: Any, *, small: bool, percent: bool
) -> None:
    """Write the values into the cells; in small cells with fewer characters."""
    low, high = image.get_clim()
    for (row, column), value in np.ndenumerate(matrix):
        light = high > low and (value - low) / (high - low) > 0.5
        text = _percentage(value, small) if percent else _decimal(value, small)
        # Not quite black, because `as_svg` replaces black by the text colour of the page.
        colour = "#111111" if light else "#ffffff"
        size = "x-small" if small else "small"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=size)


def _percentage(value: float, small: bool) -> str:
    return f"{value * 100:.0f}" if small else f"{value:.0%}"


def _decimal(value: float, small: bool) -> str:
    if not small:
        return f"{value:.2f}"
    return f"{value:.1f}" if abs(value) >= 0.995 else f"{value:.2f}".replace("0.", ".", 1)


def _bars(worst: pd.DataFrame, width: float, ax: Axes | None) -> Figure:
    (axes,) = panels(ax, (width, 0.9 + 0.26 * max(1, len(worst))))
    wide = is_wide(width_of(ax, width))
    share = worst["probability"].to_numpy()
    low, high = (
        worst["low"].fillna(worst["probability"]),
        worst["high"].fillna(worst["probability"]),
    )
    reach = np.clip([share - low, high - share], 0, None)
    axes.barh(range(len(worst)), share, xerr=reach, color=BLUE, ecolor="#777777", capsize=2)
    pairs = zip(worst["true_label"], worst["given_label"], strict=True)
    letters = LONGEST_NAME if wide else _SHORT_NAME
    titles = [f"{short(true, letters)} → {short(given, letters)}" for true, given in pairs]
    name_ticks(axes, "y", titles, limit=48)
    axes.set_ylim(len(worst) - 0.4, -0.6)
    axes.set_xlim(0, min(1.0, axes.get_xlim()[1]))
    axes.set_xlabel("share of the true class" if wide else "share")
    percent_axes(axes.xaxis)
    tidy(axes)
    axes.grid(visible=False, axis="y")
    return figure_of(axes)
