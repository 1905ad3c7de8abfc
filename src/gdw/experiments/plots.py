"""Pictures of a grid: the learning curves of each setting, and bars that compare all methods."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from gdw.experiments.cells import Setting
from gdw.experiments.clean_curve import clean_curve, series_of
from gdw.experiments.grid_folder import PartialRun
from gdw.experiments.rank_plot import rank_plot
from gdw.experiments.rank_table import Ranking
from gdw.experiments.result_tables import MOST_COLUMNS, measure_of
from gdw.experiments.results import Group, Results
from gdw.experiments.weight_plots import (
    FUNCTIONS,
    WEIGHTS,
    functions_plot,
    recorded,
    weights_plot,
)
from gdw.files.svg import as_svg
from gdw.report.style import is_wide

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's palette, which people with any colour vision can distinguish. The line style distinguishes
# methods of the same colour.
_COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999", "#000000")
_LINES = ("-", "--", ":", "-.")
_WIDTH = 9.0
"""As wide as the text of the page, in inches."""
_BANDS = 8
"""With more methods than this the bands would hide the lines."""


def pictures(results: Results, *, width: float = _WIDTH) -> Iterator[tuple[str, str, str]]:
    """The file name without suffix, the description and the `<svg>` element of each picture.

    Args:
        results: the results of a grid.
        width: of the pictures, in inches. In narrow ones the legend is below the lines.
    """
    if results.protocol.certificates is not None:
        return  # one epoch, and accuracies that are not the point
    for number, group in enumerate(results.groups(), start=1):
        ranking = Ranking.of(results, group)
        if ranking is not None:
            title = "Mean ranks of the methods, with their critical difference"
            yield f"ranks-{number}", title, _drawn(rank_plot, results, ranking, width)
        if not _is_long(group) and any(c.setting in group.settings for c in results.results):
            measure = measure_of(results).title
            title = f"{measure}: mean and standard deviation over seeds of each method"
            yield f"accuracy-{number}", title, _drawn(_bars, results, group, width)
    if series_of(results):
        title = "Results against the size of the clean set: mean and standard deviation over seeds"
        methods = results.protocol.methods
        styles = {method: _style(number) for number, method in enumerate(methods)}
        yield "clean-set", title, _drawn(clean_curve, results, styles)
    yield from learning_curves(results, width=width)
    yield from _weight_pictures(results, width)


def _weight_pictures(results: Results, width: float) -> Iterator[tuple[str, str, str]]:
    """The pictures of the weights over the training, of the settings that recorded them."""
    kinds = (
        (WEIGHTS, "weights", "Mean weights of right and wrong labels", weights_plot),
        (FUNCTIONS, "functions", "The weight as a function of the loss", functions_plot),
    )
    for group in results.groups():
        for setting in group.settings:
            for what, name, title, draw in kinds:
                if recorded(results, group, setting, what):
                    drawn = _drawn(draw, results, group, setting, width)
                    yield f"{name}-{setting.slug}", f"{title}: {setting}", drawn


def learning_curves(results: Results, *, width: float = _WIDTH) -> Iterator[tuple[str, str, str]]:
    """The same for the pictures of learning curves, one for each setting with results, unless many."""
    if results.protocol.certificates is not None:
        return
    started = [cell for cell, part in results.started.items() if part.curve]
    with_curves = {cell.setting for cell in (*results.results, *started)}
    for group in results.groups():
        for setting in group.settings:
            if setting in with_curves and not _is_long(group):
                title = f"Test accuracy after each epoch: {setting}"
                yield (
                    f"curves-{setting.slug}",
                    title,
                    _drawn(_curves, results, group, setting, width),
                )


def _is_long(group: Group) -> bool:
    """Whether there are too many settings for a picture of each."""
    return len(group.settings) > MOST_COLUMNS


def _drawn(draw: Callable[..., Figure], *arguments: Any) -> str:
    return as_svg(draw(*arguments), draw.__name__)


def _curves(results: Results, group: Group, setting: Setting, width: float) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    wide = is_wide(width)
    below = 0.0 if wide else 0.2 * len(group.methods)
    figure = Figure(figsize=(width, (4.6 if wide else 3.4) + below), layout="constrained")
    axes = figure.subplots()
    for number, method in enumerate(group.methods):
        style = _style(number)
        title = _plain(results.protocol.title(method))
        _plot_unfinished(axes, results.unfinished(setting, method), title, style)
        curves = results.curves(setting, method)
        if curves:
            _plot_mean(axes, curves, title, style, band=len(group.methods) <= _BANDS)
    axes.set_title(_title(setting, width), fontsize="medium")
    axes.set_xlabel("share of the epochs")
    axes.set_ylabel("test accuracy")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlim(0, 1)
    axes.grid(alpha=0.25)
    figure.legend(
        loc="outside right center" if wide else "outside lower center",
        fontsize="small",
        frameon=False,
    )
    return figure


def _style(number: int) -> dict[str, Any]:
    return {"color": _COLOURS[number % 8], "linestyle": _LINES[number // 8 % 4]}


def _plot_unfinished(
    axes: Axes, runs: Mapping[int, PartialRun], title: str, style: dict[str, Any]
) -> None:
    """A line with a dot at each epoch, for each seed that has not finished."""
    for seed, part in runs.items():
        done = len(part.curve)
        label = f"{title}, seed {seed}, {done} of {part.epochs} epochs"
        progress = np.arange(1, done + 1) / part.epochs
        axes.plot(progress, part.curve, label=label, marker=".", **style)


def _plot_mean(
    axes: Axes, curves: list[list[float]], title: str, style: dict[str, Any], *, band: bool
) -> None:
    """The mean over the seeds, with `band` also the range."""
    # The seeds of a method differ in length only while the protocol changes: the shortest counts.
    length = min(map(len, curves))
    values = np.array([curve[:length] for curve in curves])
    progress = np.arange(1, length + 1) / length
    axes.plot(progress, values.mean(0), label=title, **style)
    if band:
        low, high = values.min(0), values.max(0)
        axes.fill_between(progress, low, high, color=style["color"], alpha=0.1)


def _bars(results: Results, group: Group, width: float) -> Figure:
    from matplotlib.figure import Figure

    rows = len(group.settings)
    figure = Figure(
        figsize=(
            width,
            0.8 + rows * (0.5 + (0.2 if is_wide(width) else 0.32) * len(group.methods)),
        ),
        layout="constrained",
    )
    for axes, setting in zip(
        figure.subplots(rows, squeeze=False)[:, 0], group.settings, strict=True
    ):
        _plot_bars(axes, results, group, setting, width)
    return figure


def _plot_bars(axes: Axes, results: Results, group: Group, setting: Setting, width: float) -> None:
    measure = measure_of(results)
    scores = [results.score(setting, method, measure.name) for method in group.methods]
    places = np.arange(len(scores))
    means = measure.scale * np.array(
        [score.mean for score in scores], dtype=np.float64
    )  # None: NaN
    spreads = measure.scale * np.array([score.spread or 0.0 for score in scores])
    colours = [_COLOURS[i % 8] for i in range(len(scores))]
    axes.barh(places, means, xerr=spreads, color=colours, height=0.7, error_kw={"elinewidth": 1})
    letters, size = (60, "medium") if is_wide(width) else (18, "small")
    titles = [_folded(results.protocol.title(method), letters) for method in group.methods]
    axes.set_yticks(places, titles, fontsize=size)
    axes.invert_yaxis()
    known = means[np.isfinite(means)]
    if len(known):
        axes.set_xlim(max(0.0, np.floor(known.min() / 10) * 10 - 10), min(100.0, known.max() + 5))
    axes.set_title(_title(setting, width), fontsize="medium")
    axes.set_xlabel(measure.title)
    axes.grid(axis="x", alpha=0.25)


def _title(setting: Setting, width: float) -> str:
    return _folded(str(setting), round(11 * width))


def _folded(text: str, letters: int) -> str:
    """`text` in lines of at most `letters` characters where it has spaces."""
    return textwrap.fill(_plain(text), letters, break_long_words=False, break_on_hyphens=False)


def _plain(text: str) -> str:
    """`text` with escaped dollar signs, which would start a formula."""
    return text.replace("$", r"\$")
