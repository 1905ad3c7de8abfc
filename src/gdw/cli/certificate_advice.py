"""Which commands give a certificate, a narrower one, or one of the list of a run."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from gdw.errors import DataError

if TYPE_CHECKING:
    from gdw.certify import Certificate
    from gdw.runs import RunAudit

_RANDOM_ROWS = 60
_MORE = 100
_NEW_FILE = "random.jsonl"


def what_more_rows_bring(
    certificate: Certificate, file: str | Path | None, run: Path, *, errs: bool
) -> str:
    """How narrow the interval will be with more rows, and the command; empty if rows cannot be added.

    Args:
        certificate: what is certain now.
        file: the file of the verified rows; None for none.
        run: the folder of the run.
        errs: whether verified labels may be wrong.
    """
    from gdw.data.verification import is_queue, read_queue
    from gdw.suggestion.draws import require_sample

    if file is None or not is_queue(file) or errs:
        return ""
    try:
        require_sample(read_queue(file))
    except DataError:
        return ""
    share, widths = certificate.share, certificate.widths
    now, then = 100 * (share.high - share.low), 100 * widths[_MORE]
    words = ["gdw", "suggest", "--run", str(run), "--for", "certificate", "-n", str(_MORE)]
    command = shlex.join([*words, "--output", str(file)])
    wide = f"the interval is {now:.1f} points wide"
    return f"{wide}; with {_MORE} more rows it would be about {then:.1f}: {command}"


def way_to_one(run_audit: RunAudit, run: Path) -> str:
    """The commands that lead to a certificate."""
    from gdw.cli.introduction import random_rows_command

    rows, config = run_audit.rows, run_audit.run.data_config
    if rows is None or len(rows.rows) == len(run_audit.evidence):
        command = random_rows_command(config, _RANDOM_ROWS, _NEW_FILE)
    else:  # Rows that the run was not trained on say nothing about its list.
        command = _random_rows_of_run(run, _RANDOM_ROWS, _NEW_FILE)
    audit = shlex.join(["gdw", "audit", str(run), "--verified", _NEW_FILE])
    return f"{command}; then gdw verify {_NEW_FILE}; then {audit}"


def way_to_the_list(file: str | Path | None, run: Path) -> str:
    """The commands after which decisions are about the list of the run.

    Args:
        file: the file of the verified rows; None for none.
        run: the folder of the run.
    """
    from gdw.data.verification import is_queue

    output = str(file) if file is not None and is_queue(file) else _NEW_FILE
    command = _random_rows_of_run(run, _MORE, output)
    verify = shlex.join(["gdw", "verify", output])
    again = "the same audit" if output != _NEW_FILE else f"the same audit with --verified {output}"
    return f"to certify the list itself: {command}; then {verify}; then {again}"


def _random_rows_of_run(run: Path, rows: int, output: str) -> str:
    words = ["gdw", "suggest", "--run", str(run), "--strategy", "random", "-n", str(rows)]
    return shlex.join([*words, "--output", output])
