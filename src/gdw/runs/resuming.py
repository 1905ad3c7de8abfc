"""What must be as it was when a run is resumed: its data, and the places of its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gdw.data.verification import is_queue
from gdw.errors import RunError, counted, shown
from gdw.runs.config import RunConfig
from gdw.runs.prepared_data import CHECKSUMS, FINGERPRINT, PreparedData


def require_places(config: RunConfig, where: Path) -> None:
    """Check that relative paths in the configuration file `where` exist in the current folder."""
    for options in (config.data, config.model):
        for name in sorted(options.paths):
            place = getattr(options, name)
            if place is not None and not Path(place).is_absolute() and not Path(place).exists():
                raise RunError(
                    f"{place!r} does not exist in {Path.cwd()}: {where} names it ({name}) relative to the "
                    "folder where the run was started; resume it from that folder"
                )


def require_same_data(prepared: PreparedData, folder: Path, meta: str | None) -> None:
    """Check that `folder` holds the checksums of these data, or none.

    Args:
        prepared: the data.
        folder: of the encoder of the run.
        meta: the file of the clean examples.

    Raises:
        RunError: the checksums differ, or their file is damaged.
    """
    path = folder / FINGERPRINT
    if not path.exists():
        return
    content, sums = CHECKSUMS.read(path), prepared.fingerprint
    earlier = content.get("sha256")
    if not isinstance(earlier, dict):
        raise CHECKSUMS.damaged(path, "it has no checksums")
    changed = [name for name in {**sums, **earlier} if sums.get(name) != earlier.get(name)]
    if not changed:
        return
    if "clean" in changed and meta is not None and is_queue(meta):
        raise RunError(
            f"{folder.parent} cannot be resumed: {_answered_since(prepared, content, meta)} than when it was "
            "started, and a run goes on with those that it began with; start a new one, with another --output"
        )
    raise RunError(
        f"{folder.parent} cannot be resumed: the {' and '.join(changed)} rows or labels are not those "
        "the run was started with; restore the files, or choose another output folder"
    )


def _answered_since(prepared: PreparedData, content: Mapping[str, Any], meta: str) -> str:
    """What is other in a verification file now."""
    before, now = content.get("clean_examples"), len(prepared.clean or ())
    if not isinstance(before, int) or now <= before:
        return f"{shown(meta)} has other answers"
    return f"{shown(meta)} has {counted(now - before, 'more verified row')} ({now:,} in all)"
