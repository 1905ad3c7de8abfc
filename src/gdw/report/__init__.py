"""A run as one HTML page, and its figures as plots for notebooks. `write_report` writes the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdw._lazy import lazy

if TYPE_CHECKING:
    from gdw.report.heatmaps import plot_class_weights, plot_noise_matrix
    from gdw.report.html_page import write_report
    from gdw.report.plots import plot_history, plot_issues_by_class, plot_reliability

_HOME = {
    "plot_class_weights": "gdw.report.heatmaps",
    "plot_history": "gdw.report.plots",
    "plot_issues_by_class": "gdw.report.plots",
    "plot_noise_matrix": "gdw.report.heatmaps",
    "plot_reliability": "gdw.report.plots",
    "write_report": "gdw.report.html_page",
}

__all__ = [
    "plot_class_weights",
    "plot_history",
    "plot_issues_by_class",
    "plot_noise_matrix",
    "plot_reliability",
    "write_report",
]

__getattr__ = lazy(__name__, _HOME)


def __dir__() -> list[str]:
    return sorted(__all__)
