"""The figures of a cell that tables and pictures show."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Metric:
    """A value of `result.json` and how tables show it."""

    name: str
    title: str
    scale: float
    digits: int
    higher_is_better: bool | None
    note: str = ""


METRICS = (
    Metric("accuracy", "Test accuracy, %", 100, 1, True),
    Metric("balanced_accuracy", "Balanced accuracy, %", 100, 1, True),
    Metric(
        "detection_auroc",
        "Detection of wrong labels, AUROC",
        1,
        3,
        True,
        "Each example has the score of gdw audit. With cleanlab pruning it has cleanlab's own score: 1 − the "
        "out-of-fold probability of the given label.",
    ),
    Metric("detection_precision", "Detection of wrong labels, average precision", 1, 3, True),
    Metric("wrong_answers_doubted", "Wrong answers of a person that are in doubt, %", 100, 0, True),
    Metric(
        "right_answers_doubted", "Right answers of a person that are in doubt, %", 100, 0, False
    ),
    Metric("nll", "Negative log-likelihood on the test set", 1, 3, False),
    Metric("ece", "Calibration error (ECE) on the test set, %", 100, 1, False),
    Metric("seconds", "Seconds per run, with preparation and evaluation", 1, 0, None),
    Metric("step_milliseconds", "Milliseconds per training step", 1, 1, None),
    Metric("peak_memory", "Most memory of tensors on the GPU, MB", 1e-6, 0, None),
    Metric("sittings", "Sittings per run", 1, 0, None),
)
