"""`gdw audit`: the training labels that are probably wrong, and a corrected copy of the data."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gdw.cli.app import MovedData, RunFolder, note, notes_of_warnings, say, waiting_on_terminal
from gdw.cli.audit_copy import Copy
from gdw.cli.tables import print_table, say_wrapped

if TYPE_CHECKING:
    import pandas as pd

    from gdw.audit.assessment import Assessment
    from gdw.audit.matrix import Cells
    from gdw.runs import Run, RunAudit
    from gdw.runs.decisions import Settled

NEEDS_ARGUMENTS = True
EXAMPLES = (
    ("the labels that are probably wrong, also in label_issues.csv", "gdw audit runs/animals"),
    ("a copy of the data without them", "gdw audit runs/animals --apply KEEP --output kept.csv"),
    (
        "a copy with the labels that you corrected in the list",
        "gdw audit runs/animals --issues edited.csv --apply RELABEL --output new.csv",
    ),
)

_CONFUSIONS = 10


def audit(
    run: RunFolder,
    top: Annotated[
        int, typer.Option(help="Print the N most suspicious labels.", min=0, metavar="N")
    ] = 20,
    threshold: Annotated[
        float,
        typer.Option(
            help="A label whose score is above this number, from 0 to 1, is a label issue.",
            min=0,
            max=1,
            metavar="NUMBER",
        ),
    ] = 0.5,
    data: MovedData = None,
    issues: Annotated[
        Path | None,
        typer.Option(
            help="Use this list of issues instead of computing one: an edited label_issues.csv, a list of "
            "cleanlab, or verification.jsonl in the run folder for the decisions of gdw verify alone. If not "
            "given, the list is computed, and --apply takes these decisions.",
            metavar="FILE",
        ),
    ] = None,
    apply: Annotated[
        str | None,
        typer.Option(
            help="Write a copy of the data: KEEP leaves the rows with label issues out, RELABEL gives them "
            "the suggested label. If not given, no copy is written.",
            metavar="KEEP|RELABEL",
            autocompletion=lambda: ("KEEP", "RELABEL"),
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="The file or folder that --apply writes, in the format of the data. Required with --apply.",
            metavar="PATH",
        ),
    ] = None,
    pred_probs: Annotated[
        Path | None,
        typer.Option(
            help="Also write the predicted probabilities for cleanlab to this .npy file: one row for each "
            "example, one column for each class. If not given, it is not written.",
            metavar="FILE",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Overwrite the files of --output and --pred-probs if they exist, and write a copy also if "
            "the audit does not support it or a class loses more than a third of its rows.",
        ),
    ] = False,
) -> None:
    """List the training labels that are probably wrong, and write a corrected copy of the data.

    Also near-duplicates, outliers, and blank or dark images. Writes label_issues.csv, duplicates.csv,
    noise_matrix.csv and audit.json into the run folder. The data are not changed.
    """
    from gdw.audit.cleaning import mode_named
    from gdw.audit.pred_probs import write_pred_probs
    from gdw.errors import ConfigError
    from gdw.runs.decisions import settled
    from gdw.runs.run import load

    if (apply is None) != (output is None):
        raise ConfigError("--apply and --output belong together, as in --apply KEEP --output FILE")
    mode = None if apply is None else mode_named(apply)
    opened = load(run)
    files = ((pred_probs, (".npy",)), (output, ()))
    with _outputs(opened, files, reads=[data, issues], force=force):
        began = time.perf_counter()
        run_audit, frame, cells = _judge(opened, data, issues, threshold, output)
        # Of the computed list, also for an edited one: few decisions do not make the labels better.
        computed = run_audit.issues(threshold=threshold, problems=False) if issues else frame
        assessment = run_audit.assessment(computed, cells)
        checked = issues is not None and not run_audit.is_unedited(issues)
        judged = time.perf_counter() - began
        decided = settled(opened, frame) if issues is None else None
        _show(run_audit, frame, cells, top, issues, decided)
        _show_assessment(run_audit, assessment, of_user=checked)
        if issues is None:
            _keep(run_audit, frame, cells, assessment, anyhow=output is None)
        if pred_probs is not None:
            write_pred_probs(run_audit.evidence, pred_probs)
            say(f"predicted probabilities for cleanlab: {pred_probs}")
        if mode is not None and output is not None:
            copy = Copy(mode, output, listed=issues, checked=checked, force=force)
            copy.write(run_audit, frame, assessment)
        elif issues is None:
            _say_what_is_next(run, frame, assessment, decided)
    rest = time.perf_counter() - began - judged
    say(f"time: finding label issues {judged:.1f} s, printing and writing copies {rest:.1f} s")


@contextmanager
def _outputs(
    run: Run, files: Sequence[tuple[Path | None, Sequence[str]]], *, reads: list[Any], force: bool
) -> Iterator[None]:
    """Inside, these files, each with the suffixes that it may have, are written by this command alone."""
    from gdw.runs.outputs import output_of_run

    with ExitStack() as outputs:
        for path, suffixes in files:
            if path is not None:
                output = output_of_run(run, path, suffixes=suffixes, reads=reads, force=force)
                outputs.enter_context(output)
        yield


def _judge(
    run: Run, data: str | None, issues: Path | None, threshold: float, output: Path | None
) -> tuple[RunAudit, pd.DataFrame, Cells]:
    """The audit, and the tables of issues and of the noise matrix."""
    from gdw.runs.auditing import audit as audit_run

    run_audit = audit_run(run, data=data)
    if output is not None:
        from gdw.runs.cleaned_copy import check_copy

        check_copy(run_audit, output)
    if issues is not None:
        with notes_of_warnings(FutureWarning):
            return run_audit, run_audit.edited_issues(issues), run_audit.noise_cells()
    run_audit.require_unedited()
    if output is not None:
        # A copy needs no near-duplicates: they are not searched for again.
        frame = run_audit.issues(threshold=threshold, problems=False)
        if run_audit.has_list(frame):
            return run_audit, frame, run_audit.noise_cells()
    with waiting_on_terminal("comparing the examples"):
        return run_audit, run_audit.issues(threshold=threshold), run_audit.noise_cells()


def _keep(
    run_audit: RunAudit, frame: pd.DataFrame, cells: Cells, assessment: Assessment, *, anyhow: bool
) -> None:
    """Write the list into the run folder; unless `anyhow`, only if it does not have it."""
    from gdw.errors import OutputError

    if not anyhow and run_audit.has_list(frame):
        return
    for line in [] if run_audit.problems is None else run_audit.problems.lines():
        say_wrapped(line)
    try:
        run_audit.write(frame, cells, assessment)
    except OutputError as error:
        note(
            f"{error.fact}; the result is shown here but not kept: copy the run to where you can write"
        )
        return
    more = "" if run_audit.problems is None else ", duplicates.csv"
    say(f"written into {run_audit.run.path}: label_issues.csv, noise_matrix.csv, audit.json{more}")


def _say_what_is_next(
    run: Path, frame: pd.DataFrame, assessment: Assessment, decided: Settled | None
) -> None:
    folder = shlex.quote(str(run))
    if decided is not None:
        copy = f"gdw audit {folder} --apply RELABEL --output FILE"
        rest = f"gdw verify {folder} --issues goes on with the other {decided.left:,}; then "
        say(
            f"next: {rest if decided.left else ''}{copy} writes a copy of the data with your decisions"
        )
    elif assessment.level == "poor":
        remedy = assessment.remedy.replace("RUN", folder)
        say(f"next: {remedy[:1].lower()}{remedy[1:]}")
    elif frame["is_label_issue"].any() and (run / "label_issues.csv").exists():
        mode = "RELABEL" if assessment.allows("RELABEL") else "KEEP"
        say(
            f"next: gdw verify {folder} --issues, where you decide on each label in the browser, or gdw "
            f"report {folder}, the page of the run; then gdw audit {folder} --apply {mode} --output FILE"
        )


def _show(
    run_audit: RunAudit,
    frame: pd.DataFrame,
    cells: Cells,
    top: int,
    issues: Path | None,
    decided: Settled | None,
) -> None:
    if run_audit.missing:
        say(f"note: {' '.join(run_audit.missing.split())}", err=True)
    count, share = int(frame["is_label_issue"].sum()), frame["is_label_issue"].mean()
    if top:
        _print_top(frame.head(top), decided)
    confusions = list(cells.confusions(_CONFUSIONS))
    if confusions:
        _print_confusions(cells, run_audit.run.label_names, confusions)
        names, drawn = run_audit.run.label_names, run_audit.evidence.drawn
        which = "verified rows" if drawn.all() else "verified rows drawn at random"
        say_wrapped(cells.how_to_read(names, int(drawn.sum()), rows=which))
    if issues is None:
        say(f"{count:,} of {len(frame):,} training labels look wrong ({share:.1%})")
        if decided is not None:
            say(f"with gdw verify: {decided.described()}")
    else:
        rest = f"the other {len(frame) - count:,} training labels stay"
        say(f"{issues} has {count:,} label issues; {rest}")


def _show_assessment(run_audit: RunAudit, assessment: Assessment, *, of_user: bool) -> None:
    low, high = assessment.wrong_low, assessment.wrong_high
    say(f"estimated share of wrong labels: {assessment.wrong_share:.1%} ({low:.1%} to {high:.1%})")
    whose = "the list that gdw computes" if of_user else "this list"
    say_wrapped(f"how far to trust {whose}: {assessment.level}; {assessment.reason}")
    if line := run_audit.verified_in_doubt:
        say_wrapped(line)
    if run_audit.learned_by_heart:
        say(
            "note: training predicted nearly every label surely: it has learned them by heart, and this list "
            "misses most wrong labels. Use another method, such as robust, or fewer epochs",
            err=True,
        )


def _print_top(frame: pd.DataFrame, decided: Settled | None) -> None:
    columns = ("where", "given_label", "suggested_label", "suggested_probability", "score")
    rows = [
        (
            where,
            given,
            suggested,
            "" if probability != probability else f"{probability:.2f}",
            f"{score:.3f}",
            _issue(index, wrong, decided),
        )
        for where, given, suggested, probability, score, wrong, index in frame[
            [*columns, "is_label_issue", "index"]
        ].itertuples(index=False)
    ]
    header = ("where", "given", "suggested", "probability", "score", "issue")
    print_table(header, rows, title="most suspicious labels", texts=3, paths=1)


def _issue(row: int, wrong: bool, decided: Settled | None) -> str:
    """Whether a row is an issue; the decision of a person takes the place of "yes"."""
    label = None if decided is None else decided.label(row)
    if label is None:
        return "yes" if wrong else ""
    return f"decided: {label or 'unclear'}"


def _print_confusions(cells: Cells, names: tuple[str, ...], confusions: Sequence[int]) -> None:
    header = ("true class", "given label", "share of the true class", "95 % interval", "examples")
    rows = [
        (
            names[cells.true[e]],
            names[cells.given[e]],
            f"{cells.probability[e]:.1%}",
            f"{cells.low[e]:.1%} to {cells.high[e]:.1%}",
            f"{cells.count[e]:,.0f}",
        )
        for e in confusions
    ]
    print_table(header, rows, title="most frequent confusions", texts=2)
