"""`gdw report`: a run as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

NEEDS_ARGUMENTS = True
EPILOG = "Example: gdw report runs/animals --test holdout.csv"


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run.")],
    output: Annotated[
        Path | None, typer.Option(help="The .html file to write; default: report.html in RUN.")
    ] = None,
    test: Annotated[
        str | None, typer.Option(help="Labelled data to measure on first (kept: evaluation.json).")
    ] = None,
    test_label: Annotated[str | None, typer.Option(help="Its label column.")] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="Another run to compare with, such as plain training.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Where the training data are now, if they were moved.")
    ] = None,
) -> None:
    """Write one HTML page: the model, the classes, the suspicious labels, and what to do next."""
    from gdw.report import write_report

    page = write_report(
        run, output=output, test=test, test_label=test_label, baseline=baseline, data=data
    )
    typer.echo(f"open the report: {page}")
