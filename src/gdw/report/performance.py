"""How good a run's model is, from whatever the run says about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gdw.report.folder import RunParts
from gdw.train.result import last_epochs_mean


@dataclass(frozen=True)
class Performance:
    """Figures on test data, and what they were measured on, in words.

    Attributes:
        figures: `accuracy`, `balanced_accuracy`, and `nll` and `ece` where known.
        recall: of each class by name; None for a class without test examples.
        support: the test examples of each class by name; empty when not known.
        basis: what was measured, to finish the sentence "measured on ...".
    """

    figures: dict[str, float]
    recall: dict[str, float | None]
    basis: str
    support: dict[str, int] = field(default_factory=dict)


MEASURES: Mapping[str, str] = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy (mean recall of the classes)",
    "nll": "negative log-likelihood (lower is better)",
    "ece": "calibration error (lower is better)",
}


def performance(parts: RunParts) -> Performance | None:
    """From `evaluation.json`, else from the test figures in the history; None when there are neither."""
    found = parts.evaluation
    if found is not None:
        names = [str(name) for name in found["classes"]]
        where = found.get("data")
        examples = found.get("examples")
        what = "test data" if examples is None else f"{examples:,} test examples"
        return Performance(
            figures={name: found[name] for name in MEASURES if found.get(name) is not None},
            recall=dict(zip(names, found["recall"], strict=False)),
            support=dict(zip(names, found.get("support", ()), strict=False)),
            basis=what if where is None else f"{what} ({where})",
        )
    last = min(parts.config.training.last_epochs, len(parts.history))
    mean = last_epochs_mean(parts.history, last)
    if mean.get("test_accuracy") is None:
        return None
    epochs = "last epoch" if last == 1 else f"mean of the last {last} epochs"
    return Performance(
        figures={n: mean[f"test_{n}"] for n in MEASURES if mean.get(f"test_{n}") is not None},
        recall=dict(zip(parts.label_names, mean.get("test_recall") or (), strict=False)),
        basis=f"the test data named in training ({parts.config.data.test}), {epochs}",
    )
