"""What a person has decided on the label issues of a run with `gdw verify RUN --issues`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gdw.data.verification import Verification, answers_of, is_queue, read, verified_in, write_queue
from gdw.data.verification.verification import Outcome
from gdw.errors import ConfigError, DataError, RunError, counted, listed, shortened, shown
from gdw.runs.auditing import RunAudit
from gdw.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from gdw.data.source import Source

    Similar = Callable[[Source, NDArray[np.int64]], list[list[int]]]

VERIFICATION = "verification.jsonl"
"""The rows to decide on, in the run folder; the decisions are beside it."""

_DECIDED = ("label", "several", "cannot_tell")


def issues_to_verify(audit: RunAudit, similar: Similar | None = None) -> Path:
    """Write the label issues of the last audit into the run folder, as rows to verify.

    Args:
        audit: of the run.
        similar: finds rows to compare with: from the training data and positions `(R,)` in them to positions
            of similar rows, for each. By default none.

    Returns:
        The verification file. Decisions that exist already stay beside it, and count on.

    Raises:
        RunError: there is no audit, or it found no label issues.
        ConfigError: the run changed the labels itself, so that there is nothing to decide in the data.
        DataError: the training data were not found as they were.
    """
    run, evidence = audit.run, audit.evidence
    if run.data_config.noise is not None:
        raise ConfigError(
            f"the run spoiled its labels itself (--noise {run.data_config.noise}): there is nothing to "
            "verify in the data"
        )
    table = run.require("issues")
    table = table[table["is_label_issue"].to_numpy(dtype=bool)]
    if not len(table):
        raise RunError(f"the audit of {run.path} found no label issues: there is nothing to verify")
    rows = audit.require_rows()
    positions = evidence.positions(table["index"].to_numpy(dtype=np.int64))
    if (positions < 0).any():
        raise RunError(f"{run.path} has a list of issues of other rows: run gdw audit again")
    suggested = zip(table["suggested_label"], table["suggested_probability"], strict=True)
    path, source = run.folder.file(VERIFICATION), audit.training_source()
    write_queue(
        path,
        source,
        positions,
        label=rows.label,
        data=rows.path,
        likely=[[(str(label), float(probability))] for label, probability in suggested],
        reasons=["issue"] * len(table),
        neighbours=None if similar is None else similar(source, positions),
        strategy="issues",
    )
    return path


def decisions(run: Run) -> Verification | None:
    """What a person has decided on the issues of a run; None for nothing."""
    path = run.folder.file(VERIFICATION)
    if not (path.exists() and answers_of(path).exists()):
        return None
    found = read(path)
    return found if any(outcome.state in _DECIDED for outcome in found.outcomes) else None


def described(verification: Verification) -> str:
    """The decisions in words."""
    same = sum(a == b for a, b in zip(verification.labels, verification.given, strict=True))
    counts = verification.counts
    new = counted(len(verification.labels) - same, "new label")
    unclear = counts["several"] + counts["cannot_tell"]
    rest = [f"{unclear:,} without a clear class"] if unclear else []
    left = counts["open"] + counts["skip"] + counts["conflict"]
    rest += [f"{left:,} not decided"] if left else []
    return f"decisions of gdw verify: {', '.join([new, f'{same:,} kept', *rest])}"


def decided(
    audit: RunAudit,
    frame: pd.DataFrame,
    verification: Verification,
    *,
    alone: bool = False,
    leave_out_unclear: bool = False,
) -> pd.DataFrame:
    """A table of issues with the decisions of a person.

    Args:
        audit: of the run.
        frame: the table of `RunAudit.issues`.
        verification: the decisions.
        alone: only the rows decided on are issues.
        leave_out_unclear: rows of several classes, or that nobody can tell, are issues; by default not.

    Raises:
        RunError: the decisions are about another run.
    """
    place = {int(index): k for k, index in enumerate(frame["index"])}
    wrong = frame["is_label_issue"].to_numpy(dtype=bool).copy()
    if alone:
        wrong[:] = False
    suggested = frame["suggested_label"].to_numpy(dtype=object).copy()
    given = frame["given_label"].tolist()
    for outcome in verification.outcomes:
        k = place.get(outcome.candidate.index)
        if outcome.state not in _DECIDED:
            continue
        if k is None or given[k] != outcome.candidate.given_label:
            raise _foreign(audit, verification, outcome)
        if outcome.label is None:
            wrong[k] = leave_out_unclear
            continue
        if outcome.label not in audit.run.label_names:
            raise RunError(
                f"{shown(verification.queue.path)}: the label {outcome.label!r} of "
                f"{outcome.candidate.where} is no class of the run: {listed(audit.run.label_names)}"
            )
        wrong[k], suggested[k] = outcome.label != given[k], outcome.label
    with_decisions: pd.DataFrame = frame.assign(is_label_issue=wrong, suggested_label=suggested)
    return with_decisions


@dataclass(frozen=True)
class Settled:
    """The label issues of a list that a person has decided on.

    Attributes:
        issues: the number of label issues.
        outcomes: what was said about those decided on, by their row.
    """

    issues: int
    outcomes: Mapping[int, Outcome]

    @property
    def left(self) -> int:
        """How many nobody has decided on."""
        return self.issues - len(self.outcomes)

    def label(self, row: int) -> str | None:
        """The decided label of a row; empty if it has no clear class, None if nobody has decided on it."""
        found = self.outcomes.get(row)
        return None if found is None else found.label or ""

    def alone(self, run: Path, level: str | None) -> list[str]:
        """The option of `gdw audit RUN --apply` that leaves out what nobody has decided on.

        It is needed as long as some is left, unless the list is supported.

        Args:
            run: the folder of the run.
            level: of the assessment of the list; None if unknown.
        """
        if not self.left or level == "supported":
            return []
        return ["--issues", str(run / VERIFICATION)]

    def described(self) -> str:
        """Their number and by whom: `12 of 40 issues decided (ann 8, bob 4)`."""
        people = Counter(
            answer.annotator or "somebody"
            for outcome in self.outcomes.values()
            for answer in outcome.answers
            if answer.answer in _DECIDED
        )
        by = shortened([f"{name} {count:,}" for name, count in people.most_common()], 5)
        return f"{len(self.outcomes):,} of {counted(self.issues, 'issue')} decided ({by})"


def settled(run: Run, frame: pd.DataFrame) -> Settled | None:
    """The issues of `frame`, a table of `RunAudit.issues`, that are decided on; None if none is."""
    verification = decisions(run)
    if verification is None:
        return None
    issues = frame[frame["is_label_issue"].to_numpy(dtype=bool)]
    given = dict(zip(map(int, issues["index"]), issues["given_label"], strict=True))
    outcomes = {
        outcome.candidate.index: outcome
        for outcome in verification.outcomes
        if outcome.state in _DECIDED
        and given.get(outcome.candidate.index) == outcome.candidate.given_label
    }
    return Settled(len(given), outcomes) if outcomes else None


def verified_of_data(audit: RunAudit) -> dict[int, int]:
    """The rows of the data that were the verified examples of the run, each with its verified class.

    Rows that were verified after the training are not among them. None are known if the file of them is gone.
    """
    meta = audit.run.data_config.meta
    if meta is None or not is_queue(meta):
        return {}
    try:
        found = verified_in(audit.training_source(), meta)
    except DataError:
        return {}
    assert found is not None
    rows = dict(zip(found.numbers.tolist(), found.labels.tolist(), strict=True))
    return {row: rows[row] for row in rows.keys() - set(audit.evidence.numbers.tolist())}


def _foreign(audit: RunAudit, verification: Verification, outcome: Outcome) -> RunError:
    return RunError(
        f"{shown(verification.queue.path)} is not about the training examples of {audit.run.path}: "
        f"{outcome.candidate.where} is {outcome.candidate.given_label!r} there; give the file of this run"
    )
