"""How good the model of a run is, in all and for each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gdw.runs.run import Run
from gdw.train.history import last_epochs_mean

MOST_ROWS = 100

MEASURES: Mapping[str, str] = {
    "accuracy": "accuracy: share of correct predictions",
    "balanced_accuracy": "balanced accuracy: every class counts the same",
    "nll": "loss: mean negative log-likelihood (lower is better)",
    "ece": "mean distance between confidence and accuracy (lower is better)",
}


@dataclass(frozen=True)
class Performance:
    """Figures on test data.

    Attributes:
        figures: `accuracy`, `balanced_accuracy`, and `nll` and `ece` if known.
        recall: by name of the class; None for a class without test examples.
        basis: what was measured, as the end of the sentence "measured on ...".
        support: the number of test examples by name of the class; empty if unknown.
    """

    figures: dict[str, float]
    recall: dict[str, float | None]
    basis: str
    support: dict[str, int] = field(default_factory=dict)


def performance(run: Run) -> Performance | None:
    """The figures in `evaluation.json`, else the test figures in the history; None if there are neither."""
    if run.evaluation is not None:
        return _of_evaluation(run.evaluation)
    return _of_history(run)


def _of_evaluation(evaluation: Mapping[str, Any]) -> Performance:
    names = [str(name) for name in evaluation["classes"]]
    data, examples = evaluation.get("data"), evaluation.get("examples")
    tested = "test data" if examples is None else f"{examples:,} test examples"
    return Performance(
        figures=_known({name: evaluation.get(name) for name in MEASURES}),
        recall=dict(zip(names, evaluation["recall"], strict=False)),
        support=dict(zip(names, evaluation.get("support", ()), strict=False)),
        basis=tested if data is None else f"{tested} ({data})",
    )


def _of_history(run: Run) -> Performance | None:
    last = min(run.config.training.last_epochs, len(run.history))
    mean = last_epochs_mean(run.history, last)
    if mean.get("test_accuracy") is None:
        return None
    epochs = "last epoch" if last == 1 else f"mean of the last {last} epochs"
    named = "" if run.data_config.test is None else f" ({run.data_config.test})"
    return Performance(
        figures=_known({name: mean.get(f"test_{name}") for name in MEASURES}),
        recall=dict(zip(run.label_names, mean.get("test_recall") or (), strict=False)),
        basis=f"the test data of the training{named}, {epochs}",
    )


def _known(figures: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if value is not None}


@dataclass(frozen=True)
class ClassRow:
    """The figures of one class; None if unknown."""

    label: str
    examples: int | None
    wrong_share: float | None
    recall: float | None
    baseline: float | None
    support: int | None


def class_rows(
    run: Run, measured: Performance | None, baseline: Performance | None
) -> list[ClassRow]:
    """The figures of all classes: lowest recall first or, if that is unknown, most wrong labels first."""
    audited = {} if run.audit is None else {str(row["label"]): row for row in run.audit["by_class"]}
    recall, support = ({}, {}) if measured is None else (measured.recall, measured.support)
    other = {} if baseline is None else baseline.recall
    rows = [
        ClassRow(
            label=name,
            examples=audited.get(name, {}).get("examples"),
            wrong_share=audited.get(name, {}).get("wrong_share"),
            recall=recall.get(name),
            baseline=other.get(name),
            support=support.get(name),
        )
        for name in run.label_names
    ]
    return sorted(rows, key=_worst_first)


def _worst_first(row: ClassRow) -> tuple[float, float]:
    recall = 1.0 if row.recall is None else row.recall
    return recall, -(row.wrong_share or 0.0)
