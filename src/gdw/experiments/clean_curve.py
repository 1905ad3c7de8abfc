"""A picture of how many clean examples one needs: the results against the size of the clean set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gdw.experiments.cells import Setting
from gdw.experiments.metrics import METRICS, Metric
from gdw.experiments.result_tables import measure_of
from gdw.experiments.results import Results

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The width of a name in the legend, in inches.
_OF_NAME = 2.4
_DETECTION = next(metric for metric in METRICS if metric.name == "detection_auroc")


def series_of(results: Results) -> dict[str, list[Setting]]:
    """The settings with results of each `DataEntry.series`, in the order of the protocol."""
    found: dict[str, list[Setting]] = {}
    for setting in dict.fromkeys(cell.setting for cell in results.cells if cell in results.results):
        name = results.protocol.data_entry(setting.data).series
        if name is not None:
            found.setdefault(name, []).append(setting)
    return {name: settings for name, settings in found.items() if len(settings) > 1}


def clean_curve(results: Results, colours: dict[str, dict[str, Any]]) -> Figure:
    """One column of panels for each series, one row for each of measure and detection of wrong labels.

    Args:
        results: of a grid whose data sets form series.
        colours: how to draw each method.
    """
    from matplotlib.figure import Figure

    series, metrics = series_of(results), (measure_of(results), _DETECTION)
    width = 0.8 + 2.7 * len(series)
    figure = Figure(figsize=(max(6.0, width), 5.6), layout="constrained")
    panels = figure.subplots(len(metrics), len(series), squeeze=False, sharex="col")
    for row, metric in zip(panels, metrics, strict=True):
        row[0].set_ylabel(metric.title.replace("Detection of wrong labels", "Wrong labels"))
        for axes, (name, settings) in zip(row, series.items(), strict=True):
            for method, style in colours.items():
                _plot(axes, results, settings, method, metric, style)
            axes.grid(alpha=0.25)
            if metric is metrics[0]:
                axes.set_title(name.replace("$", r"\$"), fontsize="medium")
    for axes in panels[-1]:
        axes.set_xlabel(_effort(results))
    handles = {
        h.get_label(): h for axes in panels.flat for h in axes.get_legend_handles_labels()[0]
    }
    figure.legend(
        handles=list(handles.values()),
        loc="outside lower center",
        ncols=min(len(handles), max(2, int(figure.get_figwidth() / _OF_NAME))),
        frameon=False,
    )
    return figure


def _plot(
    axes: Axes,
    results: Results,
    settings: list[Setting],
    method: str,
    metric: Metric,
    style: dict[str, Any],
) -> None:
    """The mean over the seeds with its standard deviation. Without clean examples it is a dashed line."""
    points = _points(results, settings, method, metric)
    label = results.protocol.title(method).replace("$", r"\$")
    if 0 in points:
        mean, _ = points.pop(0)
        axes.axhline(mean, **{**style, "linestyle": ":"}, label=f"{label}, no clean example")
    sizes = sorted(points)
    if sizes:
        mean, spread = np.array([points[size] for size in sizes]).T
        axes.plot(sizes, mean, label=label, marker=".", **style)
        axes.fill_between(sizes, mean - spread, mean + spread, color=style["color"], alpha=0.12)
        axes.set_xscale("log")
        axes.set_xticks(sizes, [_tick(results, size) for size in sizes], fontsize="small")
        axes.minorticks_off()


def _effort(results: Results) -> str:
    seconds = results.protocol.seconds_per_answer
    return "clean examples" if seconds is None else f"minutes, {seconds:g} s an answer"


def _tick(results: Results, size: int) -> str:
    """The number of clean examples, or the minutes that it takes to verify them."""
    seconds = results.protocol.seconds_per_answer
    return f"{size:,}" if seconds is None else f"{size * seconds / 60:.3g}"


def _points(
    results: Results, settings: list[Setting], method: str, metric: Metric
) -> dict[int, tuple[float, float]]:
    """The mean of a method over the seeds, and its standard deviation, by the number of clean examples."""
    points = {}
    for setting in settings:
        score = results.score(setting, method, metric.name)
        if score.mean is not None:
            size = _clean_examples(results, setting, method)
            points[size] = (metric.scale * score.mean, metric.scale * (score.spread or 0.0))
    return points


def _clean_examples(results: Results, setting: Setting, method: str) -> int:
    answers = results.protocol.data_entry(setting.data).answers
    if answers is not None:
        return answers if results.protocol.method_entry(method).answers else 0
    cells = results.cells_of(setting, method)
    return max(int(results.results[c]["clean_examples"]) for c in cells if c in results.results)
