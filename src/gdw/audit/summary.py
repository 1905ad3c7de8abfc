"""`noise_matrix.csv`, `audit.json` and the figures of an audit in short."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.audit.evidence import Evidence
from gdw.audit.matrix import Cells
from gdw.audit.scoring import method_of_score
from gdw.errors import RunError
from gdw.files.atomic import write_atomically, write_text_atomically
from gdw.files.formula import escaped

NOISE_MATRIX = "noise_matrix.csv"
AUDIT = "audit.json"
FORMAT = 1

_ALL_CELLS = 100
_LEAST_COUNT = 0.5
_BYTES_AT_ONCE = 1 << 20


def write_noise_matrix(cells: Cells, label_names: Sequence[str], path: Path) -> None:
    """Write one line an entry, by true and then given class.

    Up to 100 classes every entry that anything was counted for; beyond, the diagonal and those that half
    an example or more was counted for.
    """
    kept = np.ones(len(cells.true), dtype=bool)
    if len(label_names) > _ALL_CELLS:
        kept = (cells.count >= _LEAST_COUNT) | (cells.true == cells.given)
    order = np.flatnonzero(kept)[np.lexsort((cells.given[kept], cells.true[kept]))]
    names = [escaped(name) for name in label_names]

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            out.writerow(("true_label", "given_label", "probability", "low", "high", "count"))
            columns = (
                cells.true,
                cells.given,
                cells.probability,
                cells.low,
                cells.high,
                cells.count,
            )
            for k, j, *values in zip(*(c[order].tolist() for c in columns), strict=True):
                out.writerow((names[k], names[j], *(f"{value:.6g}" for value in values)))

    write_atomically(path, write)


def summary(
    evidence: Evidence,
    label_names: Sequence[str],
    *,
    wrong: NDArray[np.bool_],
    issues_file: Path,
) -> dict[str, Any]:
    """The contents of `audit.json`; `wrong` `(N,)` says which examples are issues, in their order.

    `issues_file` is the list just written: its sum tells later whether somebody has edited it.
    """
    examples = np.bincount(evidence.given, minlength=evidence.num_classes)
    issues = np.bincount(evidence.given, wrong, minlength=evidence.num_classes)
    share = issues / np.maximum(examples, 1)
    return {
        "format": FORMAT,
        "examples": len(evidence),
        "issues": int(wrong.sum()),
        "estimated_wrong_share": float(wrong.mean()),
        "by_class": [
            {"label": name, "examples": int(n), "wrong_share": float(part)}
            for name, n, part in zip(label_names, examples, share, strict=True)
        ],
        "method_of_score": method_of_score(evidence),
        "label_issues_sha256": _sum(issues_file),
    }


def write_summary(content: dict[str, Any], path: Path) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=1)
    write_text_atomically(path, text)


def require_unedited(issues_file: Path, summary_file: Path) -> None:
    """`RunError` if the list of an earlier audit has been edited since: its work would be lost."""
    if not issues_file.exists() or not summary_file.exists():
        return
    try:
        content = json.loads(summary_file.read_text(encoding="utf-8"))
        number, earlier = int(content["format"]), content.get("label_issues_sha256")
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise RunError(f"{summary_file} is damaged ({error}): remove it and audit again") from error
    if number > FORMAT:
        raise RunError(f"{summary_file} has format {number}, this gdw writes {FORMAT}: upgrade gdw")
    if earlier is not None and earlier != _sum(issues_file):
        raise RunError(
            f"{issues_file} was edited after the last audit and would be overwritten: use it with "
            f"--issues {issues_file}, or move it away"
        )


def _sum(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BYTES_AT_ONCE):
            digest.update(block)
    return digest.hexdigest()
