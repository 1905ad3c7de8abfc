"""How good the model of a run is on labelled data."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.source import Source
from gdw.errors import OutputError
from gdw.files.documents import finite_or_null
from gdw.runs.figures import EVALUATION, FIGURES
from gdw.runs.outputs import NotKeptWarning
from gdw.runs.prepare import held_out_label
from gdw.runs.run import Run
from gdw.runs.skipped_images import SkippedImagesWarning


def evaluate(run: Run, source: Source) -> dict[str, Any]:
    """Measure the model of `run` on labelled data.

    Args:
        run: a finished run.
        source: N examples with labels, from `Run.read`.

    Returns:
        `accuracy`, `balanced_accuracy`, `nll`, `ece`, the `recall` and the `support` (number of examples)
        of each class, `examples` (N), `classes` (their names) and `reliability` (see `reliability`).

    Raises:
        RunError: the run has not finished, or is damaged.
    """
    import torch

    from gdw.train.evaluation import evaluate as evaluate_model
    from gdw.train.evaluation import predict_probabilities

    examples = run.encode(source)
    figures = evaluate_model(run.model, examples)
    batches = [p for _, p in predict_probabilities(run.model, examples)]
    support = np.bincount(source.known_labels, minlength=len(run.label_names))
    return {
        **figures,
        "support": support.tolist(),
        "examples": len(source),
        "classes": list(run.label_names),
        "reliability": reliability(torch.cat(batches).numpy(), source.known_labels),
    }


def evaluate_file(
    run: Run,
    path: str,
    *,
    label: str | None = None,
    source: Source | None = None,
    skip_broken: bool | None = None,
) -> dict[str, Any]:
    """Measure the model of `run` on a file, and keep the figures as `evaluation.json` in the run folder.

    If the folder cannot be written, a `NotKeptWarning` says so, and `run.evaluation` has the figures anyway.

    Args:
        run: a finished run.
        path: a file or folder of the same form as the training data.
        label: its label column; by default that of the test data, the training data or the clean examples.
        source: the content of the file, if it has been read already.
        skip_broken: leave out images that cannot be read, with a `SkippedImagesWarning` that names them;
            default: as in training.

    Returns:
        The figures of `evaluate`, and the path as `data`.

    Raises:
        DataError: the data do not fit the model.
        RunError: the run has not finished, or is damaged.
    """
    if source is None:
        column = label or held_out_label(run.data_config, path, option="--test-label")
        source = run.read(path, label=column, skip_broken=skip_broken)
        if source.skipped:
            warnings.warn(f"{path}: {source.notes[-1]}", SkippedImagesWarning, stacklevel=2)
    figures = {**evaluate(run, source), "data": path}
    kept = finite_or_null(figures)
    run.forget("evaluation")
    try:
        FIGURES.write(run.folder.file(EVALUATION), kept)
    except OutputError as error:
        vars(run)["evaluation"] = kept
        warnings.warn(
            f"{error.fact}; the result is shown here but not kept in the run folder (--json FILE keeps it)",
            NotKeptWarning,
            stacklevel=2,
        )
    return figures


def reliability(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64]
) -> dict[str, list[Any]]:
    """How often the model is right, by its confidence, in 15 equal bins (Guo et al., ICML 2017).

    Args:
        probabilities: float32 `(N, C)`.
        labels: int64 `(N,)`.

    Returns:
        For each bin the `count` of examples, their mean `confidence` and their `accuracy`; both means are
        None in an empty bin. The bins are those of the calibration error `ece`.
    """
    from gdw.train.evaluation import BINS

    confidence = probabilities.max(1).astype(np.float64)
    correct = probabilities.argmax(1) == labels
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    sums = [np.bincount(bins, weights=values, minlength=BINS) for values in (confidence, correct)]
    means = [
        [float(s / n) if n else None for s, n in zip(values, count, strict=True)] for values in sums
    ]
    return {"count": count.tolist(), "confidence": means[0], "accuracy": means[1]}
