"""`gdw evaluate`: how good the model of a run is on labelled data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gdw.cli.app import Limit, RunFolder, SkipBroken, note, notes_of_warnings, say
from gdw.cli.tables import print_table

if TYPE_CHECKING:
    from gdw.runs.config import DataConfig

NEEDS_ARGUMENTS = True
EXAMPLES = (
    (
        "how good the model is on labelled data that it has not seen",
        "gdw evaluate runs/animals holdout.csv",
    ),
    (
        "the labels have another name there",
        "gdw evaluate runs/animals holdout.csv --label checked_label",
    ),
    (
        "the figures for another program",
        "gdw evaluate runs/animals holdout.csv --json figures.json",
    ),
)

_ROWS = 20


def evaluate(
    run: RunFolder,
    data: Annotated[
        str,
        typer.Argument(
            help="A file or folder of labelled data, in the same form as the training data.",
            metavar="DATA",
        ),
    ],
    label: Annotated[
        str | None,
        typer.Option(
            help="The label column of DATA. If not given, that of the test, training or verified data, "
            "whichever DATA has.",
            metavar="COLUMN",
        ),
    ] = None,
    limit: Limit = None,
    skip_broken: SkipBroken = None,
    json_: Annotated[
        str | None,
        typer.Option(
            "--json",
            help="Also write the results to this JSON file; - prints only them. If not given, a table is "
            "printed.",
            metavar="FILE",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite the file of --json if it exists.")
    ] = False,
) -> None:
    """Measure the model of a run on labelled data.

    Prints accuracy, balanced accuracy, log-likelihood, calibration error, and the recall of each class.

    Without --limit the results are also saved in the run folder (evaluation.json) for gdw report.
    """
    from gdw.files.documents import write_text_atomically
    from gdw.runs import evaluate as evaluate_source
    from gdw.runs import evaluate_file, load
    from gdw.runs.kept_features import require_backbone
    from gdw.runs.outputs import NotKeptWarning, output_of_run

    opened = load(run)
    require_backbone(opened)
    chosen = label or _label_column(opened.data_config, data)
    file = None if json_ == "-" else json_
    with output_of_run(opened, file, reads=[data], force=force):
        source = opened.read(data, label=chosen, limit=limit, skip_broken=skip_broken)
        # Not before the data are read: it needs PyTorch.
        from gdw.data.encode.encoder import unknown_notes

        for text in (*source.notes, *unknown_notes(opened.encoder, source)):
            note(text)
        if limit is None:
            with notes_of_warnings(NotKeptWarning):
                figures = evaluate_file(opened, data, source=source)
        else:
            figures = evaluate_source(opened, source)
        if json_ == "-":
            typer.echo(json.dumps(figures, ensure_ascii=False))
            return
        _show(figures, f"{run} on {data}")
        if file is not None:
            write_text_atomically(Path(file), json.dumps(figures, ensure_ascii=False, indent=1))
            say(f"written: {file}")


def _label_column(trained: DataConfig, data: str) -> str:
    from gdw.runs.prepare import held_out_label

    name = held_out_label(trained, data, option="--label")
    usual = trained.test_label or trained.label
    if name != usual:
        # Standard output is for the results alone with --json -.
        say(f"labels: column {name!r}, because {data} has no column {usual!r}", err=True)
    return name


def _show(figures: dict[str, Any], title: str) -> None:
    rows = [
        ("examples", f"{figures['examples']:,}"),
        ("accuracy", f"{figures['accuracy']:.2%}"),
        ("balanced accuracy", f"{figures['balanced_accuracy']:.2%}"),
        ("negative log-likelihood", f"{figures['nll']:.4f}"),
        ("calibration error (ECE, 15 bins)", f"{figures['ece']:.4f}"),
    ]
    print_table(("measure", "value"), rows, title=title)
    _show_recalls(figures)


def _show_recalls(figures: dict[str, Any]) -> None:
    found = zip(figures["recall"], figures["support"], figures["classes"], strict=True)
    lowest_first = sorted(each for each in found if each[1])
    rows = [
        (name, f"{support:,}", f"{recall:.2%}") for recall, support, name in lowest_first[:_ROWS]
    ]
    title = "recall of each class, lowest first"
    print_table(("class", "examples", "recall"), rows, title=title)
    if len(lowest_first) > _ROWS:
        say(f"({len(lowest_first) - _ROWS} more classes: --json FILE writes all of them)")
