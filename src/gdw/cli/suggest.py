"""`gdw suggest`: which rows a person should verify first."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gdw.cli.app import note, say
from gdw.cli.record_flags import add_record_flags, value_of_flag
from gdw.cli.suggest_certificate import PURPOSES, TRAINING, certifying, is_for_certificate
from gdw.cli.suggest_look import look_at, look_at_run
from gdw.errors import counted
from gdw.runs.config import DataConfig
from gdw.runs.model_config import ModelConfig

if TYPE_CHECKING:
    from gdw.data.verification import Queue, Verification
    from gdw.suggestion.strategies import Strategy
    from gdw.suggestion.suggesting import Suggestion

NEEDS_ARGUMENTS = True
EXAMPLES = (
    (
        "200 rows to verify; gdw verify verify.jsonl then shows them",
        "gdw suggest data.csv --label animal --output verify.jsonl",
    ),
    (
        "100 rows more, for the same file",
        "gdw suggest data.csv --label animal -n 100 --output verify.jsonl",
    ),
    ("by what a run has learned", "gdw suggest --run runs/animals --output verify.jsonl"),
    (
        "rows by which gdw audit says how many labels are wrong, with a guarantee",
        "gdw suggest --run runs/animals --for certificate -n 100 --output random.jsonl",
    ),
)

SECONDS = 3
"""How long an answer takes, about."""

_CHOICE = "Which rows"
_FIELDS = (
    "path", "label", "label_as_classes", "merge_labels", "image", "text", "features", "drop", "limit",
    "delimiter", "header", "quoting", "encoding", "image_size", "skip_broken", "max_words", "meta",
    "meta_label", "trusted", "backbone",
)  # fmt: skip
_TEXTS = {
    "path": "The data, in which some labels may be wrong: a folder that has one folder of images for each "
    "class, or a file. With --run it need not be given.",
    "meta": "Verified examples that you have: a file or folder in the same form as the data. They are "
    "counted: classes that have few of them get more rows. If not given, none.",
    "trusted": "The column of the data that is true in the rows whose labels you have verified. They are "
    "counted, and not suggested. If not given, none.",
}


@add_record_flags(
    (DataConfig, ModelConfig),
    first=("output", "n", "label", "strategy", "verified", "run", "purpose"),
    panels=(_CHOICE, "Your data", "Verified examples", "Model"),
    names={"path": "DATA"},
    only=_FIELDS,
    texts=_TEXTS,
)
def suggest(
    ctx: typer.Context,
    output: Annotated[
        Path,
        typer.Option(
            help="The verification file to write, .jsonl. If it exists, the rows are added to it.",
            metavar="FILE",
            rich_help_panel=_CHOICE,
        ),
    ],
    n: Annotated[
        int,
        typer.Option(
            "-n", help="Suggest this many rows.", min=1, metavar="N", rich_help_panel=_CHOICE
        ),
    ] = 200,
    strategy: Annotated[
        str,
        typer.Option(
            help="random: all rows are equally likely. balanced: equally many of each likely class, at "
            "random. doubtful: the labels in most doubt. mixed: half of them balanced, half doubtful.",
            metavar="mixed|balanced|doubtful|random",
            autocompletion=lambda: ("mixed", "balanced", "doubtful", "random"),
            rich_help_panel=_CHOICE,
        ),
    ] = "mixed",
    verified: Annotated[
        list[Path] | None,
        typer.Option(
            help="A verification file of the same data; it can be repeated. Its verified rows are counted, "
            "and not suggested again. If not given, those of --output.",
            metavar="FILE",
            rich_help_panel=_CHOICE,
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            help="Choose by what this run has learned, of its training data. If not given, quick models are "
            "trained.",
            metavar="RUN",
            rich_help_panel=_CHOICE,
        ),
    ] = None,
    purpose: Annotated[
        str,
        typer.Option(
            "--for",
            help="What the rows are for. training: to learn from them. certificate: to say how many labels "
            "are wrong, with gdw audit RUN --verified FILE; all rows can be drawn, those in doubt are "
            "likelier.",
            metavar="training|certificate",
            autocompletion=lambda: PURPOSES,
            rich_help_panel=_CHOICE,
        ),
    ] = TRAINING,
    seed: Annotated[
        int, typer.Option(help="Of the draw.", min=0, metavar="N", rich_help_panel=_CHOICE)
    ] = 0,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Start the file of --output anew if it exists. Answers beside it stay.",
            rich_help_panel=_CHOICE,
        ),
    ] = False,
    **options: Any,
) -> None:
    """Suggest which rows of DATA to verify first: of all classes, and those whose labels are in doubt.

    Writes a verification file for gdw verify. DATA are not changed.
    """
    from gdw.files.outputs import output_file
    from gdw.suggestion.strategies import strategy_named
    from gdw.suggestion.suggesting import earlier_file

    written = {name for name in ctx.params if _passed(ctx, name)}
    certifies = is_for_certificate(purpose, written)
    passed = {name: value_of_flag(name, options[name]) for name in options if _passed(ctx, name)}
    wanted = strategy_named(strategy)
    files = [path for path in verified or () if path.resolve() != output.resolve()]
    reads = [*files, *(passed.get(name) for name in ("path", "meta"))]
    earlier = None if force else earlier_file(output)
    overwrites = force or earlier is not None
    with output_file(output, suffixes=(".jsonl",), reads=reads, force=overwrites):
        if certifies:
            rows, queue, said = certifying(passed, run, _FIELDS, n, seed, output, earlier)
            lines = _words(rows, queue, n, earlier, certificate=said)
        else:
            lines = _learning(passed, run, n, wanted, seed, output, earlier, files)
    for line in lines:
        say(line)


def _learning(
    passed: dict[str, Any],
    run: Path | None,
    n: int,
    strategy: Strategy,
    seed: int,
    output: Path,
    earlier: Verification | None,
    files: list[Path],
) -> Iterator[str]:
    """Choose rows to learn from, write them, and return what to say."""
    from gdw.suggestion.suggesting import suggestion

    if run is None:
        looked, known, config = look_at(passed, files, earlier, seed)
    else:
        looked, known, config = look_at_run(run, passed, files, earlier)
    found = suggestion(looked, known, n, strategy, seed=seed)
    return _words(found, found.write(output, config, earlier), n, earlier)


def _passed(ctx: typer.Context, name: str) -> bool:
    """Whether the user wrote the option."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _words(
    found: Suggestion,
    queue: Queue,
    wanted: int,
    earlier: Verification | None,
    *,
    certificate: list[str] | None = None,
) -> Iterator[str]:
    from gdw.suggestion.words import classes_line, data_line, shortages, worth

    yield data_line(found)
    yield found.looked.learning_from
    *prospect, then = certificate or [""]
    yield from prospect
    if certificate is None and (line := worth(found)):
        yield line
    more = "" if earlier is None else f" more, {len(queue):,} in all"
    yield f"{counted(len(found.choice), 'row')}{more}: {queue.path} (strategy {found.strategy})"
    if certificate is None:
        yield classes_line(found)
    for line in shortages(found, wanted, classes=certificate is None):
        note(line)
    minutes = max(1, round(len(found.choice) * SECONDS / 60))
    yield (
        f"next: gdw verify {shlex.quote(str(queue.path))} (about {counted(minutes, 'minute')}, "
        f"{SECONDS} s each)"
    )
    if then:
        yield then
