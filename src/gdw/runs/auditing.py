"""The audit of a finished run: its suspicious labels, its noise matrix, and a cleaned copy of its data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gdw.audit.assessment import Assessment, assess, classes_that_shrink, learned_by_heart
from gdw.audit.audit_files import (
    AUDIT,
    LABEL_ISSUES,
    NOISE_MATRIX,
    SUMMARY,
    is_unedited,
    require_unedited,
    summary,
    write_issues,
    write_noise_matrix,
)
from gdw.audit.evidence import Evidence
from gdw.audit.issues import REMOVED, THRESHOLD, in_order_of_training, label_issues
from gdw.audit.matrix import Cells, noise_cells
from gdw.audit.training_rows import TrainingRows, training_rows
from gdw.errors import ConfigError, DataError, OutputError, shortened, shown
from gdw.runs.run import Run, load
from gdw.runs.skipped_images import count_skipped

if TYPE_CHECKING:
    import pandas as pd

    from gdw.audit.cleaning import Cleaned, Mode

_SHOWN_CLASSES = 4


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
        row = i if self.evidence.rows is None else int(self.evidence.rows[i])
        return f"row {row} of {shown(Path(self.run.data_config.path).name)}"

    def issues(self, *, threshold: float = THRESHOLD) -> pd.DataFrame:
        """Rank the training examples, see `gdw.audit.label_issues`."""
        return label_issues(
            self.evidence, self.run.label_names, where=self.where, threshold=threshold
        )

    def edited_issues(self, path: Path) -> pd.DataFrame:
        """The same table from a file, see `gdw.audit.edited_issues.read_edited_issues`."""
        from gdw.audit.edited_issues import read_edited_issues

        return read_edited_issues(path, self.evidence, self.run.label_names, where=self.where)

    def noise_cells(self) -> Cells:
        """The entries of the noise matrix, see `gdw.audit.matrix.noise_cells`."""
        return noise_cells(self.evidence)

    def assessment(self, frame: pd.DataFrame, cells: Cells) -> Assessment:
        """How far the issues in `frame` can be trusted, see `gdw.audit.assess`."""
        return assess(self.evidence, cells, self._wrong(frame))

    @property
    def learned_by_heart(self) -> bool:
        """Whether the model memorised the training labels, see `gdw.audit.assessment.learned_by_heart`."""
        return learned_by_heart(self.evidence)

    def require_unedited(self) -> None:
        """Check that `write` overwrites no list that somebody edited; `RunError` if it would."""
        require_unedited(self.run.folder.file(LABEL_ISSUES), self.run.folder.file(AUDIT))

    def is_unedited(self, issues: Path) -> bool:
        """Whether the file `issues` is the list of this run without any change."""
        return bool(is_unedited(issues, self.run.folder.file(AUDIT)))

    def write(
        self, frame: pd.DataFrame, cells: Cells, assessment: Assessment | None = None
    ) -> None:
        """Write `label_issues.csv`, `noise_matrix.csv` and `audit.json` into the run folder.

        Args:
            frame: the table of `issues`.
            cells: the entries of `noise_cells`.
            assessment: of them, if it is known already.
        """
        names, file = self.run.label_names, self.run.folder.file
        write_noise_matrix(cells, names, file(NOISE_MATRIX))
        write_issues(frame, file(LABEL_ISSUES))
        content = summary(
            self.evidence,
            names,
            cells,
            wrong=self._wrong(frame),
            assessment=assessment or self.assessment(frame, cells),
            issues_file=file(LABEL_ISSUES),
        )
        try:
            SUMMARY.write(file(AUDIT), content)
        except OutputError:
            # By an earlier summary the new list would look edited.
            file(AUDIT).unlink(missing_ok=True)
            raise
        self.run.forget("issues", "noise_matrix", "audit")

    def require_sound(
        self, mode: Mode, frame: pd.DataFrame, assessment: Assessment, *, checked: bool
    ) -> None:
        """Check that a cleaned copy is likely to be better than the data.

        Args:
            mode: as for `write_copy`.
            frame: the table of `issues` or `edited_issues`.
            assessment: of `issues`.
            checked: a person has checked `frame`.

        Raises:
            ConfigError: nothing shows that the suggestions are better than the labels, or a class would lose
                more than a third of its rows.
        """
        if not checked and not assessment.allows(mode):
            raise ConfigError(
                f"no copy is written: {assessment.reason}. {assessment.remedy}. To write it all the "
                "same, use --force"
            )
        given, wrong = self.evidence.given, self._wrong(frame)
        removed = wrong if mode == "KEEP" else self._removed(frame)
        kept = np.where(wrong, self._suggested(frame), given)[~removed]
        small = classes_that_shrink(given, kept, self.run.label_names)
        if small:
            raise ConfigError(
                "no copy is written: more than a third of the rows of a class would be lost. Kept would be: "
                f"{shortened(small, _SHOWN_CLASSES)} rows. Check these rows in "
                f"{'the list' if checked else LABEL_ISSUES}; to write the copy all the same, use --force"
            )

    def check_copy(self, output: Path) -> None:
        """Check that a cleaned copy of the data can be written to `output`.

        Raises:
            ConfigError: `output` cannot be written, or the run changed the labels itself for an experiment.
            DataError: the training data were not found.
        """
        from gdw.audit.cleaning import check_output

        noise = self.run.data_config.noise
        if noise is not None:
            raise ConfigError(
                f"the run spoiled its labels itself (--noise {noise}) and did not change those of the file: "
                "there is nothing to clean"
            )
        check_output(self._require_rows().path, output)

    def write_copy(self, mode: Mode, frame: pd.DataFrame, output: Path) -> Cleaned:
        """Write a cleaned copy of the data, see `gdw.audit.cleaning.apply`.

        Args:
            mode: "KEEP" leaves label issues out. "RELABEL" gives them the suggested labels, and leaves out
                those that a person has decided to remove.
            frame: the table of `issues` or `edited_issues`.
            output: the new file or folder.
        """
        from gdw.audit.cleaning import apply

        return apply(
            mode,
            self._require_rows(),
            wrong=self._wrong(frame),
            suggested=self._suggested(frame),
            removed=self._removed(frame),
            label_names=self.run.label_names,
            output=output,
        )

    @property
    def unreadable(self) -> int:
        """The number of images in the training data that the run left out because they cannot be read."""
        return count_skipped(self.run.data_config.path, self.run.path)

    def note_on_copy(self, output: Path) -> str:
        """A sentence about relative image paths if they may break in a copy at `output`, else ""."""
        source = self._require_rows().path
        same_folder = source.is_dir() or source.parent.resolve() == output.parent.resolve()
        if self.run.schema.kind != "image" or same_folder:
            return ""
        return (
            "note: relative image paths in the copy start at its own folder: move it into the folder of the "
            "original"
        )

    def _wrong(self, frame: pd.DataFrame) -> NDArray[np.bool_]:
        return in_order_of_training(self.evidence, frame, frame["is_label_issue"], bool)

    def _removed(self, frame: pd.DataFrame) -> NDArray[np.bool_]:
        if REMOVED not in frame:
            return np.zeros(len(frame), dtype=bool)
        return in_order_of_training(self.evidence, frame, frame[REMOVED], bool)

    def _suggested(self, frame: pd.DataFrame) -> NDArray[np.int64]:
        code = {name: k for k, name in enumerate(self.run.label_names)}
        suggested = frame["suggested_label"].map(code)
        return in_order_of_training(self.evidence, frame, suggested, np.int64)

    def _require_rows(self) -> TrainingRows:
        if self.rows is None:
            raise DataError(self.missing)
        return self.rows
