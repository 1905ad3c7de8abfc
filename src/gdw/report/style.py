"""What all plots of the report share: colours, axes, names of classes, and where their data come from."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, TypeAlias

from gdw.runs.run import Run, load

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RunLike: TypeAlias = "str | os.PathLike[str] | Run"
"""A run, or the path of its folder."""

# The colours of Okabe and Ito, which readers with any kind of colour vision can tell apart.
BLUE, ORANGE, GREEN, GREY = "#3b8fd1", "#e69f00", "#009e73", "#8c959f"
# From dark to light in even steps, also in print and with any kind of colour vision.
SCALE = "cividis"
LONGEST_NAME = 22
# Widths in inches of a figure as wide as the text of the page, and as wide as a phone.
WIDE, NARROW = 7.7, 3.7
_LEAST_WIDE = 5.5


def part_of(data: Any, part: str) -> Any:
    """The `part` of a run if `data` is a run or its folder, else `data` itself.

    Raises:
        RunError: the run does not have that part.
    """
    return load(data).require(part) if isinstance(data, (str, os.PathLike)) else data


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, `width` x `height` inches, which is not in pyplot's list of figures."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


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
    return text if len(text) <= limit else text[: limit - 1] + "…"


def name_ticks(
    axes: Axes, which: str, names: list[str], *, limit: int = LONGEST_NAME, **options: Any
) -> None:
    """Write names along the x or y axis (`which`). A `$` in a name does not start a formula."""
    setter = axes.set_xticks if which == "x" else axes.set_yticks
    setter(range(len(names)), [short(name, limit) for name in names], parse_math=False, **options)


def percent_axes(*axes: Any) -> None:
    """Write the numbers along these axes, `Axes.xaxis` or `Axes.yaxis`, as percentages."""
    from matplotlib.ticker import PercentFormatter

    for axis in axes:
        axis.set_major_formatter(PercentFormatter(1))
