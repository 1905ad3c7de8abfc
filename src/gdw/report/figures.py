"""How every picture of the report looks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which any kind of colour vision tells apart.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#3b8fd1", "#e69f00", "#009e73", "#cc79a7", "#8c959f"
# Dark to light in even steps for every eye, and in print.
SCALE = "cividis"
LONGEST_NAME = 22


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of that many inches, outside of pyplot's list of figures."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def tidy(axes: Axes) -> None:
    """Only the two axes that carry numbers, and a faint grid behind what is shown."""
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def short(name: object, limit: int = LONGEST_NAME) -> str:
    """A class's name on one line of at most `limit` characters."""
    text = " ".join(str(name).split())
    text = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def name_ticks(
    axes: Axes, which: str, names: list[str], *, limit: int = LONGEST_NAME, **options: Any
) -> None:
    """Names along the x or y axis as they are: a `$` in them starts no formula."""
    setter = axes.set_xticks if which == "x" else axes.set_yticks
    setter(range(len(names)), [short(name, limit) for name in names], parse_math=False, **options)
