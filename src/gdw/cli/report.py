"""`gdw report`: a run as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gdw.cli.app import say

NEEDS_ARGUMENTS = True
EPILOG = "Example: gdw report runs/animals --test holdout.csv"


def report(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    output: Annotated[
        Path | None,
        typer.Option(help="The .html file to write. report.html in the run folder if not given."),
    ] = None,
    test: Annotated[
        str | None,
        typer.Option(
            help="Labelled data to evaluate the model on first. The results are saved in evaluation.json."
        ),
    ] = None,
    test_label: Annotated[
        str | None, typer.Option(help="The label column of the test data.")
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(
            help="The folder of another run to compare with, such as one of plain training."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="Where the training data are now, if they were moved since training."),
    ] = None,
    skip_broken: Annotated[
        bool | None,
        typer.Option(
            help="Leave out test images that cannot be read, instead of refusing the data. As in training if "
            "not given."
        ),
    ] = None,
    examples: Annotated[
        int,
        typer.Option(
            help="Show this many examples, those whose label is most likely wrong.", min=1
        ),
    ] = 200,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite the file of --output if it exists.")
    ] = False,
) -> None:
    """Write a report of a run as one HTML page.

    Shows how good the model is, overall and for each class, which labels look wrong, and what to do next.
    """
    from gdw.cli.errors import notes_of_warnings
    from gdw.report import write_report
    from gdw.runs.outputs import NotKeptWarning
    from gdw.runs.skipped_images import SkippedImagesWarning

    notes = notes_of_warnings
    with notes(NotKeptWarning), notes(FutureWarning), notes(SkippedImagesWarning):
        page = write_report(
            run,
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
