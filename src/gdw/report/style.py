"""How all plots look: figures, colours, axes, names of classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gdw.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The colours of Okabe and Ito, which readers with any kind of colour vision can tell apart.
BLUE, ORANGE, GREEN, GREY = "#3b8fd1", "#e69f00", "#009e73", "#8c959f"
# From dark to light in even steps, also in print and with any kind of colour vision.
SCALE = "cividis"
LONGEST_NAME = 22
# Widths in inches of a figure as wide as the text of the page, and as wide as a phone.
WIDE, NARROW = 8.0, 3.7
_LEAST_WIDE = 5.5


def panels(
    ax: Axes | Sequence[Axes] | None,
    size: tuple[float, float],
    rows: int = 1,
    columns: int = 1,
    **options: Any,
) -> list[Axes]:
    """The axes to draw in: those that the user gave, or those of a new figure.

    Args:
        ax: what the user gave; None for a new figure, which is not in pyplot's list of figures.
        size: its width and height in inches.
        rows, columns: of the axes.
        options: for `Figure.subplots`.

    Raises:
        ConfigError: the user gave another number of axes.
    """
    if ax is None:
        from gdw.report.notebook_figure import NotebookFigure

        figure = NotebookFigure(figsize=size, layout="constrained")
        return list(figure.subplots(rows, columns, squeeze=False, **options).flat)
    given = list(np.ravel(np.array(ax, dtype=object)))
    if len(given) != rows * columns or not all(hasattr(axes, "get_figure") for axes in given):
        kinds = ", ".join(type(axes).__name__ for axes in given)
        raise ConfigError(
            f"ax: expected {rows * columns} axes, as from matplotlib.pyplot.subplots({rows}, {columns})[1], "
            f"found {kinds or 'none'}"
        )
    return given


def width_of(ax: Any, width: float) -> float:
    """The width in inches of the figure that the axes `ax` would fill alone, or else `width`."""
    if not hasattr(ax, "get_window_extent"):
        return width
    return float(1.25 * ax.get_window_extent().width / figure_of(ax).dpi)


def figure_of(axes: Axes) -> Figure:
    """The figure that holds `axes`, also if these are in a part of it."""
    figure: Any = axes.get_figure()
    while figure is not figure.figure:
        figure = figure.figure
    whole: Figure = figure
    return whole


def is_wide(width: float) -> bool:
    """Whether parts of a figure `width` inches wide fit side by side."""
    return width >= _LEAST_WIDE


def tidy(axes: Axes) -> None:
    """Hide the upper and right border and draw a faint grid behind the data."""
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def short(name: object, limit: int = LONGEST_NAME) -> str:
    """The name of a class on one line of at most `limit` characters."""
    text = " ".join(str(name).split())
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    if len(text) <= limit:
        return text
    # Long names often differ at their ends.
    end = limit // 3
    return f"{text[: limit - 1 - end].rstrip()}…{text[-end:].lstrip()}"


def name_ticks(
    axes: Axes, which: str, names: list[str], *, limit: int = LONGEST_NAME, **options: Any
) -> None:
    """Write names along the x or y axis (`which`). A `$` in a name does not start a formula."""
    setter = axes.set_xticks if which == "x" else axes.set_yticks
    setter(range(len(names)), [short(name, limit) for name in names], parse_math=False, **options)


def percent_axes(*axes: Any) -> None:
    """Write the shares along these axes, `Axes.xaxis` or `Axes.yaxis`, as percentages up to 100%.

    Room for notes beyond 100% has no numbers.
    """
    from gdw.report.share_ticks import ShareTicks

    for axis in axes:
        axis.set_major_locator(ShareTicks())
        axis.set_major_formatter(percent)


def percent(share: float, _: int | None = None) -> str:
    """A number along an axis as a percentage: "5%", "2.5%"."""
    return f"{100 * share:.6g}%"
