"""One row a class: how many examples, how many look wrong, how well it is recognised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gdw.report.performance import Performance

MOST_ROWS = 100


@dataclass(frozen=True)
class ClassRow:
    """What is known of one class; None where the run does not say."""

    label: str
    examples: int | None
    wrong_share: float | None
    recall: float | None
    baseline: float | None
    support: int | None


def class_rows(
    label_names: tuple[str, ...],
    audit: Mapping[str, Any] | None,
    measured: Performance | None,
    baseline: Performance | None,
) -> list[ClassRow]:
    """All classes, those that suffer most first: by recall, or where that is unknown by wrong labels."""
    by_label = {} if audit is None else {str(row["label"]): row for row in audit["by_class"]}
    recall, support = ({}, {}) if measured is None else (measured.recall, measured.support)
    other = {} if baseline is None else baseline.recall
    rows = [
        ClassRow(
            label=name,
            examples=by_label.get(name, {}).get("examples"),
            wrong_share=by_label.get(name, {}).get("wrong_share"),
            recall=recall.get(name),
            baseline=other.get(name),
            support=support.get(name),
        )
        for name in label_names
    ]
    return sorted(rows, key=_hardship)


def _hardship(row: ClassRow) -> tuple[float, float]:
    recall = 1.0 if row.recall is None else row.recall
    return recall, -(row.wrong_share or 0.0)
