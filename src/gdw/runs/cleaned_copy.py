"""What to check before a cleaned copy of the data of a run is written, and what to know about it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gdw.audit.assessment import Assessment, classes_that_shrink
from gdw.audit.audit_files import LABEL_ISSUES
from gdw.audit.cleaning import Mode, check_output
from gdw.audit.issues import REMOVED
from gdw.errors import ConfigError, shortened
from gdw.runs.auditing import RunAudit
from gdw.runs.skipped_images import count_skipped

if TYPE_CHECKING:
    import pandas as pd

_SHOWN_CLASSES = 4
_MODES: Mapping[str, tuple[Mode, ...]] = {"supported": ("RELABEL", "KEEP"), "unproven": ("KEEP",)}


def check_copy(audit: RunAudit, output: Path) -> None:
    """Check that a cleaned copy of the data can be written to `output`.

    Raises:
        ConfigError: `output` cannot be written, or the run changed the labels itself for an experiment.
        DataError: the training data were not found.
    """
    noise = audit.run.data_config.noise
    if noise is not None:
        raise ConfigError(
            f"the run spoiled its labels itself (--noise {noise}) and did not change those of the file: "
            "there is nothing to clean"
        )
    check_output(audit.require_rows().path, output)


def unreadable_images(audit: RunAudit) -> int:
    """The number of images in the training data that the run left out because they cannot be read."""
    return count_skipped(audit.run.data_config.path, audit.run.path)


def note_on_copy(audit: RunAudit, output: Path) -> str:
    """A sentence about relative image paths if they may break in a copy at `output`, else ""."""
    source = audit.require_rows().path
    same_folder = source.is_dir() or source.parent.resolve() == output.parent.resolve()
    if audit.run.schema.kind != "image" or same_folder:
        return ""
    return (
        "note: relative image paths in the copy start at its own folder: move it into the folder of the "
        "original"
    )


def mode_to_propose(frame: pd.DataFrame, level: str | None) -> Mode | None:
    """The mode of a copy that `require_sound` lets pass, the better one first; None if there is none.

    Args:
        frame: the table of `issues`.
        level: of the assessment of it; None if an earlier version of gdw made the audit.
    """
    modes = _MODES.get(level or "unproven", ())
    return next((mode for mode in modes if not _lost_classes(mode, frame)), None)


def require_sound(
    audit: RunAudit, mode: Mode, frame: pd.DataFrame, assessment: Assessment, *, checked: bool
) -> None:
    """Check that a cleaned copy is likely to be better than the data.

    Args:
        audit: of the run.
        mode: as for `RunAudit.write_copy`.
        frame: the table of `issues` or `edited_issues`.
        assessment: of `issues`.
        checked: a person has checked `frame`.

    Raises:
        ConfigError: nothing shows that the suggestions are better than the labels, or a class would lose
            more than a third of its rows.
    """
    if not checked and not assessment.allows(mode):
        raise ConfigError(
            f"no copy is written: {assessment.reason}. "
            f"{_remedy(audit.run.path, frame, assessment)}. To write it all the same, use --force"
        )
    small = _lost_classes(mode, frame)
    if small:
        raise ConfigError(
            "no copy is written: more than a third of the rows of a class would be lost. Kept would be: "
            f"{shortened(small, _SHOWN_CLASSES)} rows. Check these rows in "
            f"{'the list' if checked else LABEL_ISSUES}; to write the copy all the same, use --force"
        )


def _lost_classes(mode: Mode, frame: pd.DataFrame) -> list[str]:
    """The classes that would lose more than a third of their rows in a copy, in words."""
    columns = [frame[name].to_numpy(dtype=str) for name in ("given_label", "suggested_label")]
    names, codes = np.unique(np.concatenate(columns), return_inverse=True)
    given, suggested = codes.reshape(2, -1)
    wrong = frame["is_label_issue"].to_numpy(dtype=bool)
    removed = wrong if mode == "KEEP" else np.zeros_like(wrong)
    if mode == "RELABEL" and REMOVED in frame:
        removed = frame[REMOVED].to_numpy(dtype=bool)
    kept = np.where(wrong, suggested, given)[~removed]
    return classes_that_shrink(given, kept, tuple(names.tolist()))


def _remedy(run: Path, frame: pd.DataFrame, assessment: Assessment) -> str:
    """What to do in place of a copy that is not sound: nothing that would be refused itself."""
    leave_out = mode_to_propose(frame, assessment.level) == "KEEP"
    remedy = assessment.remedy.replace("RUN", shlex.quote(str(run)))
    return f"{remedy}, or leave the rows out with KEEP" if leave_out else remedy
