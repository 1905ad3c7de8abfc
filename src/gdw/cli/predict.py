"""`gdw predict`: labels and probabilities for new data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gdw.cli.app import Limit, RunFolder, SkipBroken, listed_names, note, say
from gdw.errors import counted

NEEDS_ARGUMENTS = True
EXAMPLES = (
    (
        "labels and probabilities for new rows",
        "gdw predict runs/animals new.csv --output predictions.csv",
    ),
    ("for a folder of images", "gdw predict runs/photos new_photos --output predictions.parquet"),
)


def predict(
    run: RunFolder,
    data: Annotated[
        str,
        typer.Argument(
            help="A file or folder in the same form as the training data. Labels are not needed.",
            metavar="DATA",
        ),
    ],
    output: Annotated[
        Path, typer.Option(help="The file to write: .csv, .parquet or .jsonl.", metavar="FILE")
    ],
    keep: Annotated[
        list[str] | None,
        typer.Option(
            help="Your columns to repeat beside the predictions, separated by commas; the option can be "
            "repeated. all or none of them too. If not given, those named like a key or a row number.",
            metavar="COLUMN,...",
        ),
    ] = None,
    limit: Limit = None,
    skip_broken: SkipBroken = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite the file of --output if it exists.")
    ] = False,
) -> None:
    """Predict the labels of new data.

    Writes one row for each row of DATA, in its order: the number of the row (from 0), your key columns, the
    predicted label, its probability, and the probability of each class.
    """
    from gdw.runs import load
    from gdw.runs.kept_features import require_backbone
    from gdw.runs.outputs import output_of_run
    from gdw.runs.predicting import SUFFIXES, kept, predictions, write_predictions

    opened = load(run)
    require_backbone(opened)
    with output_of_run(opened, output, suffixes=SUFFIXES, reads=[data], force=force):
        source = opened.read(data, label=None, limit=limit, skip_broken=skip_broken)
        own = kept(opened, source, None if keep is None else listed_names(keep))
        # Not before the data are read: it needs PyTorch.
        from gdw.data.encode.encoder import unknown_notes

        for text in (*source.notes, *own.notes, *unknown_notes(opened.encoder, source)):
            note(text)
        frame = predictions(opened, source)
        write_predictions(frame, output, label_type=opened.schema.label_type, own=own)
    none = len(source.skipped)
    rows = counted(none, "more row has", "more rows have")
    without = f"; {rows} none, because the image cannot be read" if none else ""
    say(f"{len(source):,} predictions written: {output}{without}")
