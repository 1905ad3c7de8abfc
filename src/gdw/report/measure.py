"""How good a run's model is on test data, written beside it as `evaluation.json`."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gdw.data.source import Source
from gdw.files.atomic import write_text_atomically
from gdw.report.folder import EVALUATION
from gdw.runs.labels import held_out_label
from gdw.runs.saved import SavedRun
from gdw.train.metrics import BINS
from gdw.train.run_folder import RunFolder


def measure(run: RunFolder, data: str, *, label: str | None = None) -> dict[str, Any]:
    """The figures of `SavedRun.evaluate`, `classes`, `data` and `reliability`, also written to the run.

    `label` is the column of the labels, by default as in `gdw evaluate`. Raises `DataError` and `RunError`
    for data that do not fit the model and for a run that has not finished.
    """
    saved = SavedRun.open(run.path)
    column = label or held_out_label(saved.config.data, data, option="--test-label")
    source = saved.load(data, label=column)
    figures = {
        **saved.evaluate(source),
        "classes": list(saved.schema.label_names),
        "data": data,
        "reliability": _of_source(saved, source),
    }
    text = json.dumps(figures, ensure_ascii=False, indent=1)
    write_text_atomically(run.file(EVALUATION), text)
    return figures


def reliability(
    probabilities: NDArray[np.float32], labels: NDArray[np.int64]
) -> dict[str, list[Any]]:
    """`count`, mean `confidence` and `accuracy` of each of 15 equal bins of confidence.

    `probabilities` is `(N, C)`, `labels` `(N,)`. An empty bin has None for both means (Guo et al., ICML 2017;
    the bins are those of the calibration error `ece`).
    """
    confidence = probabilities.max(1).astype(np.float64)
    hit = probabilities.argmax(1) == labels
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    count = np.bincount(bins, minlength=BINS)
    sums = [np.bincount(bins, weights=values, minlength=BINS) for values in (confidence, hit)]
    means = [
        [float(s / n) if n else None for s, n in zip(values, count, strict=True)] for values in sums
    ]
    return {"count": count.tolist(), "confidence": means[0], "accuracy": means[1]}


def _of_source(saved: SavedRun, source: Source) -> dict[str, list[Any]]:
    assert source.labels is not None, "loaded with its label column"
    return reliability(saved.predict_proba(source), source.labels)
