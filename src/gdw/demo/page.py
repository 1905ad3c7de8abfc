"""The demonstration's page: one self-contained HTML file."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

from gdw._version import __version__
from gdw.demo.compare import Outcome, mean_and_spread, table
from gdw.demo.picture import learning_curves
from gdw.demo.setting import BATCH, CLASSES, CLEAN_PER_CLASS, EPOCHS, IMBALANCE, NOISE
from gdw.files.svg import as_svg

REPORT = "report.html"
PICTURE = "learning_curves.png"


def write_page(output: Path, outcomes: Mapping[str, Outcome], *, seeds: Sequence[int]) -> Path:
    """Write `report.html` and `learning_curves.png` into `output`; returns the page's path."""
    import jinja2
    import torch
    from markupsafe import Markup

    figure = learning_curves(outcomes)
    figure.savefig(output / PICTURE, dpi=150)
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gdw.demo", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    page = environment.get_template("page.html.j2").render(
        rows=table(outcomes),
        curves=Markup(as_svg(figure, "curves")),
        seeds=len(seeds),
        first_seed=seeds[0],
        noise=NOISE,
        imbalance=IMBALANCE,
        clean_per_class=CLEAN_PER_CLASS,
        classes=CLASSES,
        examples=mean_of(outcomes["gdw"].examples),
        wrong=mean_and_spread(outcomes["gdw"].wrong_labels),
        steps=EPOCHS * (mean_of(outcomes["gdw"].examples) // BATCH),
        batch=BATCH,
        output=output,
        version=__version__,
        torch=torch.__version__,
        python=platform.python_version(),
    )
    path = output / REPORT
    path.write_text(page, encoding="utf-8")
    return path


def mean_of(counts: Sequence[int]) -> int:
    """The rounded mean."""
    return round(sum(counts) / len(counts))
