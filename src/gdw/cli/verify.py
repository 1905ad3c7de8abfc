"""`gdw verify`: a page on which a person says what the right labels are."""

from __future__ import annotations

import getpass
import shlex
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gdw.cli.app import MovedData, note, say, waiting_on_terminal
from gdw.cli.verify_files import export_rows, import_answers, merge_answers
from gdw.cli.verify_page import serve
from gdw.errors import ConfigError

if TYPE_CHECKING:
    from gdw.data.verification import Verification
    from gdw.verify import Desk, Settings

NEEDS_ARGUMENTS = True
EXAMPLES = (
    ("verify the rows that gdw suggest has chosen, in the browser", "gdw verify verify.jsonl"),
    ("decide on the labels that an audit doubts", "gdw verify runs/animals --issues"),
    ("give the rows to Label Studio", "gdw verify verify.jsonl --export tasks.json"),
    (
        "settle the rows on which two annotators differ",
        "gdw verify verify.jsonl --annotator ann --conflicts",
    ),
)


def verify(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="The verification file, made by gdw suggest; with --issues the folder of a run, with "
            "--merge files of answers.",
            metavar="FILE",
        ),
    ],
    annotator: Annotated[
        str | None,
        typer.Option(
            help="Who answers. If not given, the name that you are logged in with; with --import, the one "
            "who has answered before.",
            metavar="NAME",
        ),
    ] = None,
    show_given: Annotated[
        bool,
        typer.Option(
            "--show-given",
            help="Show the label that each row has in the data. By default it is hidden, so that it does not "
            "sway the answers.",
        ),
    ] = False,
    blind_share: Annotated[
        float,
        typer.Option(
            help="Hide the label of the data in this share of the rows, from 0 to 1, drawn at random.",
            min=0,
            max=1,
            metavar="NUMBER",
        ),
    ] = 1.0,
    issues: Annotated[
        bool,
        typer.Option(
            "--issues",
            help="Go through the label issues that gdw audit found in the run FILE: is the label of the data "
            "right, the suggested one, or another? gdw audit FILE --apply then takes your decisions.",
        ),
    ] = False,
    conflicts: Annotated[
        bool,
        typer.Option(
            "--conflicts",
            help="Show the rows on which annotators differ, with their answers, and settle them.",
        ),
    ] = False,
    rows: Annotated[
        str | None,
        typer.Option(
            help="Show only these rows of the data, from 0, to answer them again. If not given, all rows of "
            "FILE.",
            metavar="N,...",
        ),
    ] = None,
    answers: Annotated[
        Path | None,
        typer.Option(
            help="The file of answers. If not given, FILE.answers.jsonl beside FILE. Two who work at the "
            "same time need one each.",
            metavar="PATH",
        ),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(
            help="Write the rows and the answers so far for another tool: .json for Label Studio, "
            ".argilla.json for Argilla, .csv for a spreadsheet, a folder for FiftyOne. If not given, the "
            "page is shown.",
            metavar="PATH",
        ),
    ] = None,
    import_: Annotated[
        Path | None,
        typer.Option(
            "--import",
            help="Take the answers from such a file of another tool, or the answered rows of another "
            "verification file, such as RUN/verification.jsonl. If not given, the page is shown.",
            metavar="PATH",
        ),
    ] = None,
    merge: Annotated[
        Path | None,
        typer.Option(
            help="Write the answers of all FILEs, which are files of answers, into this one, and say how far "
            "they agree. It may be one of them. If not given, FILE is one verification file.",
            metavar="PATH",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="Overwrite the file of --export or --merge if it exists."),
    ] = False,
    data: MovedData = None,
    port: Annotated[
        int,
        typer.Option(
            help="The port of the page. If not given, any that is free.",
            min=0,
            max=65535,
            metavar="N",
        ),
    ] = 0,
    no_browser: Annotated[
        bool,
        typer.Option("--no-browser", help="Print the address, and open no browser."),
    ] = False,
) -> None:
    """Verify labels on a page in the browser, one row at a time.

    The page is on this machine alone. Every answer is saved at once; the same command goes on later.
    """
    _require_one_way(
        {"--export": export, "--import": import_, "--merge": merge, "--issues": issues or None}
    )
    if merge is not None:
        return merge_answers(files, merge, force=force)
    if len(files) > 1:
        raise ConfigError("expected one verification file; --merge takes several files of answers")
    if export is not None:
        return export_rows(files[0], export, data, show_given=show_given, force=force)
    if import_ is not None:
        return import_answers(files[0], import_, annotator, _login())
    from gdw.verify import Settings

    share = 0.0 if show_given else blind_share
    again = _numbers(rows) if rows is not None else ()
    settings = Settings(
        annotator or _login(), share, suggest=issues, conflicts=conflicts, rows=again
    )
    return _sit(files[0], settings, data, answers, port, browser=not no_browser)


def _numbers(rows: str) -> tuple[int, ...]:
    words = [word.strip() for word in rows.split(",")]
    if not all(word.isdecimal() for word in words):
        raise ConfigError(
            f"--rows: expected row numbers separated by commas, such as 3,17, found {rows!r}"
        )
    return tuple(map(int, words))


def _require_one_way(ways: Mapping[str, object]) -> None:
    chosen = [name for name, value in ways.items() if value is not None]
    if len(chosen) > 1:
        raise ConfigError(f"{' and '.join(chosen)} exclude each other: give one of them")


def _sit(
    place: Path,
    settings: Settings,
    data: str | None,
    answers: Path | None,
    port: int,
    *,
    browser: bool,
) -> None:
    """Show the page until the person ends it."""
    from gdw.verify import open_desk

    queue = _issues_of(place, data) if settings.suggest else place
    desk = open_desk(queue, settings, data=data, answers=answers)
    try:
        if desk.journal.torn:
            note(
                "the last line of the answers was cut off, as by a power cut; that answer is asked again"
            )
        serve(desk, port, lambda: _closing(desk, place, answers), browser=browser)
    finally:
        desk.close()
    for line in _closing(desk, place, answers):
        say(line)


def _issues_of(run: Path, data: str | None) -> Path:
    """The verification file of the label issues of a run."""
    from gdw.runs.auditing import audit
    from gdw.runs.decisions import issues_to_verify
    from gdw.suggestion.from_run import similar_rows

    with waiting_on_terminal("looking for similar rows"):
        found = audit(run, data=data)
        return issues_to_verify(found, partial(similar_rows, found.run))


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "annotator"


def _closing(desk: Desk, place: Path, answers: Path | None) -> Iterator[str]:
    """What is saved, and the next commands to type."""
    from gdw.data.verification import answers_of
    from gdw.verify.closing import closing, training_command

    issues = desk.settings.suggest
    more = [
        *(["--issues"] if issues else []),
        *(["--rows", ",".join(map(str, desk.open_rows))] if desk.settings.rows else []),
        *([] if answers is None else ["--answers", str(answers)]),
    ]
    yield from closing(desk, again=shlex.join(["gdw", "verify", str(place), *more]))
    verification = desk.verification()
    if not len(verification.index):
        return
    if answers is not None:
        merged = answers_of(desk.queue.path)
        both = (merged, answers) if merged.exists() else (answers,)
        words = ["gdw", "verify", *map(str, both), "--merge", str(merged)]
        yield f"to train with them, join them with those of others: {shlex.join(words)}"
    elif issues:
        words = ["gdw", "audit", str(place), "--apply", "RELABEL", "--issues", str(desk.queue.path)]
        yield f"next, a copy of the data with your decisions: {shlex.join(words)} --output FILE"
        yield from _training_with_decisions(place, verification)
    else:
        yield f"next: {training_command(verification)}"


def _training_with_decisions(run: Path, verification: Verification) -> Iterator[str]:
    """How the rows decided on count as verified in the next training, if the run had no other clean set."""
    from gdw.data.verification import is_queue
    from gdw.runs.run import Run
    from gdw.verify.closing import training_command

    config = Run(run).data_config
    if config.meta is not None and is_queue(config.meta):
        words = ["gdw", "verify", config.meta, "--import", str(verification.queue.path)]
        yield f"to train with them as verified rows too: {shlex.join(words)}"
    elif config.meta is None and config.trusted is None and config.meta_size is None:
        yield f"to train with them as verified rows: {training_command(verification)}"
