"""Run folders written by hand, in the formats that `gdw train` and `gdw audit` write."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gdw.runs import DataConfig, ModelConfig, RunConfig
from gdw.runs.schema import Schema
from gdw.train import TrainConfig
from gdw.train.run_folder import RunFolder
from tests.audit.made import evidence


def run_folder(
    path: Path,
    label_names: Sequence[str],
    *,
    data: str,
    kind: str = "table",
    columns: Sequence[str] = ("weight",),
    types: dict[str, str] | None = None,
    epochs: int = 3,
    test: bool = True,
    **options: Any,
) -> Path:
    """A trained run without audit: `config.yaml`, `history.jsonl` and the schema."""
    config = RunConfig(
        DataConfig(path=data, **options), ModelConfig(), TrainConfig(epochs=epochs, method="gdw")
    )
    run = RunFolder.create(path, config.plain())
    for epoch in range(1, epochs + 1):
        record = {"epoch": epoch, "train_loss": 2 / epoch, "train_accuracy": 0.5 + epoch / 100,
                  "meta_loss": 1.5 / epoch}  # fmt: skip
        if test:
            recall = np.linspace(0.5, 0.9, len(label_names)).tolist()
            record |= {"test_accuracy": 0.7, "test_balanced_accuracy": 0.65, "test_recall": recall}
        run.append_history(record)
    (path / "encoder").mkdir()
    Schema(kind, tuple(columns), types or {}, tuple(label_names)).save(path / "encoder")
    return path


def add_issues(
    path: Path, rows: Sequence[tuple[str, str, str, float]], *, flagged_above: float = 0.5
) -> None:
    """`label_issues.csv` of `(where, given label, suggested label, score)`, in that order."""
    names = ("index", "where", "given_label", "suggested_label", "suggested_probability", "score",
             "is_label_issue", "label_quality", "predicted_label", "weight")  # fmt: skip
    with (path / "label_issues.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for rank, (where, given, suggested, score) in enumerate(rows):
            index = int(where.split()[1]) if where.startswith("row ") else rank
            given, suggested = _escaped(given), _escaped(suggested)
            flag = "true" if score > flagged_above else "false"
            writer.writerow(
                [index, where, given, suggested, 0.9, score, flag, 1 - score, suggested, 0.4]
            )


def add_noise_matrix(path: Path, label_names: Sequence[str], matrix: np.ndarray) -> None:
    """`noise_matrix.csv` of P(given | true), the entries that are not zero."""
    with (path / "noise_matrix.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("true_label", "given_label", "probability", "low", "high", "count"))
        for (true, given), p in np.ndenumerate(matrix):
            if p > 0:
                names = _escaped(label_names[true]), _escaped(label_names[given])
                writer.writerow([*names, p, max(0, p - 0.05), min(1, p + 0.05), 40])


def add_audit(
    path: Path, label_names: Sequence[str], examples: int, *, level: str | None = "supported"
) -> None:
    """`audit.json`; with `level=None` that of a version that did not judge its audits."""
    by_class = [
        {"label": name, "examples": examples // len(label_names), "wrong_share": 0.4 / (k + 1)}
        for k, name in enumerate(label_names)
    ]
    content: dict[str, Any] = {
        "format": 1,
        "examples": examples,
        "issues": examples // 5,
        "estimated_wrong_share": 0.234,
        "by_class": by_class,
        "method_of_score": "…",
    }
    if level is not None:
        content["assessment"] = {
            "level": level, "reason": f"the reason for {level}", "wrong_share": 0.234, "wrong_low": 0.2,
            "wrong_high": 0.3, "flagged_share": 0.2,
        }  # fmt: skip
    (path / "audit.json").write_text(json.dumps(content), encoding="utf-8")


def add_class_weights(path: Path, weights: np.ndarray) -> None:
    """`evidence.safetensors` of four examples, with these class-level weights."""
    c = len(weights)
    made = evidence(
        np.full((4, c), 1 / c),
        [0, 0, 0, 0],
        weights_by_label=weights.astype(np.float32),
        count_by_label=np.ones(c, dtype=np.float32),
    )
    made.save(path / "evidence.safetensors")


def add_evaluation(path: Path, label_names: Sequence[str], **figures: Any) -> None:
    content = {
        "accuracy": 0.812,
        "balanced_accuracy": 0.798,
        "nll": 0.61,
        "ece": 0.043,
        "recall": np.linspace(0.55, 0.97, len(label_names)).tolist(),
        "support": [20] * len(label_names),
        "examples": 20 * len(label_names),
        "classes": list(label_names),
        "data": "test.csv",
        "reliability": {
            "count": [0] * 5 + [5, 8, 10, 12, 15, 20, 30, 40, 60, 100],
            "confidence": [None] * 5 + [(k + 0.5) / 15 for k in range(5, 15)],
            "accuracy": [None] * 5 + [(k + 0.2) / 15 for k in range(5, 15)],
        },
        **figures,
    }
    (path / "evaluation.json").write_text(json.dumps(content), encoding="utf-8")


def noise(classes: int, *, wrong: float = 0.2) -> np.ndarray:
    """Each class carries its own label, or with probability `wrong` that of the next."""
    return (1 - wrong) * np.eye(classes) + wrong * np.roll(np.eye(classes), 1, axis=1)


def _escaped(cell: str) -> str:
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
