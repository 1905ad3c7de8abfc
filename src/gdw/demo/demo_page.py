"""The page of the demonstration: one self-contained HTML file, and the learning curves as a picture."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gdw._version import __version__
from gdw.demo.comparison import Outcome, caption, header, mean_and_spread, table
from gdw.demo.contenders import (
    BATCH,
    CLASSES,
    CLEAN_PER_CLASS,
    CONTENDERS,
    EPOCHS,
    IMBALANCE,
    NOISE,
    RECOMMENDED,
    TEST,
)
from gdw.files.svg import as_svg
from gdw.report.style import NARROW, is_wide

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPORT = "report.html"
PICTURE = "learning_curves.png"
_WIDTH = 7.4
"""As wide as the text of the page, in inches."""

# Okabe and Ito's palette, which people with any colour vision can distinguish; the line styles are for print.
_STYLES = (
    ("#999999", "-"),
    ("#E69F00", "--"),
    ("#56B4E9", "-."),
    ("#009E73", ":"),
    ("#CC79A7", "--"),
    ("#D55E00", "-"),
)


def write_page(output: Path, outcomes: Mapping[str, Outcome], *, seeds: Sequence[int]) -> Path:
    """Write `report.html` and `learning_curves.png` into the folder `output`.

    Returns:
        The path of the page.
    """
    import jinja2
    from markupsafe import Markup

    figure = learning_curves(outcomes)
    figure.savefig(output / PICTURE, dpi=150)
    on_phone = learning_curves(outcomes, width=NARROW)
    path = output / REPORT
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gdw.demo", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("demo.html.j2").render(
        **_facts(outcomes, seeds),
        header=header(len(seeds)),
        rows=table(outcomes),
        caption=caption(len(seeds)),
        curves=Markup(as_svg(figure, "curves")),
        curves_on_phone=Markup(as_svg(on_phone, "curves-narrow")),
        output=output,
    )
    path.write_text(page, encoding="utf-8")
    return path


def _facts(outcomes: Mapping[str, Outcome], seeds: Sequence[int]) -> dict[str, object]:
    """The values in the text of the page: the data, the settings and the versions."""
    import torch

    recommended = outcomes[RECOMMENDED]
    examples = round(sum(recommended.examples) / len(recommended.examples))
    return {
        "recommended": RECOMMENDED,
        "recommended_title": CONTENDERS[RECOMMENDED].title,
        "first_seed": seeds[0],
        "noise": NOISE,
        "imbalance": IMBALANCE,
        "clean_per_class": CLEAN_PER_CLASS,
        "classes": CLASSES,
        "test": TEST,
        "examples": examples,
        "wrong": mean_and_spread(recommended.wrong_labels),
        "steps": EPOCHS * (examples // BATCH),
        "batch": BATCH,
        "version": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def learning_curves(outcomes: Mapping[str, Outcome], *, width: float = _WIDTH) -> Figure:
    """The test accuracy over training: a line for each contender, mean over the seeds with their range.

    Args:
        outcomes: the results of the contenders.
        width: of the figure, in inches. In a narrow one the legend is below the lines.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    figure = Figure(figsize=(width, 4.2), layout="constrained")
    axes = figure.subplots()
    for outcome, (colour, style) in zip(outcomes.values(), _STYLES, strict=True):
        curves = np.array(outcome.curves)
        progress = np.arange(1, curves.shape[1] + 1) / curves.shape[1]
        mean = curves.mean(0)
        axes.plot(progress, mean, style, color=colour, linewidth=2, label=outcome.title)
        axes.fill_between(progress, curves.min(0), curves.max(0), color=colour, alpha=0.15)
    axes.set_xlabel("share of the training steps")
    axes.set_ylabel("accuracy on true labels")
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlim(0, 1)
    axes.set_ylim(0.4, 1)
    axes.grid(alpha=0.25)
    if is_wide(width):
        axes.legend(loc="lower right", frameon=False)
    else:
        figure.legend(loc="outside lower center", frameon=False, fontsize="small", ncols=2)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure
