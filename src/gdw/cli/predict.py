"""`gdw predict`: labels and probabilities for new data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gdw.cli.app import say

NEEDS_ARGUMENTS = True
EPILOG = "Example: gdw predict runs/animals new.csv --output predictions.csv"


def predict(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    data: Annotated[
        str,
        typer.Argument(help="Data in the same form as the training data. Labels are not needed."),
    ],
    output: Annotated[Path, typer.Option(help="The file to write: .csv, .parquet or .jsonl.")],
    limit: Annotated[
        int | None, typer.Option(help="Use only this many rows, drawn at random.")
    ] = None,
    skip_broken: Annotated[
        bool | None,
        typer.Option(
            help="Leave out images that cannot be read, instead of refusing the data. As in training if not "
            "given."
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite the file of --output if it exists.")
    ] = False,
) -> None:
    """Predict the labels of new data.

    Writes one row for each example: the predicted label and the probability of each class.
    """
    from gdw.cli.errors import note
    from gdw.runs import load
    from gdw.runs import predict as predict_source
    from gdw.runs.outputs import output_of_run
    from gdw.runs.predicting import SUFFIXES, write_predictions

    opened = load(run)
    with output_of_run(opened, output, suffixes=SUFFIXES, reads=[data], force=force):
        source = opened.read(data, label=None, limit=limit, skip_broken=skip_broken)
        for text in source.notes:
            note(text)
        frame = predict_source(opened, source)
        write_predictions(frame, output, label_type=opened.schema.label_type)
    say(f"{len(frame):,} predictions written: {output}")
