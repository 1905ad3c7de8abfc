"""`gdw bench`: how long a training step takes, compared with plain SGD and with other packages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gdw.cli.app import say

EPILOG = "Example: gdw bench --suite mlp --json figures.json"


def bench(
    suite: Annotated[
        str,
        typer.Option(
            help="standard, quick, compiled, loading, or one model: mlp, resnet32, wrn-16-2, transformer."
        ),
    ] = "quick",
    repeats: Annotated[int, typer.Option(help="How often each step is measured.", min=1)] = 7,
    table_rows: Annotated[
        int, typer.Option(help="Rows of the files that the suite loading reads.", min=20)
    ] = 100_000,
    table_columns: Annotated[int, typer.Option(help="Columns of these files.", min=5)] = 20,
    json_: Annotated[
        Path | None, typer.Option("--json", help="Write the results to this JSON file.")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the results to this Markdown file.")
    ] = None,
    from_: Annotated[
        Path | None,
        typer.Option("--from", help="Measure nothing; print the results in this JSON file."),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Overwrite the files of --json and --markdown if they exist."),
    ] = False,
) -> None:
    """Measure the time and memory of a training step of each method, compared with plain SGD."""
    from gdw.bench.benchmark import DOCUMENT, document, read, run
    from gdw.bench.workloads import suite as workloads_of
    from gdw.files.documents import write_text_atomically
    from gdw.files.outputs import output_file

    with (
        output_file(json_, reads=[from_], force=force),
        output_file(markdown, reads=[from_], force=force),
    ):
        if from_ is not None:
            results = read(from_)
        else:
            results = run(
                workloads_of(suite),
                repeats=repeats,
                log=lambda text: say(text, err=True),
                with_loading=suite in ("standard", "loading"),
                table=(table_rows, table_columns),
            )
        page = document(results)
        if json_ is not None:
            DOCUMENT.write(json_, results)
        if markdown is not None:
            write_text_atomically(markdown, page)
    say(page)
