"""`gdw bench`: how long a training step takes, compared with plain SGD and with other packages."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gdw.cli.app import say
from gdw.cli.tables import print_table, say_wrapped

EXAMPLES = (
    ("the quick suite, on this machine", "gdw bench"),
    ("one model, and its figures in a file", "gdw bench --suite mlp --json figures.json"),
    ("how many operations a step calls, as on a GPU", "gdw bench --suite operations"),
    ("how fast files are read", "gdw bench --suite loading --table-rows 1000000"),
)


def bench(
    suite: Annotated[
        str,
        typer.Option(
            help="What to measure: standard, quick, compiled, loading, threads, operations, or one model: "
            "mlp, resnet32, wrn-16-2, transformer or causal-lm.",
            metavar="NAME",
        ),
    ] = "quick",
    repeats: Annotated[
        int, typer.Option(help="How many times each step is measured.", min=1, metavar="N")
    ] = 7,
    table_rows: Annotated[
        int,
        typer.Option(
            help="The rows of the files that the suite loading reads, at least 20.",
            min=20,
            metavar="N",
        ),
    ] = 100_000,
    table_columns: Annotated[
        int, typer.Option(help="The columns of these files, at least 5.", min=5, metavar="N")
    ] = 20,
    json_: Annotated[
        Path | None,
        typer.Option(
            "--json",
            help="Also write the results to this JSON file. If not given, they are only printed.",
            metavar="FILE",
        ),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(
            help="Also write them to this Markdown file. If not given, they are only printed.",
            metavar="FILE",
        ),
    ] = None,
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Measure nothing; print the results in this JSON file. If not given, measure.",
            metavar="FILE",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Overwrite the files of --json and --markdown if they exist."),
    ] = False,
) -> None:
    """Measure the time and memory of a training step of each method, compared with plain SGD."""
    from gdw.bench.results import DOCUMENT, document, read, require_suite
    from gdw.files.documents import write_text_atomically
    from gdw.files.outputs import output_file

    require_suite(suite)
    with (
        output_file(json_, reads=[from_], force=force),
        output_file(markdown, reads=[from_], force=force),
    ):
        if from_ is not None:
            results = read(from_)
        else:
            results = _measured(suite, repeats, (table_rows, table_columns))
        if json_ is not None:
            DOCUMENT.write(json_, results)
        if markdown is not None:
            write_text_atomically(markdown, document(results))
    _show(results)


def _measured(suite: str, repeats: int, table: tuple[int, int]) -> dict[str, Any]:
    from gdw.bench.benchmark import run
    from gdw.bench.workloads import suite as workloads_of

    return run(
        workloads_of(suite),
        repeats=repeats,
        log=lambda text: say(text, err=True),
        with_loading=suite in ("standard", "loading"),
        with_threads=suite == "threads",
        with_operations=suite in ("standard", "operations"),
        table=table,
    )


def _show(results: Mapping[str, Any]) -> None:
    from gdw.bench.results import machine_of, tables

    if results["results"]:
        say_wrapped(
            "ratio to plain: the time of a step divided by that of a plain SGD step, median of "
            f"{results['repeats']} repeats (quartiles); ms: milliseconds per step; memory: the most bytes of "
            "tensors during a step, divided by those of plain SGD"
        )
    for table in tables(results):
        say("")
        print_table(table.header, table.rows, title=table.title)
        if table.note:
            say_wrapped(table.note)
    say_wrapped(f"machine: {machine_of(results)}")
