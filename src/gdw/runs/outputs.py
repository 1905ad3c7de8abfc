"""Checks where a file about a run may be written: never over the run or its training data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from gdw.audit.audit_files import AUDIT, DUPLICATES, LABEL_ISSUES, NOISE_MATRIX
from gdw.audit.evidence import EVIDENCE
from gdw.errors import ConfigError, shown
from gdw.files.outputs import Place, output_file
from gdw.runs.figures import EVALUATION
from gdw.runs.run import ENCODER, Run
from gdw.runs.skipped_images import SKIPPED
from gdw.train.run_folder import CHECKPOINTS, CONFIG, HISTORY, MODEL

REPORT = "report.html"

_OWN = (
    CONFIG, HISTORY, CHECKPOINTS, MODEL, ENCODER, EVIDENCE, EVALUATION, AUDIT, LABEL_ISSUES, NOISE_MATRIX,
    REPORT, SKIPPED, DUPLICATES,
)  # fmt: skip


class NotKeptWarning(UserWarning):
    """A result could not be written into its run folder."""


def output_of_run(
    run: Run,
    path: Place | None,
    *,
    suffixes: Sequence[str] = (),
    reads: Iterable[Place | None] = (),
    force: bool = False,
) -> AbstractContextManager[None]:
    """As `gdw.files.outputs.output_file`, for a command that reads `run`.

    Raises:
        ConfigError: also for the files of the run, whether they exist or not.
    """
    data, model = run.data_config, run.model_config
    trained_on = [getattr(data, name) for name in sorted(data.paths)]
    if path is not None:
        inside = Path(path).absolute().parent.resolve() == run.path.resolve()
        if inside and Path(path).name.lower() in _OWN:
            raise ConfigError(f"{shown(path)} is a file of the run itself: choose another name")
    own = [run.folder.file(name) for name in _OWN]
    known = [*reads, *own, *trained_on, model.weights]
    return output_file(path, suffixes=suffixes, reads=known, force=force)
