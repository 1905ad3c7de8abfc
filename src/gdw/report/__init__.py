"""What a run found out, to look at: one page for a browser, and its pictures for notebooks.

Everything is read from the files of a run folder; see `write_report` for the page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gdw._lazy import lazy

if TYPE_CHECKING:
    from gdw.report.bars import plot_issues_by_class
    from gdw.report.curves import plot_history
    from gdw.report.matrices import plot_class_weights, plot_noise_matrix
    from gdw.report.page import write_report
    from gdw.report.reliability import plot_reliability

_HOME = {
    "plot_class_weights": "gdw.report.matrices",
    "plot_history": "gdw.report.curves",
    "plot_issues_by_class": "gdw.report.bars",
    "plot_noise_matrix": "gdw.report.matrices",
    "plot_reliability": "gdw.report.reliability",
    "write_report": "gdw.report.page",
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
