"""What `gdw audit` prints of an audit: the list, the confusions, and how far to trust them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gdw.cli.app import say
from gdw.cli.tables import print_table, say_wrapped

if TYPE_CHECKING:
    import pandas as pd

    from gdw.audit.assessment import Assessment
    from gdw.audit.matrix import Cells
    from gdw.runs import RunAudit
    from gdw.runs.decisions import Settled

_CONFUSIONS = 10


def show_list(
    run_audit: RunAudit,
    frame: pd.DataFrame,
    cells: Cells,
    top: int,
    issues: Path | None,
    decided: Settled | None,
) -> None:
    """Print the most suspicious labels, the confusions, and how many labels look wrong."""
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


def show_assessment(
    run_audit: RunAudit, assessment: Assessment, *, of_user: bool, certified: bool = False
) -> None:
    """Print how far to trust the list; without a certificate, also the estimated share of wrong labels."""
    low, high = assessment.wrong_low, assessment.wrong_high
    if not certified:
        share = f"{assessment.wrong_share:.1%} ({low:.1%} to {high:.1%})"
        say(f"estimated share of wrong labels: {share}")
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
