"""`gdw bench`: what a step costs beside plain SGD and beside other packages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

EPILOG = "Example: gdw bench --suite mlp --json figures.json"


def bench(
    suite: Annotated[
        str,
        typer.Option(
            help="standard, quick, compiled, loading, mlp, resnet32, wrn-16-2 or transformer."
        ),
    ] = "quick",
    repeats: Annotated[int, typer.Option(help="Repeats, all contestants in turn.", min=1)] = 7,
    json_: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write them as a page here.")] = None,
    from_: Annotated[
        Path | None, typer.Option("--from", help="Measure nothing: show the figures of this file.")
    ] = None,
) -> None:
    """Time whole steps of every method as ratios to plain SGD in one run, with peak memory."""
    from gdw.bench.results import document, read, run
    from gdw.bench.workloads import suite as workloads_of

    if from_ is not None:
        results = read(from_)
    else:
        workloads = workloads_of(suite)
        results = run(
            workloads,
            repeats=repeats,
            say=lambda text: typer.echo(text, err=True),
            with_loading=suite in ("standard", "loading"),
        )
    if json_ is not None:
        json_.write_text(json.dumps(results, indent=1), encoding="utf-8")
    page = document(results)
    if markdown is not None:
        markdown.write_text(page, encoding="utf-8")
    typer.echo(page)
