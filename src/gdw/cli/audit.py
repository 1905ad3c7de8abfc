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
from gdw.cli.audit_certificate import Certified, Wanted
from gdw.cli.audit_copy import Copy
from gdw.cli.audit_lines import show_assessment, show_list
from gdw.cli.tables import say_wrapped

if TYPE_CHECKING:
    import pandas as pd

    from gdw.audit.assessment import Assessment
    from gdw.audit.cleaning import Mode
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
    verified: Annotated[
        Path | None,
        typer.Option(
            help="A verification file of the data, with rows that gdw suggest --strategy random drew: the "
            "share of wrong labels is certified by them. If not given, that of the training.",
            metavar="FILE",
        ),
    ] = None,
    target_error: Annotated[
        float | None,
        typer.Option(
            help="Say how many rows to leave out or to relabel so that at most this share of the labels is "
            "wrong, such as 0.03; --apply changes exactly these rows. If not given, there is no such number.",
            metavar="NUMBER",
        ),
    ] = None,
    confidence: Annotated[
        float, typer.Option(help="Of what is certified.", metavar="NUMBER")
    ] = 0.95,
    verifier_error: Annotated[
        str,
        typer.Option(
            help="At most this share of the verified labels is wrong, such as 0.02: intervals get wider. "
            "overlap: it is estimated from the rows that two people have answered.",
            metavar="NUMBER|overlap",
        ),
    ] = "0",
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
    from gdw.audit.pred_probs import write_pred_probs
    from gdw.runs.decisions import settled
    from gdw.runs.run import load

    mode = _mode(apply, output)
    wanted = Wanted(verified, target_error, confidence, mode, issues, verifier_error)
    wanted.check()
    opened = load(run)
    files = ((pred_probs, (".npy",)), (output, ()))
    with _outputs(opened, files, reads=[data, issues], force=force):
        began = time.perf_counter()
        run_audit, frame, cells = _judge(opened, data, issues, threshold, output)
        # Of the computed list, also for an edited one: few decisions do not make the labels better.
        computed = run_audit.issues(threshold=threshold, problems=False) if issues else frame
        assessment = run_audit.assessment(computed, cells)
        checked = issues is not None and not run_audit.is_unedited(issues)
        decided = settled(opened, frame) if issues is None else None
        certified = wanted.certified(run_audit)
        judged = time.perf_counter() - began
        show_list(run_audit, frame, cells, top, issues, decided)
        # A list of the user has no certificate of its own; that of the last audit holds for the data.
        shares = certified.found is not None or (issues and (opened.audit or {}).get("certificate"))
        show_assessment(run_audit, assessment, of_user=checked, certified=bool(shares))
        certified.show(run)
        if issues is None:
            _keep(run_audit, frame, cells, assessment, certified, anyhow=output is None)
        if pred_probs is not None:
            write_pred_probs(run_audit.evidence, pred_probs)
            say(f"predicted probabilities for cleanlab: {pred_probs}")
        if wanted.mode is not None and output is not None:
            sure = wanted.target is not None
            copy = Copy(wanted.mode, output, issues, checked=checked, force=force, certified=sure)
            copy.write(run_audit, certified.to_apply(frame), assessment)
            certified.keep_applied(output)
        elif issues is None:
            _say_what_is_next(run, frame, assessment, decided)
    rest = time.perf_counter() - began - judged
    say(f"time: judging the labels {judged:.1f} s, printing and writing copies {rest:.1f} s")


def _mode(apply: str | None, output: Path | None) -> Mode | None:
    from gdw.audit.cleaning import mode_named
    from gdw.errors import ConfigError

    if (apply is None) != (output is None):
        raise ConfigError("--apply and --output belong together, as in --apply KEEP --output FILE")
    return None if apply is None else mode_named(apply)


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
    run_audit: RunAudit,
    frame: pd.DataFrame,
    cells: Cells,
    assessment: Assessment,
    certified: Certified,
    *,
    anyhow: bool,
) -> None:
    """Write the list into the run folder; unless `anyhow`, only if it does not have it."""
    from gdw.errors import OutputError

    if not anyhow and run_audit.has_list(frame):
        return
    for line in [] if run_audit.problems is None else run_audit.problems.lines():
        say_wrapped(line)
    try:
        listed = certified.with_probabilities(frame)
        run_audit.write(listed, cells, assessment, certified.plain())
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
    from gdw.runs.cleaned_copy import mode_to_propose

    folder = shlex.quote(str(run))
    if decided is not None:
        alone = shlex.join(decided.alone(run, assessment.level))
        copy = f"gdw audit {folder} --apply RELABEL {alone}{' ' if alone else ''}--output FILE"
        rest = f"gdw verify {folder} --issues goes on with the other {decided.left:,}; then "
        say(
            f"next: {rest if decided.left else ''}{copy} writes a copy of the data with your decisions"
        )
    elif assessment.level == "poor":
        remedy = assessment.remedy.replace("RUN", folder)
        say(f"next: {remedy[:1].lower()}{remedy[1:]}")
    elif frame["is_label_issue"].any() and (run / "label_issues.csv").exists():
        mode = mode_to_propose(frame, assessment.level) or "RELABEL"
        say(
            f"next: gdw verify {folder} --issues, where you decide on each label in the browser, or gdw "
            f"report {folder}, the page of the run; then gdw audit {folder} --apply {mode} --output FILE"
        )
