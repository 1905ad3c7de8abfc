"""The files of an audit: `label_issues.csv`, `duplicates.csv`, `noise_matrix.csv` and `audit.json`."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from gdw.audit.assessment import Assessment, Level
from gdw.audit.evidence import Evidence
from gdw.audit.issues import PROBLEM_COLUMNS, method_of_score
from gdw.audit.matrix import Cells
from gdw.data.text_files import escaped, unescaped
from gdw.errors import RunError, one_line
from gdw.files.documents import Document, write_atomically

if TYPE_CHECKING:
    import pandas as pd

    from gdw.audit.data_problems import DataProblems

LABEL_ISSUES = "label_issues.csv"
NOISE_MATRIX = "noise_matrix.csv"
AUDIT = "audit.json"
DUPLICATES = "duplicates.csv"

SUMMARY = Document(format=1, remedy="remove it and run gdw audit again")
"""The format of `audit.json`."""

_Share = Annotated[float, Field(ge=0, le=1)]
_Count = Annotated[int, Field(ge=0, lt=10**15)]


class _OfClass(BaseModel):
    label: str
    examples: _Count
    wrong_share: _Share | None


class _Judgement(BaseModel):
    model_config = ConfigDict(strict=True)

    level: Level
    reason: str
    wrong_low: _Share
    wrong_high: _Share


class _Leak(BaseModel):
    part: str
    among: str
    found: _Count
    differ: _Count
    examples: _Count


class _Problems(BaseModel):
    near_duplicates: _Count
    duplicate_labels_differ: _Count
    outliers: _Count
    image_problems: dict[str, _Count]
    leaks: list[_Leak]
    notes: list[str]


class Summary(BaseModel):
    """What `audit.json` must hold to be shown."""

    model_config = ConfigDict(strict=True)

    examples: _Count
    issues: _Count
    estimated_wrong_share: _Share | None
    by_class: list[_OfClass]
    assessment: _Judgement | None = None
    data_problems: _Problems | None = None


_ALL_CELLS = 100
_LEAST_COUNT = 0.5
_BYTES_AT_ONCE = 1 << 20
_TRUTHS = ("is_label_issue", "duplicate_labels_differ", "is_outlier")
_OPTIONAL_NUMBERS = ("outlier_score",)
_PAIR = ("part", "row", "where", "label")


def write_issues(frame: pd.DataFrame, path: Path) -> None:
    """Write a table of `gdw.audit.label_issues`. Cells that look like formulas are escaped."""
    safe = frame.copy(deep=False)
    for name in ("given_label", "suggested_label", "predicted_label"):
        safe[name] = frame[name].map({label: escaped(label) for label in frame[name].unique()})
    safe["where"] = [escaped(place) for place in frame["where"]]
    for name in _TRUTHS:
        if name in frame:
            safe[name] = frame[name].map({True: "true", False: "false"})
    if "near_duplicate_of" in frame:
        safe["near_duplicate_of"] = [escaped(place) for place in frame["near_duplicate_of"]]
    write_atomically(
        path, lambda file: safe.to_csv(file, index=False, float_format="%.6g", encoding="utf-8")
    )


def read_issues(path: Path) -> pd.DataFrame:
    """Read what `write_issues` wrote: names and places as str, `is_label_issue` as bool, else float64.

    `gdw.audit.edited_issues` reads tables of other origin and checks each row.

    A list of an earlier version of gdw gets the rows of today, see `gdw.audit.listed_rows.modernised`.

    Raises:
        RunError: the file is damaged.
    """
    text = ("where", "given_label", "suggested_label", "is_label_issue")
    numbers = ("index", "suggested_probability", "score")
    frame = _read_table(path, text, numbers, more=PROBLEM_COLUMNS)
    if not frame["score"].between(0, 1).all():
        raise RunError(f"{path} is damaged: a score is not between 0 and 1; run gdw audit again")
    for name in _TRUTHS:
        frame[name] = frame[name].str.lower() == "true"
    from gdw.audit.listed_rows import modernised

    return modernised(frame, path)


def write_noise_matrix(cells: Cells, label_names: Sequence[str], path: Path) -> None:
    """Write one line per entry, ordered by true class and given label.

    With more than 100 classes, entries off the diagonal with a count below 0.5 are left out.
    """
    kept = np.ones(len(cells.true), dtype=bool)
    if len(label_names) > _ALL_CELLS:
        kept = (cells.count >= _LEAST_COUNT) | (cells.true == cells.given)
    order = np.flatnonzero(kept)[np.lexsort((cells.given[kept], cells.true[kept]))]
    names = [escaped(name) for name in label_names]
    numbers = (cells.probability, cells.low, cells.high, cells.count)
    columns = [column[order].tolist() for column in (cells.true, cells.given, *numbers)]

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            out.writerow(("true_label", "given_label", "probability", "low", "high", "count"))
            for true, given, *values in zip(*columns, strict=True):
                out.writerow((names[true], names[given], *(f"{value:.6g}" for value in values)))

    write_atomically(path, write)


def read_noise_matrix(path: Path) -> pd.DataFrame:
    """Read what `write_noise_matrix` wrote: names as str, the other columns as float64.

    Raises:
        RunError: the file is damaged.
    """
    numbers = ("probability", "low", "high", "count")
    return _read_table(path, ("true_label", "given_label"), numbers)


def summary(
    evidence: Evidence,
    label_names: Sequence[str],
    cells: Cells,
    *,
    frame: pd.DataFrame,
    assessment: Assessment,
    issues_file: Path,
    problems: DataProblems | None = None,
) -> dict[str, Any]:
    """The content of `audit.json`.

    Args:
        evidence: of N examples.
        label_names: the names of the classes.
        cells: the noise matrix.
        frame: the list of issues.
        assessment: how far the audit can be trusted.
        issues_file: the `label_issues.csv` just written. Its checksum shows later whether it was edited.
        problems: what is wrong with the examples themselves; None if it is not known.
    """
    from gdw.audit.class_shares import shares_of_audit

    examples = np.bincount(evidence.given, minlength=evidence.num_classes)
    certified, shares = shares_of_audit(evidence, cells, frame)
    return {
        "examples": len(evidence),
        "issues": int(frame["is_label_issue"].sum()),
        "estimated_wrong_share": assessment.wrong_share if certified is None else certified,
        "assessment": assessment.plain(),
        "by_class": [
            {"label": name, "examples": int(count), "wrong_share": float(share)}
            for name, count, share in zip(label_names, examples, shares, strict=True)
        ],
        "method_of_score": method_of_score(evidence),
        "label_issues_sha256": _checksum(issues_file),
        "data_problems": None if problems is None else problems.figures(),
    }


def is_unedited(issues_file: Path, summary_file: Path) -> bool | None:
    """Whether a list is, byte by byte, the one of the audit with this `audit.json`; None if it is not known.

    Raises:
        RunError: `audit.json` is damaged or newer.
    """
    if not summary_file.exists():
        return None
    earlier = SUMMARY.read(summary_file).get("label_issues_sha256")
    return None if earlier is None else bool(earlier == _checksum(issues_file))


def require_unedited(issues_file: Path, summary_file: Path) -> None:
    """Check that the list of an earlier audit can be overwritten.

    Raises:
        RunError: somebody edited the list after the audit, or `audit.json` is damaged or newer.
    """
    if issues_file.exists() and is_unedited(issues_file, summary_file) is False:
        raise RunError(
            f"{issues_file} was edited after the last audit and would be overwritten: use it with "
            f"--issues {issues_file}, or move it away"
        )


def _checksum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BYTES_AT_ONCE):
            digest.update(block)
    return digest.hexdigest()


def _read_table(
    path: Path, text: tuple[str, ...], numbers: tuple[str, ...], more: tuple[str, ...] = ()
) -> pd.DataFrame:
    """A table with the columns `text`, `numbers` and `more`, which are empty if the file lacks them."""
    import pandas as pd

    optional = [name for name in more if name in _OPTIONAL_NUMBERS]
    values = (*numbers, *optional)
    texts = (*text, *(name for name in more if name not in optional))
    try:
        # A class may be called "NA" or "null": only numbers can be missing.
        frame = pd.read_csv(
            path,
            dtype={**dict.fromkeys(texts, "str"), **dict.fromkeys(values, "float64")},
            keep_default_na=False,
            na_values={name: ["", "nan", "NaN"] for name in values},
            encoding="utf-8",
        )
    except (ValueError, OSError) as error:
        raise RunError(f"{path} is damaged ({one_line(error)}): run gdw audit again") from None
    missing = [name for name in (*text, *numbers) if name not in frame.columns]
    if missing:
        raise RunError(
            f"{path} is damaged: it has no column {missing[0]!r}; run gdw audit again to replace it"
        )
    for name in more:
        if name not in frame:
            frame[name] = float("nan") if name in optional else ""
    for name in texts:
        frame[name] = frame[name].map(unescaped)
    return frame


def write_duplicates(rows: Iterable[Sequence[Any]], path: Path) -> None:
    """Write `duplicates.csv`: pairs of near-duplicates, most similar first.

    Args:
        rows: for both examples of a pair the part, the row in its file, both in words and the label; the
            similarity; and whether the labels differ.
        path: the file.
    """

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            others = [f"other_{name}" for name in _PAIR]
            out.writerow((*_PAIR, *others, "similarity", "labels_differ"))
            out.writerows([escaped(str(cell)) for cell in row] for row in rows)

    write_atomically(path, write)


def read_duplicates(path: Path) -> pd.DataFrame:
    """Read what `write_duplicates` wrote: texts as str, numbers as float64, `labels_differ` as bool.

    Raises:
        RunError: the file is damaged.
    """
    texts = [f"{side}{name}" for side in ("", "other_") for name in _PAIR if name != "row"]
    numbers = ("row", "other_row", "similarity")
    frame = _read_table(path, (*texts, "labels_differ"), numbers)
    frame["labels_differ"] = frame["labels_differ"].str.lower() == "true"
    return frame
