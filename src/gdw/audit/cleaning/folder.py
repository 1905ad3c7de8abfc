"""A folder of class folders: images are copied, relabelled ones into the folder of their new class."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from gdw.audit.cleaning.plan import Plan
from gdw.errors import DataError
from gdw.files.wording import shown


def copy_folder(plan: Plan, paths: Sequence[Path], output: Path) -> None:
    """Copy the images at `paths`, relative to the source and one a row, to the new folder `output`.

    A relabelled image whose name is taken in its new class gets the old class into its name. The folder
    appears whole or not at all. `DataError` for a name that would lead out of it.
    """
    plan.require_all(len(paths))
    targets = _targets(plan, paths)
    temporary = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}.", suffix=".tmp"))
    try:
        for row, target in targets.items():
            place = temporary / target
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(plan.source / paths[row], place)
        temporary.chmod(plan.source.stat().st_mode & 0o777)
        temporary.rename(output)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _targets(plan: Plan, paths: Sequence[Path]) -> dict[int, Path]:
    """The new relative path of each row to copy."""
    targets = {row: paths[row] for row in range(len(paths)) if plan.keep[row]}
    # Some file systems take upper and lower case for the same.
    taken = {_folded(path) for row, path in targets.items() if row not in plan.relabel}
    for row, label in plan.relabel.items():
        old = paths[row]
        target = Path(label, *old.parts[1:])
        if target.is_absolute() or ".." in target.parts or len(Path(label).parts) != 1:
            raise DataError(
                f"the label {label!r} is no name of a folder: {shown(old)} stays unwritten"
            )
        number = 0
        while _folded(target) in taken:
            number += 1
            more = f"-from-{old.parts[0]}" + (f"-{number}" if number > 1 else "")
            target = Path(label, *old.parts[1:-1], f"{old.stem}{more}{old.suffix}")
        taken.add(_folded(target))
        targets[row] = target
    return targets


def _folded(path: Path) -> bytes:
    return os.fsencode(path).lower()
