"""`gdw demo`: a comparison of methods on data that scikit-learn brings along."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from gdw.cli.app import say
from gdw.cli.tables import print_table

EXAMPLES = (
    ("a minute or two", "gdw demo"),
    ("a third of it, into a folder of your choice", "gdw demo --seeds 1 --output runs/first"),
)

_DEFAULT = Path("runs", "demo")


def demo(
    output: Annotated[
        Path | None,
        typer.Option(
            help="The folder to create. If not given, runs/demo, or the next free name.",
            metavar="FOLDER",
        ),
    ] = None,
    seeds: Annotated[
        int, typer.Option(help="Repeat everything with this many random seeds.", min=1, metavar="N")
    ] = 3,
) -> None:
    """Compare the methods of gdw with plain training, on scans of digits with wrong labels.

    Takes a minute or two. Writes a report with the learning curves, and files to try the other commands on.
    """
    from gdw.demo.comparison import caption, compare, header, table
    from gdw.demo.contenders import CLEAN_PER_CLASS, IMBALANCE, NOISE
    from gdw.demo.demo_page import PICTURE, write_page
    from gdw.demo.example_files import COMMANDS, write_example

    folder = output or _next_free(_DEFAULT)
    say(
        f"digits with noise {NOISE} and imbalance {IMBALANCE}, {CLEAN_PER_CLASS} verified examples per class"
    )
    outcomes = compare(folder, seeds=range(seeds), log=say)
    print_table(header(seeds), table(outcomes), title=caption(seeds))
    page = write_page(folder, outcomes, seeds=range(seeds))
    say(f"learning curves: {folder / PICTURE}")
    say(f"open the report: {page}")
    write_example(folder / "example")
    say(
        f"scans to try gdw on, a fifth of them in the folder of a wrong class: {folder / 'example'}; next:"
    )
    for command in (*_activation(), f"cd {shlex.quote(str(folder / 'example'))}", *COMMANDS):
        say(f"  {command}")


def _activation() -> tuple[str, ...]:
    """The command after which the shell finds `gdw`, if it does not find it yet."""
    script = Path(sys.prefix, "bin", "activate")
    if shutil.which("gdw") is not None or not script.is_file():
        return ()
    here = Path.cwd()
    return (
        f". {shlex.quote(str(script.relative_to(here) if here in script.parents else script))}",
    )


def _next_free(folder: Path) -> Path:
    number, candidate = 2, folder
    while candidate.exists():
        candidate = folder.with_name(f"{folder.name}-{number}")
        number += 1
    return candidate
