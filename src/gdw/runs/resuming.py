"""What must be as it was when a run is resumed: its data, and the places of its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gdw.errors import RunError
from gdw.runs.config import RunConfig
from gdw.runs.prepared_data import CHECKSUMS, FINGERPRINT


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


def require_same_data(sums: Mapping[str, str], folder: Path) -> None:
    """Check that `folder` holds the same checksums, or none.

    Raises:
        RunError: the checksums differ, or their file is damaged.
    """
    path = folder / FINGERPRINT
    if not path.exists():
        return
    earlier = CHECKSUMS.read(path).get("sha256")
    if not isinstance(earlier, dict):
        raise CHECKSUMS.damaged(path, "it has no checksums")
    changed = [name for name in {**sums, **earlier} if sums.get(name) != earlier.get(name)]
    if changed:
        raise RunError(
            f"{folder.parent} cannot be resumed: the {' and '.join(changed)} rows or labels are not those "
            "the run was started with; restore the files, or choose another output folder"
        )
