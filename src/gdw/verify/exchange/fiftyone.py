"""A folder in the form `FiftyOneImageClassificationDataset`, as the documents of FiftyOne describe it."""

from __future__ import annotations

import json
from pathlib import Path

from gdw.data.rows import Rows
from gdw.data.verification import Verification
from gdw.errors import ConfigError, DataError, shown
from gdw.files.documents import write_text_atomically
from gdw.verify.examples import LARGE, Examples
from gdw.verify.exchange.found import Found

_LABELS = "labels.json"


def export(path: Path, verification: Verification, rows: Rows, *, show_given: bool) -> list[Path]:
    """Write the pictures into `data/`, named by their rows, and the verified labels into `labels.json`.

    Args:
        path: the folder, which must be new or empty.
        verification: the rows and answers.
        rows: the data.
        show_given: must be false: a label of the data would look like a verified one.

    Returns:
        The folder.

    Raises:
        ConfigError: the rows are no pictures, `show_given` is true, or the folder has files.
        DataError: a picture cannot be read.
    """
    queue = verification.queue
    if queue.kind != "image":
        raise ConfigError(
            f"FiftyOne shows images, and these rows are {queue.kind} data: export to a .json or .csv file"
        )
    if show_given:
        raise ConfigError(
            "FiftyOne keeps one label for each image: that of the data would come back as a verified one; "
            "leave --show-given out, or export to a .json or .csv file"
        )
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(f"{shown(path)} exists already: name a new folder")
    (path / "data").mkdir(parents=True, exist_ok=True)
    examples = Examples(rows, queue, queue.candidates)
    code = {name: k for k, name in enumerate(queue.label_names)}
    labels: dict[str, int | None] = {}
    for n, outcome in enumerate(verification.outcomes):
        content, kind = examples.picture(n, None, LARGE)
        name = str(outcome.candidate.index)
        (path / "data" / f"{name}.{kind.rpartition('/')[2]}").write_bytes(content)
        labels[name] = None if outcome.label is None else code[outcome.label]
    content_of_file = {"classes": list(queue.label_names), "labels": labels}
    write_text_atomically(path / _LABELS, json.dumps(content_of_file, ensure_ascii=False, indent=1))
    return [path]


def read(path: Path, found: Found) -> None:
    """Add the labels of a folder in this form, whose pictures are named by rows of the data.

    The folder does not say whose labels these are, so that only labels that `export` did not write are new.

    Raises:
        DataError: the folder is no such export, or is about other rows.
    """
    file = path / _LABELS
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        classes, labels = content["classes"], dict(content["labels"])
        for name, target in labels.items():
            if target is None:
                found.unanswered += 1
                continue
            label = (
                str(target) if classes is None or isinstance(target, str) else str(classes[target])
            )
            if not found.is_known(name, label):
                found.add(f"{name!r} of {shown(file)}", name, "label", [label])
    except (OSError, ValueError, LookupError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"cannot read {shown(file)} as labels of FiftyOne: {error}") from None
