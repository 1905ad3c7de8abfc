"""`gdw experiment`: a grid of runs from a protocol file, and its results."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from gdw.experiments.grid import Grid
    from gdw.experiments.results import Results


EPILOG = "Example: gdw experiment small --output grids/small --only method=robust"


def experiment(
    protocol: Annotated[
        str | None, typer.Argument(help="A YAML file, or the name of a shipped protocol.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder of the grid; one that exists is continued.")
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="What ${data} stands for in the protocol's paths.")
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(help="Cells at a time; default: one a core, one in all with a GPU.", min=1),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Cells with AXIS=GLOB: data, noise, imbalance, method, seed; twice for one: either."
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the cells and what is done; run nothing.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="Show the shipped protocols.")] = False,
    results: Annotated[
        list[Path] | None,
        typer.Option(help="Run nothing: write the results of this folder anew. Repeatable."),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(
            help="With --results: one page of all of them here, its pictures in a folder beside it."
        ),
    ] = None,
) -> None:
    """Run methods × noise × imbalance × seeds; the same command goes on where it was interrupted."""
    from gdw.errors import ConfigError

    if list_:
        _list()
    elif results:
        _results(results, markdown)
    elif protocol is None:
        raise ConfigError("name a protocol: a YAML file, or a shipped one (gdw experiment --list)")
    elif output is None:
        raise ConfigError("name the folder of the grid: --output DIR")
    else:
        grid = _grid(protocol, output, data_root, only)
        if dry_run:
            _show(grid)
        else:
            _run(grid, jobs)


def _list() -> None:
    from gdw.experiments.cells import expand
    from gdw.experiments.shipped import read_protocol, shipped_protocols

    for name, path in shipped_protocols().items():
        found = read_protocol(path)
        typer.echo(f"{name}: {found.about}")
        typer.echo(f"  {len(expand(found))} cells; expect {found.hours or 'an unknown time'}")
        if found.needs:
            typer.echo(f"  needs {found.needs}")


def _grid(name: str, output: Path, data_root: Path | None, only: list[str] | None) -> Grid:
    from gdw.experiments.grid import Grid
    from gdw.experiments.settings import Places
    from gdw.experiments.shipped import find_protocol, read_protocol

    path = find_protocol(name)
    root = None if data_root is None else data_root.resolve()
    places = Places(path.parent.resolve(), root)
    return Grid(read_protocol(path), output, places=places, only=only or ())


def _show(grid: Grid) -> None:
    states = {cell: grid.folder.state(cell) for cell in grid.cells}
    for cell, state in states.items():
        typer.echo(f"{state:8}{cell}")
    counted = Counter(states.values())
    typer.echo(f"{len(states)} cells: " + ", ".join(f"{n} {state}" for state, n in counted.items()))
    if grid.protocol.hours:
        typer.echo(f"all of {grid.protocol.name}: {grid.protocol.hours}")


def _run(grid: Grid, jobs: int | None) -> None:
    from gdw.experiments.grid import choose_jobs
    from gdw.experiments.results import Results

    pending = grid.pending
    number = jobs or choose_jobs([grid.cells[cell].config for cell in pending])
    number = max(1, min(number, len(pending)))
    done = len(grid.cells) - len(pending)
    typer.echo(
        f"{grid.protocol.name}: {len(grid.cells)} cells, {done} done, {number} at a time, in "
        f"{grid.folder.path}"
    )
    try:
        failed = grid.run(jobs=number, say=typer.echo)
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on from here")
        raise
    found = Results(grid.folder)
    _conclude(found)
    if failed:
        typer.echo(
            f"{failed} cells failed, see results.md; the same command tries them again", err=True
        )
        raise typer.Exit(1)


def _results(folders: list[Path], markdown: Path | None) -> None:
    from gdw.experiments.folder import GridFolder
    from gdw.experiments.page import write_document
    from gdw.experiments.results import Results

    found = [Results(GridFolder(folder)) for folder in folders]
    for each in found:
        _conclude(each)
    if markdown is not None:
        write_document(found, markdown)
        typer.echo(f"page: {markdown}")


def _conclude(results: Results) -> None:
    from rich.console import Console
    from rich.table import Table as Shown
    from rich.text import Text

    from gdw.experiments.publish import publish
    from gdw.experiments.tables import group_tables

    written = publish(results)
    for group in results.groups():
        for table in group_tables(results, group)[:1]:
            shown = Shown(title=table.title, title_justify="left")
            for number, name in enumerate(table.header):
                shown.add_column(Text(name), justify="right" if number else "left")
            for row in table.rows:
                shown.add_row(*(Text(e.text, "bold" if e.best else "") for e in row))
            Console().print(shown)
    strangers = results.folder.strangers(results.cells)
    if strangers:
        typer.echo(
            f"{len(strangers)} folders in cells/ are of no cell of the protocol: {strangers[0]}, ..."
        )
    typer.echo("results: " + ", ".join(str(path) for path in written))
