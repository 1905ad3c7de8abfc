"""`gdw predict`: labels and probabilities for new data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gdw.cli.app import listed_names, say

NEEDS_ARGUMENTS = True
EPILOG = "Example: gdw predict runs/animals new.csv --output predictions.csv"


def predict(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    data: Annotated[
        str,
        typer.Argument(help="Data in the same form as the training data. Labels are not needed."),
    ],
    output: Annotated[Path, typer.Option(help="The file to write: .csv, .parquet or .jsonl.")],
    keep: Annotated[
        list[str] | None,
        typer.Option(
            help="Your columns to repeat beside the predictions, separated by commas; the option can be "
            "repeated. all or none of them too. Those named like a key or a row number if not given."
        ),
    ] = None,
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

    Writes one row for each row of DATA, in its order: the number of the row (from 0), your key columns, the
    predicted label, its probability, and the probability of each class.
    """
    from gdw.cli.errors import note
    from gdw.runs import load
    from gdw.runs.outputs import output_of_run
    from gdw.runs.predicting import SUFFIXES, kept, predictions, write_predictions

    opened = load(run)
    with output_of_run(opened, output, suffixes=SUFFIXES, reads=[data], force=force):
        source = opened.read(data, label=None, limit=limit, skip_broken=skip_broken)
        own = kept(opened, source, None if keep is None else listed_names(keep))
        for text in (*source.notes, *own.notes):
            note(text)
        frame = predictions(opened, source)
        write_predictions(frame, output, label_type=opened.schema.label_type, own=own)
    say(f"{len(frame):,} predictions written: {output}")
