"""`gdw demo`: the comparison on data that ships with a dependency."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EPILOG = "Example: gdw demo --seeds 1"

_DEFAULT = Path("runs", "demo")


def demo(
    output: Annotated[
        Path | None, typer.Option(help="Folder to make; default: runs/demo, or the next free name.")
    ] = None,
    seeds: Annotated[int, typer.Option(help="How many seeds, from 0.", min=1)] = 3,
) -> None:
    """Spoil real scans of digits, train plainly, by Meta-Weight-Net and by GDW, and compare."""
    from rich.console import Console
    from rich.table import Table

    from gdw.demo.compare import compare, table
    from gdw.demo.page import PICTURE, write_page
    from gdw.demo.setting import CLEAN_PER_CLASS, IMBALANCE, NOISE

    folder = output or _next_free(_DEFAULT)
    typer.echo(
        f"digits with noise {NOISE} and imbalance {IMBALANCE}, {CLEAN_PER_CLASS} clean examples a class"
    )
    outcomes = compare(folder, seeds=range(seeds), say=typer.echo)
    shown = Table(
        title=f"accuracy on true labels, %, mean of the last 5 epochs, {seeds} seed"
        + ("s, mean ± standard deviation" if seeds > 1 else ""),
        title_justify="left",
    )
    for name in ("method", "accuracy", "training, s"):
        shown.add_column(name, justify="left" if name == "method" else "right")
    for row in table(outcomes):
        shown.add_row(*row)
    Console().print(shown)
    page = write_page(folder, outcomes, seeds=range(seeds))
    typer.echo(f"learning curves: {folder / PICTURE}")
    typer.echo(f"open the report: {page}")


def _next_free(folder: Path) -> Path:
    number, candidate = 2, folder
    while candidate.exists():
        candidate = folder.with_name(f"{folder.name}-{number}")
        number += 1
    return candidate
