"""The audit of a finished run: its evidence, the data behind it, and the files that come of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gdw.audit.cleaning import Cleaned, Mode, apply
from gdw.audit.evidence import EVIDENCE, Evidence
from gdw.audit.issue_file import LABEL_ISSUES, read_issues, write_issues
from gdw.audit.issues import label_issues
from gdw.audit.matrix import Cells, noise_cells
from gdw.audit.rows import TrainingRows, training_rows
from gdw.audit.summary import (
    AUDIT,
    NOISE_MATRIX,
    require_unedited,
    summary,
    write_noise_matrix,
    write_summary,
)
from gdw.errors import ConfigError, DataError, RunError
from gdw.files.wording import shown
from gdw.runs.config import RunConfig
from gdw.runs.schema import Schema
from gdw.runs.training import ENCODER
from gdw.train.run_folder import CONFIG, RunFolder

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class RunAudit:
    """What is needed to audit a run.

    Attributes:
        folder: of the run.
        config, schema: of the run.
        evidence: of N training examples and C classes.
        data: the rows behind them; None when they cannot be found.
        missing: why not, in a sentence.
    """

    folder: RunFolder
    config: RunConfig
    schema: Schema
    evidence: Evidence
    data: TrainingRows | None
    missing: str

    @classmethod
    def open(cls, path: str | Path, *, data: str | None = None) -> RunAudit:
        """Read a run folder, and its data from where they were or from `data`, where they are now.

        Raises:
            RunError: no run there, without evidence, damaged, or of a newer version.
            DataError: `data` are not what the run was trained on.
        """
        folder = RunFolder.open(path)
        config = RunConfig.from_run(folder.config, folder.file(CONFIG))
        schema = Schema.read(folder.file(ENCODER))
        evidence = _evidence(folder, len(schema.label_names))
        rows, missing = None, ""
        try:
            rows = training_rows(
                data or config.data.path,
                evidence,
                label=config.data.label,
                label_names=schema.label_names,
                names_declared=schema.names_declared,
                spoiled=config.data.noise is not None,
            )
        except DataError as error:
            if data is not None:
                raise
            missing = (
                f"the training data were not found as they were ({error}); a relative path starts at the "
                "folder where the run was started: go there, or say where they are with --data"
            )
        return cls(folder, config, schema, evidence, rows, missing)

    def where(self, i: int) -> str:
        """The place of training example `i` in words, also when the data are gone."""
        if self.data is not None:
            return self.data.where(i)
        row = i if self.evidence.rows is None else int(self.evidence.rows[i])
        return f"row {row + 1} of {shown(Path(self.config.data.path).name)}"

    def issues(self, *, threshold: float) -> pd.DataFrame:
        """The table of `gdw.audit.label_issues` of this run."""
        names = self.schema.label_names
        return label_issues(self.evidence, names, where=self.where, threshold=threshold)

    def issues_from(self, path: Path) -> pd.DataFrame:
        """The same as a file has it, see `gdw.audit.issue_file.read_issues`."""
        return read_issues(path, self.evidence, self.schema.label_names, where=self.where)

    def noise_cells(self) -> Cells:
        return noise_cells(self.evidence)

    def require_unedited(self) -> None:
        """`RunError` if somebody has edited the list that `write` would replace."""
        require_unedited(self.folder.file(LABEL_ISSUES), self.folder.file(AUDIT))

    def write(self, frame: pd.DataFrame, cells: Cells) -> dict[str, Any]:
        """Write `label_issues.csv`, `noise_matrix.csv` and `audit.json`; returns the last one's content."""
        names, file = self.schema.label_names, self.folder.file
        write_issues(frame, file(LABEL_ISSUES))
        write_noise_matrix(cells, names, file(NOISE_MATRIX))
        content = self.summary(frame)
        write_summary(content, file(AUDIT))
        return content

    def summary(self, frame: pd.DataFrame) -> dict[str, Any]:
        """The content of `audit.json` for the table `frame`, which `label_issues.csv` holds."""
        return summary(
            self.evidence,
            self.schema.label_names,
            wrong=self._in_order(frame, "is_label_issue", bool),
            issues_file=self.folder.file(LABEL_ISSUES),
        )

    def check_apply(self, check: Callable[[Path, Path], None], output: Path) -> None:
        """Whether a cleaned copy can be written.

        Raises:
            ConfigError: an output that cannot be, or labels that were spoiled for an experiment.
            DataError: the data were not found.
        """
        if self.config.data.noise is not None:
            raise ConfigError(
                f"the run spoiled its labels itself (--noise {self.config.data.noise}), those of the file "
                "are as they were: there is nothing to clean"
            )
        check(self._found().path, output)

    def apply(self, mode: Mode, frame: pd.DataFrame, output: Path) -> Cleaned:
        """Write a cleaned copy of the data, see `gdw.audit.cleaning.apply`."""
        names = self.schema.label_names
        code = {name: k for k, name in enumerate(names)}
        return apply(
            mode,
            self._found(),
            wrong=self._in_order(frame, "is_label_issue", bool),
            suggested=self._in_order(frame, "suggested_label", np.int64, code),
            label_names=names,
            output=output,
        )

    def note_on_copy(self, output: Path) -> str:
        """What the user should know of a copy of the data at `output`, a sentence or nothing."""
        source = self._found().path
        beside = source.is_dir() or source.parent.resolve() == output.parent.resolve()
        if self.schema.kind != "image" or beside:
            return ""
        return "note: relative image paths in it start at the folder of the file: keep it beside the original"

    def _found(self) -> TrainingRows:
        if self.data is None:
            raise DataError(self.missing)
        return self.data

    def _in_order(
        self, frame: pd.DataFrame, column: str, dtype: Any, code: dict[str, int] | None = None
    ) -> NDArray[Any]:
        """A column of `frame` in the order of the training examples."""
        values = frame[column] if code is None else frame[column].map(code)
        ordered = np.empty(len(frame), dtype=dtype)
        ordered[frame["index"].to_numpy()] = values.to_numpy()
        return ordered


def _evidence(folder: RunFolder, classes: int) -> Evidence:
    path = folder.file(EVIDENCE)
    if not path.is_file():
        raise RunError(
            f"{path} does not exist: the run is not finished (go on with gdw train --resume --output "
            f"{folder.path}), or was trained by a gdw that kept no evidence (train again)"
        )
    evidence = Evidence.load(path)
    if evidence.num_classes != classes:
        raise RunError(
            f"{path} is of another run: it has {evidence.num_classes} classes, the run {classes}; train again"
        )
    return evidence
