"""Run one cell of a grid: start its training or continue it, and write `result.json`."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from gdw.audit.evidence import EVIDENCE, Evidence
from gdw.data.source import Source
from gdw.errors import GDWError
from gdw.experiments.answer_check import AnswerCheck
from gdw.experiments.contender_run import contender_figures
from gdw.experiments.cost import Stopwatch, cost, describe_hardware
from gdw.experiments.detection import (
    auroc,
    average_precision,
    detection_score,
    true_labels,
    wrong_labels,
)
from gdw.experiments.grid_folder import DOCUMENT, RESULT, read_cell
from gdw.experiments.weight_diary import WeightDiary, diary_of
from gdw.files.documents import finite_or_null
from gdw.runs import RunConfig, Training
from gdw.runs.config import DataConfig
from gdw.runs.prepared_data import PreparedData
from gdw.train.output import FitResult
from gdw.train.run_folder import CHECKPOINTS, CONFIG
from gdw.train.threads import use_threads

_MACHINE = ("gdw", "torch", "python", "processor", "threads", "system", "card")
_TEST_METRICS = ("accuracy", "balanced_accuracy", "nll", "ece")


@dataclass(frozen=True)
class CellOutcome:
    """How a cell ended.

    Attributes:
        error: why it failed; None if it did not.
        detail: the traceback of an unexpected error.
        interrupted: whether a signal stopped it; it can be continued.
    """

    error: str | None = None
    detail: str = ""
    interrupted: bool = False


def run_cell(folder: Path) -> CellOutcome:
    """Run the cell in `folder`; an error is returned, so that the other cells can run."""
    try:
        return CellOutcome(interrupted=not train_cell(folder))
    except GDWError as error:
        return CellOutcome(str(error))
    except Exception as error:  # noqa: BLE001 - hundreds of other cells are waiting
        return CellOutcome(f"{type(error).__name__}: {error}", traceback.format_exc())


def train_cell(folder: Path) -> bool:
    """Train the cell that `folder` describes to its end; epochs that are done are not trained again.

    Returns:
        False if a signal to stop arrived, also if the cell was finished by then.

    Raises:
        GDWError: as `gdw.runs.Training`.
    """
    task = read_cell(folder)
    if task["threads"] is not None:
        use_threads(task["threads"])
    if task.get("contender") is not None:
        DOCUMENT.write(folder / RESULT, finite_or_null(_contender_summary(task)))
        return True
    stopwatch = Stopwatch()
    training = Training(RunConfig.parse(task["config"]), folder, resume=(folder / CONFIG).is_file())
    prepared, checks = _answered(task, training, training.prepare())
    model = training.build_model(prepared)
    diary = _diary(task, training.config.data, prepared.source)
    result = training.fit(prepared, model, callbacks=[stopwatch, *diary, *checks])
    if result.interrupted:
        return False
    of_run = {
        **_summary(task, training, prepared, model, result),
        **cost(result.history, stopwatch.sittings),
        **diary_of(result.history),
        **{name: figure for check in checks for name, figure in check.figures.items()},
    }
    DOCUMENT.write(folder / RESULT, finite_or_null(of_run))
    # Checkpoints serve only to continue; those of hundreds of cells would fill the disk.
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    # The cell is done, but a signal in its last epoch was meant for the whole grid.
    return not result.signalled


def _answered(
    task: dict[str, Any], training: Training, prepared: PreparedData
) -> tuple[PreparedData, list[AnswerCheck]]:
    """The data with what a person has verified, if the protocol has somebody verify, and what checks it."""
    if task.get("answers") is None:
        return prepared, []
    from gdw.experiments.answers import Answers

    config, answers = training.config, Answers(**task["answers"])
    seed = config.training.seed
    answered, wrong = answers.given(prepared, config.data, truth=task["truth"], seed=seed)
    return answered, [AnswerCheck(wrong)]


def _diary(task: dict[str, Any], options: DataConfig, source: Source) -> list[WeightDiary]:
    """What records the weights, if the protocol asks for it and true labels are known."""
    if not task.get("records_weights"):
        return []
    label = source.rows.resolve_label(options.label)
    noisy = options.noise is not None
    found = true_labels(source, truth=task["truth"], label=label, noisy=noisy)
    return [] if found is None else [WeightDiary(*found)]


def _summary(
    task: dict[str, Any],
    training: Training,
    prepared: PreparedData,
    model: nn.Module,
    result: FitResult,
) -> dict[str, Any]:
    """The content of `result.json`; metrics on the test set are means over the last epochs."""
    history, method = result.history, training.config.training.method
    return {
        **{name: result.final[f"test_{name}"] for name in _TEST_METRICS},
        "averaged_epochs": result.averaged_epochs,
        "curve": [record["test_accuracy"] for record in history],
        **_of_data(task, prepared),
        **_detection(
            task,
            training.config.data,
            prepared.source,
            lambda: detection_score(Evidence.load(training.output / EVIDENCE), method),
        ),
        "parameters": sum(p.numel() for p in model.parameters()),
        "model": training.model_name(prepared),
    }


def _contender_summary(task: dict[str, Any]) -> dict[str, Any]:
    """The same for a method that trains no network: it has one epoch."""
    config, began = RunConfig.parse(task["config"]), time.perf_counter()
    figures, prepared, left_out = contender_figures(task["contender"], config)
    given = prepared.source.known_labels
    doubt = 1 - left_out[np.arange(len(given)), given]
    return {
        **{name: figures[name] for name in (*_TEST_METRICS, "training_seconds")},
        "averaged_epochs": 1,
        "curve": [figures["accuracy"]],
        **_of_data(task, prepared),
        **_detection(task, config.data, prepared.source, lambda: doubt),
        **_certificates(task, config, prepared.source, left_out),
        "seconds": time.perf_counter() - began,
        "parameters": 0,
        "model": task["contender"]["name"],
    }


def _certificates(
    task: dict[str, Any], config: RunConfig, source: Source, left_out: NDArray[np.float64]
) -> dict[str, float]:
    """How often certificates hold, if the protocol asks for it and all true labels are known."""
    if task.get("certificates") is None:
        return {}
    from gdw.experiments.certificates import certificate_figures, scores_of

    label, noisy = source.rows.resolve_label(config.data.label), config.data.noise is not None
    found = true_labels(source, truth=task["truth"], label=label, noisy=noisy)
    if found is None or len(found[0]) < len(source):
        return {}
    scores = scores_of(source.known_labels, found[1], left_out)
    return certificate_figures(scores, task["certificates"], seed=config.training.seed)


def _of_data(task: dict[str, Any], prepared: PreparedData) -> dict[str, Any]:
    machine = describe_hardware()
    return {
        "cell": task["cell"],
        "train_examples": len(prepared.source),
        "clean_examples": 0 if prepared.meta is None else len(prepared.meta),
        "test_examples": 0 if prepared.test is None else len(prepared.test),
        "machine": {name: machine[name] for name in _MACHINE if name in machine},
    }


def _detection(
    task: dict[str, Any],
    options: DataConfig,
    source: Source,
    doubt: Callable[[], NDArray[np.float64]],
) -> dict[str, float | None]:
    """How well `doubt`, a score `(N,)`, finds the wrong labels, and their share; None where unknown."""
    known_and_wrong = wrong_labels(
        source,
        truth=task["truth"],
        label=source.rows.resolve_label(options.label),
        noisy=options.noise is not None,
    )
    if known_and_wrong is None or not len(known_and_wrong[0]):
        return dict.fromkeys(("detection_auroc", "detection_precision", "wrong_labels"))
    known, wrong = known_and_wrong
    scores = doubt()[known]
    return {
        "detection_auroc": auroc(wrong, scores),
        "detection_precision": average_precision(wrong, scores),
        "wrong_labels": float(wrong.mean()),
    }
