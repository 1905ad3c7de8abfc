"""The copy of the data that `gdw audit --apply` writes, with the decisions of a person if there are some."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gdw.cli.app import say

if TYPE_CHECKING:
    import pandas as pd

    from gdw.audit.assessment import Assessment
    from gdw.audit.cleaning import Mode
    from gdw.runs import RunAudit


@dataclass(frozen=True)
class Copy:
    """A copy to write.

    Attributes:
        mode: what becomes of label issues.
        output: the copy.
        listed: the file of the issues, if the user named one. Otherwise decisions of `gdw verify` count.
        checked: a person has checked `listed`.
        certified: the issues are those of a certified decision.
        force: write it also if nothing shows that it is better than the data.
    """

    mode: Mode
    output: Path
    listed: Path | None
    checked: bool
    force: bool
    certified: bool = False

    def write(self, run_audit: RunAudit, frame: pd.DataFrame, assessment: Assessment) -> None:
        """Write the copy and say what is in it.

        Args:
            run_audit: the audit.
            frame: the table of issues.
            assessment: of the computed issues.

        Raises:
            ConfigError: nothing shows that the copy would be better.
        """
        from gdw.data.verification import is_queue
        from gdw.errors import ConfigError, shown
        from gdw.runs.cleaned_copy import require_sound
        from gdw.runs.decisions import decided, decisions, described, settled

        found, checked = (
            decisions(run_audit.run) if self.listed is None else None,
            self.checked or self.certified,
        )
        # Whoever decided on each row with gdw verify knows how many of a class are wrong.
        by_person = self.listed is not None and is_queue(self.listed)
        if found is not None:
            say(described(found))
            on_issues = settled(run_audit.run, frame)
            by_person = not self.certified and on_issues is not None and not on_issues.left
            checked = self.certified or by_person
            frame = decided(run_audit, frame, found, leave_out_unclear=self.mode == "KEEP")
        if not self.force and not by_person:
            try:
                require_sound(run_audit, self.mode, frame, assessment, checked=checked)
            except ConfigError as error:
                if found is None:
                    raise
                alone = f"--issues {shown(found.queue.path)}"
                raise ConfigError(f"{error}; your decisions alone are applied by {alone}") from None
        _write(run_audit, self.mode, frame, self.output)


def _write(run_audit: RunAudit, mode: Mode, frame: pd.DataFrame, output: Path) -> None:
    from gdw.errors import counted, shown
    from gdw.runs.cleaned_copy import note_on_copy, unreadable_images

    copy = run_audit.write_copy(mode, frame, output)
    before = f" ({copy.verified_wrong:,} of them verified before the training)"
    before = before if copy.verified_wrong else ""
    changes = [f"{copy.relabelled:,} with a new label{before}"] if mode == "RELABEL" else []
    if copy.left_out or not changes:
        changes.append(f"{copy.left_out:,} left out{'' if changes else before}")
    if copy.verified_right:
        changes.append(f"{counted(copy.verified_right, 'label')} verified as right")
    broken = unreadable_images(run_audit)
    if broken:
        images = counted(broken, "image that cannot be read was", "images that cannot be read were")
        changes.append(f"{images} copied as {'it is' if broken == 1 else 'they are'}")
    if (others := copy.not_audited - copy.verified_right - broken) > 0:
        why = "they are because they were not training examples"
        why = "it is because it was not a training example" if others == 1 else why
        changes.append(f"{others:,} kept as {why}")
    say(f"{shown(output)}: {copy.written:,} rows, {', '.join(changes)}; the original is unchanged")
    if copied := note_on_copy(run_audit, output):
        say(copied)
