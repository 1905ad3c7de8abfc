"""Pictures of the weights over a training: the figures of the papers on weighting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gdw.experiments.cells import Setting
from gdw.experiments.results import Group, Results
from gdw.report.style import is_wide

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WEIGHTS, FUNCTIONS = "weights_over_training", "weighting_functions"

# Colours that people with any colour vision can tell apart. Of lines that coincide, the narrow one is above.
_WIDE, _NARROW = {"linewidth": 3.2, "alpha": 0.75}, {"linewidth": 1.4}
_MEANS: dict[str, dict[str, Any]] = {
    "right_given": {"label": "right label: its class", "color": "#0072B2", **_WIDE},
    "right_other": {"label": "right label: other classes", "color": "#56B4E9", **_NARROW},
    "wrong_given": {"label": "wrong label: the given class", "color": "#D55E00", **_WIDE},
    "wrong_true": {"label": "wrong label: the true class", "color": "#009E73", **_NARROW},
    "wrong_other": {
        "label": "wrong label: other classes",
        "color": "#000000",
        "linestyle": ":",
        **_NARROW,
    },
}


def recorded(results: Results, group: Group, setting: Setting, what: str) -> list[str]:
    """The methods of `group` whose runs in `setting` recorded `what`."""
    return [m for m in group.methods if _varies(_first(results, setting, m, what))]


def _varies(content: Any | None) -> bool:
    """Whether there is something to see: plain training gives every example the weight 1."""
    if content is None:
        return False
    series = content["weights"] if "weights" in content else content.values()
    return len({value for values in series for value in values if value is not None}) > 1


def _first(results: Results, setting: Setting, method: str, what: str) -> Any | None:
    """What was recorded of the first seed that has it."""
    cells = results.cells_of(setting, method)
    found = (results.results[cell].get(what) for cell in cells if cell in results.results)
    return next((value for value in found if value), None)


def weights_plot(results: Results, group: Group, setting: Setting, width: float) -> Figure:
    """The mean class-level weights of right and wrong labels after each epoch, of each method."""
    methods = recorded(results, group, setting, WEIGHTS)
    figure, panels = _panels(results, methods, width)
    for axes, method in zip(panels, methods, strict=True):
        means = _first(results, setting, method, WEIGHTS) or {}
        for name, style in _MEANS.items():
            values = [float("nan") if v is None else v for v in means.get(name, [])]
            marker = "." if len(values) < 2 else None
            axes.plot(range(1, len(values) + 1), values, marker=marker, **style)
        axes.set_xlabel("epoch")
        axes.set_ylabel("mean weight")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=2 if is_wide(width) else 1, frameon=False
    )
    return figure


def functions_plot(results: Results, group: Group, setting: Setting, width: float) -> Figure:
    """The weight as a function of the loss, after some of the epochs, of each method that learns it."""
    from matplotlib import colormaps

    methods = recorded(results, group, setting, FUNCTIONS)
    figure, panels = _panels(results, methods, width)
    for axes, method in zip(panels, methods, strict=True):
        found = _first(results, setting, method, FUNCTIONS) or {}
        epochs, last = found["epochs"], max(found["epochs"])
        for epoch, weights in zip(epochs, found["weights"], strict=True):
            colour = colormaps["viridis_r"](0.1 + 0.9 * epoch / last)
            axes.plot(found["losses"], weights, color=colour, label=f"epoch {epoch}")
        axes.set_xlabel("loss of an example")
        axes.set_ylabel("weight")
        axes.legend(fontsize="x-small", frameon=False, ncols=2)
    return figure


def _panels(results: Results, methods: Sequence[str], width: float) -> tuple[Figure, list[Axes]]:
    """A figure with a panel for each method, two in a row where there is space."""
    from matplotlib.figure import Figure

    columns = min(2 if is_wide(width) else 1, len(methods))
    rows = -(-len(methods) // columns)
    figure = Figure(figsize=(width, 0.9 + 2.7 * rows), layout="constrained")
    panels = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in panels[len(methods) :]:
        axes.remove()
    for axes, method in zip(panels, methods, strict=False):
        title = results.protocol.title(method).replace("$", r"\$")
        axes.set_title(title, fontsize="medium")
        axes.grid(alpha=0.25)
    return figure, panels[: len(methods)]
