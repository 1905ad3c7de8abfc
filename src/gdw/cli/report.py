"""`gdw report`: a run as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gdw.cli.app import MovedData, RunFolder, SkipBroken, notes_of_warnings, say

NEEDS_ARGUMENTS = True
EXAMPLES = (
    (
        "the page of a run, with its label issues if gdw audit was run before",
        "gdw report runs/animals",
    ),
    (
        "also how good the model is on data that it has not seen",
        "gdw report runs/animals --test holdout.csv",
    ),
    (
        "compared with plain training on the same data",
        "gdw report runs/animals --test holdout.csv --baseline runs/plain",
    ),
)


def report(
    run: RunFolder,
    output: Annotated[
        Path | None,
        typer.Option(
            help="The .html file to write. If not given, report.html in the run folder.",
            metavar="FILE",
        ),
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(
            help="A file or folder of labelled data to evaluate the model on first. The results are saved in "
            "evaluation.json. If not given, the page shows those of the last evaluation, if any.",
            metavar="PATH",
        ),
    ] = None,
    test_label: Annotated[
        str | None,
        typer.Option(
            help="The label column of the test data. If not given, as for gdw evaluate.",
            metavar="COLUMN",
        ),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            help="The folder of another run to compare with, such as one of plain training. If not given, "
            "none.",
            metavar="RUN",
        ),
    ] = None,
    data: MovedData = None,
    skip_broken: SkipBroken = None,
    examples: Annotated[
        int,
        typer.Option(
            help="Show this many examples, those whose label is most likely wrong.",
            min=1,
            metavar="N",
        ),
    ] = 200,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite the file of --output if it exists.")
    ] = False,
) -> None:
    """Write a report of a run as one HTML page.

    Shows how good the model is, overall and for each class, which labels look wrong, and what to do next.
    """
    from gdw.runs import load
    from gdw.runs.outputs import NotKeptWarning
    from gdw.runs.skipped_images import SkippedImagesWarning

    opened = load(run)
    from gdw.report import write_report

    notes = notes_of_warnings
    with notes(NotKeptWarning), notes(FutureWarning), notes(SkippedImagesWarning):
        page = write_report(
            opened,
            output=output,
            test=test,
            test_label=test_label,
            baseline=baseline,
            data=data,
            skip_broken=skip_broken,
            examples=examples,
            force=force,
        )
    say(f"open the report: {page}")
