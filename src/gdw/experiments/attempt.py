"""One cell: train it, or go on with it, and leave `result.json`; or say why it could not be."""

from __future__ import annotations

import multiprocessing
import shutil
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gdw.audit.evidence import EVIDENCE, Evidence
from gdw.data.loading import label_column
from gdw.errors import GDWError
from gdw.experiments.detection import auroc, average_precision, detection_score, wrong_labels
from gdw.experiments.folder import FORMAT, RESULT, read_cell, write_json
from gdw.files.machine import describe_machine
from gdw.runs import RunConfig, Training
from gdw.runs.prepare import Prepared
from gdw.train.callback import Callback
from gdw.train.result import FitResult
from gdw.train.run_folder import CHECKPOINTS, CONFIG

_MACHINE = ("gdw", "torch", "python", "processor", "threads", "system")
_FIGURES = ("accuracy", "balanced_accuracy", "nll", "ece")


@dataclass(frozen=True)
class Attempt:
    """How a cell ended: `error` is None when it is done. `interrupted` cells can go on."""

    error: str | None = None
    detail: str = ""
    interrupted: bool = False


class Stopwatch(Callback):
    """Adds the time since the last epoch, preparation and evaluation included, to the history.

    It also ends the run of a worker whose grid is gone, which would else go on beside the next one.
    """

    def __init__(self) -> None:
        self._since = time.perf_counter()

    def on_epoch(self, record: dict[str, Any]) -> None:
        now = time.perf_counter()
        record["wall_seconds"] = now - self._since
        self._since = now
        parent = multiprocessing.parent_process()
        if parent is not None and not parent.is_alive():
            raise KeyboardInterrupt


def try_cell(folder: Path) -> Attempt:
    """Run the cell in `folder`; whatever goes wrong in it is its own failure, not the grid's."""
    try:
        return Attempt(interrupted=not run_cell(folder))
    except GDWError as error:
        return Attempt(str(error))
    except Exception as error:  # noqa: BLE001 - hundreds of other cells wait behind this one
        return Attempt(f"{type(error).__name__}: {error}", traceback.format_exc())


def run_cell(folder: Path) -> bool:
    """Run the cell described in `folder` to its end; False if a signal came, before it or at it.

    What was trained before is not trained again. Raises what training raises.
    """
    task = read_cell(folder)
    if task["threads"] is not None:
        torch.set_num_threads(task["threads"])
    stopwatch = Stopwatch()
    training = Training(RunConfig.parse(task["config"]), folder, resume=(folder / CONFIG).is_file())
    prepared = training.prepare()
    model = training.build_model(prepared)
    result = training.fit(prepared, model, callbacks=[stopwatch])
    if result.interrupted:
        return False
    write_json(folder / RESULT, _summary(task, training, prepared, model, result))
    # What only serves to go on would fill the disk: a grid has hundreds of cells.
    shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
    # Done, but a signal in its last epoch was for the grid.
    return not result.signalled


def _summary(
    task: dict[str, Any],
    training: Training,
    prepared: Prepared,
    model: nn.Module,
    result: FitResult,
) -> dict[str, Any]:
    """The figures of a cell; those of the test set are means over the last epochs."""
    history, machine = result.history, describe_machine()
    wrong_share, found, precision = _detection(task, training, prepared)
    return {
        "format": FORMAT,
        "cell": task["cell"],
        **{name: result.final[f"test_{name}"] for name in _FIGURES},
        "averaged_epochs": result.averaged_epochs,
        "curve": [record["test_accuracy"] for record in history],
        "detection_auroc": found,
        "detection_precision": precision,
        "wrong_labels": wrong_share,
        "train_examples": len(prepared.source),
        "clean_examples": 0 if prepared.meta is None else len(prepared.meta),
        "test_examples": 0 if prepared.test is None else len(prepared.test),
        "parameters": sum(p.numel() for p in model.parameters()),
        "model": training.model_name(prepared),
        "training_seconds": sum(record["seconds"] for record in history),
        "seconds": sum(record.get("wall_seconds", 0.0) for record in history),
        "machine": {name: machine[name] for name in _MACHINE},
    }


def _detection(
    task: dict[str, Any], training: Training, prepared: Prepared
) -> tuple[float | None, float | None, float | None]:
    """The share of labels known to be wrong; AUROC and average precision of telling them."""
    options, source = training.config.data, prepared.source
    found = wrong_labels(
        source,
        truth=task["truth"],
        label=label_column(source.rows, options.label),
        noisy=options.noise is not None,
    )
    if found is None or not len(found[0]):
        return None, None, None
    known, wrong = found
    evidence = Evidence.load(training.output / EVIDENCE)
    scores = detection_score(evidence, training.config.training.method)[known]
    return float(wrong.mean()), auroc(wrong, scores), average_precision(wrong, scores)
