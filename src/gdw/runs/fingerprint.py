"""Whether a resumed run is about to train on the rows and labels it was started with."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from gdw.data.source import Source
from gdw.errors import RunError
from gdw.files.atomic import write_text_atomically

FINGERPRINT = "data.json"
_FORMAT = 1


def fingerprint(train: Source, clean: Source | None) -> dict[str, str]:
    """SHA-256 sums of what is learned from: row numbers, class names and labels (after noise).

    The features are not in it: reading all of them again would take as long as preparing them.
    """
    sums = {"training": _sum(train)}
    return sums if clean is None else {**sums, "clean": _sum(clean)}


def save_fingerprint(sums: Mapping[str, str], folder: Path) -> None:
    """Write `data.json` into `folder`."""
    text = json.dumps({"format": _FORMAT, "sha256": dict(sums)}, indent=1)
    write_text_atomically(folder / FINGERPRINT, text)


def require_same_data(sums: Mapping[str, str], folder: Path) -> None:
    """`RunError` if `folder` holds other sums than these, or damaged ones; none at all is no fault."""
    path = folder / FINGERPRINT
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        number, earlier = int(content["format"]), dict(content["sha256"])
    except FileNotFoundError:
        return
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise RunError(f"{path} is damaged ({error}): start the run again") from error
    if number > _FORMAT:
        raise RunError(f"{path} has format {number}, this gdw reads up to {_FORMAT}: upgrade gdw")
    changed = [name for name in {**sums, **earlier} if sums.get(name) != earlier.get(name)]
    if changed:
        raise RunError(
            f"{folder.parent} cannot be resumed: the {' and '.join(changed)} rows or labels are not those "
            "the run was started with; restore the files, or choose another output folder"
        )


def _sum(source: Source) -> str:
    assert source.labels is not None, "loaded with a label column"
    digest = hashlib.sha256(json.dumps([len(source), *source.label_names]).encode())
    for values in (source.row_numbers, source.labels):
        digest.update(values.astype("<i8").tobytes())
    return digest.hexdigest()
