"""All commands in one place; each imports what it needs when it runs, so that help is instant."""

from __future__ import annotations

from typing import Annotated

import typer

from gdw._version import __version__
from gdw.cli.audit import audit
from gdw.cli.bench import bench
from gdw.cli.demo import demo
from gdw.cli.evaluate import evaluate
from gdw.cli.experiment import experiment
from gdw.cli.predict import predict
from gdw.cli.report import report
from gdw.cli.train import train

app = typer.Typer(
    name="gdw",
    help="Train classifiers on wrong labels and unbalanced classes, with a small clean set as guide.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"gdw {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Train classifiers on wrong labels and unbalanced classes, with a small clean set as guide."""
    del version


for command in (demo, train, evaluate, predict, audit, report, experiment, bench):
    app.command(no_args_is_help=command in (train, evaluate, predict, report, audit))(command)
