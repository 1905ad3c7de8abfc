"""The audit of a finished run: its suspicious labels, its noise matrix, and what is wrong with its data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gdw.audit.assessment import Assessment, assess, learned_by_heart
from gdw.audit.audit_files import (
    AUDIT,
    DUPLICATES,
    LABEL_ISSUES,
    NOISE_MATRIX,
    SUMMARY,
    is_unedited,
    require_unedited,
    summary,
    write_duplicates,
    write_issues,
    write_noise_matrix,
)
from gdw.audit.data_rows import TrainingRows, training_rows
from gdw.audit.evidence import Evidence
from gdw.audit.issues import REMOVED, THRESHOLD, in_order_of_training, label_issues
from gdw.audit.matrix import Cells, noise_cells
from gdw.data.source import Source
from gdw.errors import DataError, OutputError, shown
from gdw.runs.run import Run, load

if TYPE_CHECKING:
    import pandas as pd

    from gdw.audit.cleaning import Cleaned, Mode
    from gdw.audit.data_problems import DataProblems


def audit(run: str | os.PathLike[str] | Run, *, data: str | None = None) -> RunAudit:
    """Open a finished run for an audit. Nothing is written, and no network is built.

    Args:
        run: the run or its folder.
        data: where the training data are now, if they were moved.

    Returns:
        The audit: `issues()` ranks the training examples, `write` keeps the result in the run folder.

    Raises:
        RunError: there is no run, it has no evidence, or it is damaged.
        DataError: the rows or labels in `data` changed since the training.
    """
    run = load(run)
    evidence: Evidence = run.require("evidence")
    config, schema = run.data_config, run.schema
    rows, missing = None, ""
    try:
        rows = training_rows(
            data or config.path,
            evidence,
            label=config.label,
            label_names=schema.label_names,
            names_declared=schema.names_declared,
            labels_merged=schema.labels_merged,
            spoiled=config.noise is not None,
            options=config.read_options,
        )
    except DataError as error:
        if data is not None:
            raise
        missing = (
            f"the training data were not found as they were ({error}); a relative path starts at the folder "
            "where the run was started: go there, or say where the data are with --data"
        )
    return RunAudit(run, evidence, rows, missing)


@dataclass(frozen=True, eq=False)
class RunAudit:
    """An audit of a run, made by `audit`.

    Attributes:
        run: the run.
        evidence: of its N training examples and C classes.
        rows: the rows of the training data; None if they were not found.
        missing: why the rows were not found, as a sentence.
    """

    run: Run
    evidence: Evidence
    rows: TrainingRows | None
    missing: str

    def where(self, i: int) -> str:
        """The place of training example `i` in words, even if the data were not found."""
        if self.rows is not None:
            return self.rows.where(i)
        return f"row {self.evidence.numbers[i]} of {shown(Path(self.run.data_config.path).name)}"

    def issues(self, *, threshold: float = THRESHOLD, problems: bool = True) -> pd.DataFrame:
        """Rank the training examples, see `gdw.audit.label_issues`.

        Args:
            threshold: as for `label_issues`.
            problems: add the columns `gdw.audit.issues.PROBLEM_COLUMNS`, if the data are there.
        """
        frame = label_issues(
            self.evidence, self.run.label_names, where=self.where, threshold=threshold
        )
        if not problems or self.problems is None:
            return frame
        return self.problems.added_to(frame, self.evidence.positions(frame["index"].to_numpy()))

    @cached_property
    def problems(self) -> DataProblems | None:
        """Near-duplicates, outliers, and blank or dark images; None if the training data were not found."""
        if self.rows is None:
            return None
        from gdw.audit.data_problems import data_problems
        from gdw.runs.audited_parts import examples_of_parts

        sources, notes = examples_of_parts(self)
        features = None
        if self.run.schema.kind != "table" and self.run.model_config.frozen:
            from gdw.runs.kept_features import kept_features

            features = kept_features(self.run)
        return data_problems(sources, features=features, notes=notes)

    def edited_issues(self, path: Path) -> pd.DataFrame:
        """The same table from a list, see `read_edited_issues`, or from the decisions of `gdw verify`."""
        from gdw.audit.edited_issues import read_edited_issues
        from gdw.data.verification import is_queue, read

        if is_queue(path):
            from gdw.runs.decisions import decided

            return decided(self, self.issues(problems=False), read(path), alone=True)
        return read_edited_issues(path, self.evidence, self.run.label_names, where=self.where)

    def noise_cells(self) -> Cells:
        """The entries of the noise matrix, see `gdw.audit.matrix.noise_cells`."""
        return noise_cells(self.evidence)

    def assessment(self, frame: pd.DataFrame, cells: Cells) -> Assessment:
        """How far the issues in `frame` can be trusted, see `gdw.audit.assess`."""
        return assess(self.evidence, cells, self.wrong(frame))

    @property
    def verified_in_doubt(self) -> str:
        """A line on verified labels that look wrong, see `gdw.runs.doubted_verified`; empty for none."""
        from gdw.runs.doubted_verified import verified_in_doubt

        return verified_in_doubt(self)

    @property
    def learned_by_heart(self) -> bool:
        """Whether the model memorised the training labels, see `gdw.audit.assessment.learned_by_heart`."""
        return learned_by_heart(self.evidence)

    def require_unedited(self) -> None:
        """Check that `write` overwrites no list that somebody edited; `RunError` if it would."""
        require_unedited(self.run.folder.file(LABEL_ISSUES), self.run.folder.file(AUDIT))

    def has_list(self, frame: pd.DataFrame) -> bool:
        """Whether the run folder has the list of `frame`, a table of `issues`, without any change."""
        if not self.is_unedited(self.run.folder.file(LABEL_ISSUES)):
            return False
        kept: pd.DataFrame = self.run.require("issues")
        return all(np.array_equal(kept[name], frame[name]) for name in ("index", "is_label_issue"))

    def is_unedited(self, issues: Path) -> bool:
        """Whether the file `issues` is the list of this run without any change."""
        return bool(is_unedited(issues, self.run.folder.file(AUDIT)))

    def write(
        self,
        frame: pd.DataFrame,
        cells: Cells,
        assessment: Assessment | None = None,
        certificate: dict[str, Any] | None = None,
    ) -> None:
        """Write the files of the audit into the run folder, see `gdw.audit.audit_files`.

        Args:
            frame: the table of `issues`.
            cells: the entries of `noise_cells`.
            assessment: of them, if it is known already.
            certificate: the figures of a certificate, if there is one.
        """
        names, file = self.run.label_names, self.run.folder.file
        write_noise_matrix(cells, names, file(NOISE_MATRIX))
        write_issues(frame, file(LABEL_ISSUES))
        if self.problems is not None:
            write_duplicates(self.problems.duplicates.rows(names), file(DUPLICATES))
        content = summary(
            self.evidence,
            names,
            cells,
            frame=frame,
            assessment=assessment or self.assessment(frame, cells),
            issues_file=file(LABEL_ISSUES),
            problems=self.problems,
        )
        try:
            SUMMARY.write(file(AUDIT), content | {"certificate": certificate})
        except OutputError:
            # By an earlier summary the new list would look edited.
            file(AUDIT).unlink(missing_ok=True)
            raise
        self.run.forget("issues", "noise_matrix", "audit")

    def write_certificate(self, certificate: dict[str, Any]) -> None:
        """Replace the certificate in `audit.json`; all else stays.

        Raises:
            RunError: there is no audit in the run folder, or it is damaged.
            OutputError: the file cannot be written.
        """
        file = self.run.folder.file(AUDIT)
        SUMMARY.write(file, {**SUMMARY.read(file), "certificate": certificate})
        self.run.forget("audit")

    def write_copy(self, mode: Mode, frame: pd.DataFrame, output: Path) -> Cleaned:
        """Write a cleaned copy of the data, see `gdw.audit.cleaning.apply`.

        Args:
            mode: "KEEP" leaves label issues out. "RELABEL" gives them the suggested labels, and leaves out
                those that a person has decided to remove.
            frame: the table of `issues` or `edited_issues`.
            output: the new file or folder.
        """
        from gdw.audit.cleaning import apply
        from gdw.runs.decisions import verified_of_data

        return apply(
            mode,
            self.require_rows(),
            wrong=self.wrong(frame),
            suggested=self.suggested(frame),
            removed=self.removed(frame),
            verified=verified_of_data(self),
            label_names=self.run.label_names,
            output=output,
        )

    def wrong(self, frame: pd.DataFrame) -> NDArray[np.bool_]:
        """`(N,)`, whether each training example is a label issue in `frame`, a table of `issues`."""
        return in_order_of_training(self.evidence, frame, frame["is_label_issue"], bool)

    def removed(self, frame: pd.DataFrame) -> NDArray[np.bool_]:
        """`(N,)`, whether a person has decided to leave each training example out."""
        if REMOVED not in frame:
            return np.zeros(len(frame), dtype=bool)
        return in_order_of_training(self.evidence, frame, frame[REMOVED], bool)

    def suggested(self, frame: pd.DataFrame) -> NDArray[np.int64]:
        """`(N,)`, the class that `frame` suggests for each training example."""
        code = {name: k for k, name in enumerate(self.run.label_names)}
        suggested = frame["suggested_label"].map(code)
        return in_order_of_training(self.evidence, frame, suggested, np.int64)

    def require_rows(self) -> TrainingRows:
        """The rows of the training data; `DataError` if they were not found."""
        if self.rows is None:
            raise DataError(self.missing)
        return self.rows

    def training_source(self) -> Source:
        """The training examples in the order of training; `DataError` if the data were not found."""
        from gdw.runs.audited_parts import of_training_file

        return of_training_file(self, self.evidence.numbers, self.evidence.given)
