"""What the page needs so that a reader can decide on its doubtful examples and save the decisions."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdw.data.text_files import escaped
from gdw.errors import RunError
from gdw.runs.run import Run

if TYPE_CHECKING:
    import pandas as pd

    from gdw.runs.decisions import Settled

REVIEWED = "label_issues_reviewed.csv"
"""The file that the page saves, by default in the browser's folder of downloads."""


@dataclass(frozen=True)
class Review:
    """The decisions that a page offers.

    Attributes:
        content: the examples and the names of the classes as JSON, for the page's script. The cells of the
            file to save are escaped already, so that the script only adds quotes.
        file: the name of the file that the page saves.
        command: the line that applies the file.
    """

    content: str
    file: str
    command: str


def review(
    run: Run, top: pd.DataFrame, *, data: str | None, decided: Settled | None = None
) -> Review | None:
    """The decisions for the examples in `top`, the first rows of the list of issues.

    Args:
        run: the run.
        top: rows of `run.issues`.
        decided: what a person has decided with `gdw verify`: the page begins with it.
        data: where the training data are now, if they were moved.

    Returns:
        None if the labels cannot be corrected in the data, because the run changed them itself.

    Raises:
        RunError: a row has no index.
    """
    if run.data_config.noise is not None:
        return None
    if not top["index"].notna().all():
        raise RunError(
            f"{run.path} has a list of issues with a row without index: run gdw audit again"
        )
    # A list that somebody edited may have labels that are no classes: gdw audit will say so.
    names = list(dict.fromkeys([*run.label_names, *top["given_label"], *top["suggested_label"]]))
    code = {name: k for k, name in enumerate(names)}
    content = {
        "key": _key(run),
        "file": REVIEWED,
        "names": names,
        "cells": [escaped(name) for name in names],
        "rows": [_example(row, code, decided) for row in top.to_dict("records")],
    }
    # All characters are ASCII, so that no parser of HTML changes a line break in a name.
    return Review(json.dumps(content), REVIEWED, apply_command(run, data=data))


def apply_command(run: Run, *, data: str | None) -> str:
    """The line that writes a copy of the data with the decisions."""
    moved = [] if data is None else ["--data", data]
    words = ["gdw", "audit", str(run.path), *moved, "--issues", REVIEWED, "--apply", "RELABEL"]
    return shlex.join([*words, "--output", cleaned_name(data or run.data_config.path)])


def cleaned_name(data: str) -> str:
    """A name for a cleaned copy, beside the data."""
    path = Path(data)
    return str(path.with_name(f"{path.stem}-cleaned{path.suffix}"))


def _key(run: Run) -> str:
    """What the decisions are stored under in the browser, which may show the pages of many runs."""
    place = f"{run.path.resolve()}\n{run.data_config.path}"
    return "gdw-review-" + hashlib.sha256(place.encode()).hexdigest()[:24]


def _example(row: Mapping[Any, Any], code: Mapping[str, int], decided: Settled | None) -> list[Any]:
    label = None if decided is None else decided.label(int(row["index"]))
    # A row without a clear class keeps its label, as in `gdw audit --apply RELABEL`.
    choice = None if label is None else code.get(label or row["given_label"])
    return [
        int(row["index"]),
        escaped(str(row["where"])),
        code[row["given_label"]],
        code[row["suggested_label"]],
        f"{row['score']:.6g}",
        bool(row["is_label_issue"]),
        choice,
    ]
