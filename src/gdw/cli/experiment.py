"""`gdw experiment`: run the grid of a protocol file, and write its results."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gdw.cli.app import say
from gdw.cli.tables import print_matrix, say_wrapped

if TYPE_CHECKING:
    from gdw.experiments.grid import Grid
    from gdw.experiments.results import Results
    from gdw.experiments.tables import Table


EXAMPLES = (
    ("which protocols gdw brings along, and how long they take", "gdw experiment --list"),
    (
        "run one of them; the same command goes on after an interruption",
        "gdw experiment smoke --output grids/smoke",
    ),
    (
        "a protocol of your own: first what it would run, then a part of it",
        "gdw experiment mine.yaml --output mine --dry-run",
    ),
    (
        "only two of its methods, and one seed",
        "gdw experiment mine.yaml --output mine --only 'method=gdw*' --only seed=0",
    ),
)


def experiment(
    protocol: Annotated[
        str | None,
        typer.Argument(
            help="A YAML file, or the name of a shipped protocol. Required, unless --list or --results is "
            "given.",
            metavar="PROTOCOL",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="The folder of the grid; an existing grid is continued. Required with PROTOCOL.",
            metavar="FOLDER",
        ),
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(
            help="The folder of your data sets, which is ${data} in the protocol. If not given, a protocol "
            "that needs it is refused.",
            metavar="FOLDER",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            help="The number of runs at a time. If not given, one for each core, or 1 with a GPU.",
            min=1,
            metavar="N",
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="Only runs that match, such as 'method=gdw*'. The axes are data, noise, imbalance, method "
            "and seed. The option can be repeated: a run must match one condition of each axis. If not "
            "given, all runs.",
            metavar="AXIS=GLOB",
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            help="Stop after so many minutes: the runs that are not done write a checkpoint, and the same "
            "command goes on with them. If not given, until all runs are done.",
            min=0.1,
            metavar="N",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the runs and which are done; run nothing.")
    ] = False,
    list_: Annotated[bool, typer.Option("--list", help="Show the shipped protocols.")] = False,
    results: Annotated[
        list[Path] | None,
        typer.Option(
            help="Run nothing; write the results of the grid in this folder again. The option can be "
            "repeated. If not given, the grid of PROTOCOL is run.",
            metavar="FOLDER",
        ),
    ] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(
            help="With --results: write one page with all results to this file, its pictures in a folder "
            "next to it. If not given, only the results of each grid are written.",
            metavar="FILE",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Overwrite the file of --markdown if it exists.")
    ] = False,
) -> None:
    """Run a grid of data, noise, imbalance, methods and seeds, and compare the results.

    The same command continues where it was interrupted.
    """
    from gdw.errors import ConfigError

    if list_:
        _list()
    elif results:
        _results(results, markdown, force=force)
    elif protocol is None:
        raise ConfigError("name a protocol: a YAML file, or a shipped one (gdw experiment --list)")
    elif output is None:
        raise ConfigError("name the folder of the grid: --output DIR")
    else:
        grid = _grid(protocol, output, data_root, only)
        if dry_run:
            _show(grid)
        else:
            again = _command(protocol, output, data_root, jobs, only or (), minutes)
            _run(grid, jobs, minutes, again)


def _command(
    protocol: str,
    output: Path,
    data_root: Path | None,
    jobs: int | None,
    only: Sequence[str],
    minutes: float | None,
) -> str:
    """The command that was given, to type it again."""
    words = ["gdw", "experiment", protocol, "--output", str(output)]
    words += [] if data_root is None else ["--data-root", str(data_root)]
    words += [] if jobs is None else ["--jobs", str(jobs)]
    words += [] if minutes is None else ["--minutes", f"{minutes:g}"]
    return shlex.join([*words, *(word for part in only for word in ("--only", part))])


def _list() -> None:
    from gdw.experiments.cells import expand
    from gdw.experiments.protocol_files import read_protocol, shipped_protocols

    for name, path in shipped_protocols().items():
        protocol = read_protocol(path)
        say_wrapped(f"{name}: {protocol.about}", indent=2)
        runs = len(expand(protocol))
        say_wrapped(f"  {runs} runs. Time: {protocol.hours or 'unknown.'}", indent=2)
        if protocol.needs:
            say_wrapped(f"  Needs: {protocol.needs}", indent=2)
    say_wrapped(
        "Run a part of a protocol with --only, for example: --only method=gdw --only seed=0"
    )


def _grid(name: str, output: Path, data_root: Path | None, only: list[str] | None) -> Grid:
    from gdw.experiments.grid import Grid
    from gdw.experiments.protocol import ProtocolPaths
    from gdw.experiments.protocol_files import find_protocol, read_protocol

    path = find_protocol(name)
    root = None if data_root is None else data_root.resolve()
    paths = ProtocolPaths(path.parent.resolve(), root)
    return Grid(read_protocol(path), output, paths=paths, only=only or ())


def _show(grid: Grid) -> None:
    states = {cell: grid.folder.state(cell) for cell in grid.cells}
    for cell, state in states.items():
        say(f"{state:8}{cell}")
    counts = Counter(states.values())
    say(f"{len(states)} runs: " + ", ".join(f"{n} {state}" for state, n in counts.items()))
    if grid.protocol.hours:
        say(f"Time of the whole protocol {grid.protocol.name}: {grid.protocol.hours}")


def _run(grid: Grid, jobs: int | None, minutes: float | None, command: str) -> None:
    from gdw.cli.watching import watched
    from gdw.experiments.grid import choose_jobs
    from gdw.experiments.results import Results

    pending = grid.pending
    number = jobs or choose_jobs([grid.cells[cell].config for cell in pending])
    number = max(1, min(number, len(pending)))
    done = len(grid.cells) - len(pending)
    say(
        f"{grid.protocol.name}: {len(grid.cells)} runs, {done} done, {number} at a time, in "
        f"{grid.folder.path}"
    )
    try:
        failed = grid.run(jobs=number, log=say, watched=watched, minutes=minutes)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped; what is done is kept. Go on with: {command}") from None
    _conclude(Results(grid.folder))
    left = Counter(grid.folder.state(cell) for cell in grid.cells)
    if minutes is not None and left["started"] + left["waiting"]:
        say(
            f"{minutes:.3g} minutes are over: {left['started']} runs stopped with a checkpoint, "
            f"{left['waiting']} have not begun. Go on with: {command}"
        )
    if failed:
        say(f"{failed} runs failed, see results.md; the same command tries them again", err=True)
        raise typer.Exit(1)


def _results(folders: list[Path], markdown: Path | None, *, force: bool) -> None:
    from gdw.experiments.grid_folder import GridFolder
    from gdw.experiments.publish import write_document
    from gdw.experiments.results import Results
    from gdw.files.outputs import output_file

    with output_file(markdown, reads=folders, force=force):
        all_results = [Results(GridFolder(folder)) for folder in folders]
        for results in all_results:
            _conclude(results)
        if markdown is not None:
            write_document(all_results, markdown)
            say(f"page: {markdown}")


def _conclude(results: Results) -> None:
    from gdw.experiments.publish import publish
    from gdw.experiments.result_tables import group_tables

    paths = publish(results)
    for group in results.groups():
        for table in group_tables(results, group)[:1]:
            _print(table)
    unknown = results.folder.unknown_cells(results.cells)
    if unknown:
        say(f"{len(unknown)} folders in cells/ belong to no run of the protocol: {unknown[0]}, ...")
    for path in paths:
        say(f"results: {path}")


def _print(table: Table) -> None:
    best = {(i, j) for i, row in enumerate(table.rows) for j, entry in enumerate(row) if entry.best}
    rows = [[entry.text for entry in row] for row in table.rows]
    print_matrix(table.header, rows, of_columns="setting", title=table.title, best=best)
    if table.note:
        say_wrapped(table.note)
