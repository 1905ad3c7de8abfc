"""Which labels training itself found hard to believe, and how well that finds the wrong ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gdw.data.examples import Examples
from gdw.data.source import Source
from gdw.reweight import StepResult
from gdw.train.atomic import write_atomically
from gdw.train.callback import Callback
from gdw.train.evaluation import evaluation_mode

_BATCH = 1024


class LabelConfidence(Callback):
    """The model's probability of each given label, as training met the example in its last epochs.

    `given` is `(N,)`; examples from N on (added clean ones) are not looked at. What was seen is kept in
    `file`, one row an epoch, so that a run that resumes, or repeats an epoch, ends with the same figures.
    """

    def __init__(self, given: NDArray[np.int64], *, epochs: int, last: int, file: Path) -> None:
        self._given = torch.from_numpy(given.copy())
        self._first = max(1, epochs - last + 1)
        self._file = file
        self.probabilities = np.full((min(last, epochs), len(given)), np.nan, dtype=np.float32)
        """`(last epochs, N)`, NaN where not seen."""
        if file.exists():
            kept = np.load(file)
            if kept.shape == self.probabilities.shape:
                self.probabilities = kept

    def on_batch(self, epoch: int, indices: Sequence[int], result: StepResult) -> None:
        if epoch < self._first:
            return
        chosen = torch.as_tensor(indices, dtype=torch.int64)
        logits = result.logits.cpu().float()
        known = chosen < len(self._given)
        chosen = chosen[known]
        probabilities = logits[known].softmax(1).gather(1, self._given[chosen][:, None])[:, 0]
        self.probabilities[epoch - self._first, chosen.numpy()] = probabilities.numpy()

    def on_epoch(self, record: dict[str, Any]) -> None:
        if record["epoch"] >= self._first:
            self.save()

    def save(self) -> None:
        """Write what was seen so far."""

        def write(path: Path) -> None:
            with path.open("wb") as file:
                np.save(file, self.probabilities)

        write_atomically(self._file, write)


def detection_score(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """`(N,)`, higher where the given label is doubtful: 1 − its mean probability over the `(E, N)` epochs."""
    scores: NDArray[np.float64] = 1 - np.nanmean(probabilities.astype(np.float64), axis=0)
    return scores


def final_confidence(
    model: nn.Module, examples: Examples, given: NDArray[np.int64]
) -> NDArray[np.float32]:
    """`(1, N)`: the trained model's probability of each given label, for runs that never met the examples."""
    device = next(model.parameters()).device
    found = []
    with evaluation_mode(model), torch.no_grad():
        for start in range(0, len(given), _BATCH):
            rows = list(range(start, min(start + _BATCH, len(given))))
            inputs, _ = examples.__getitems__(rows)
            probabilities = model(inputs.to(device)).float().softmax(1).cpu().numpy()
            found.append(probabilities[np.arange(len(rows)), given[rows]])
    return np.concatenate(found)[None].astype(np.float32)


def wrong_labels(
    source: Source, *, truth: str | None, label: str, noisy: bool
) -> tuple[NDArray[np.int64], NDArray[np.bool_]] | None:
    """The positions in `source` whose true label is known, and for each whether the given one is wrong.

    The truth is the column `truth`, else the label column itself if noise was added to it; None if neither
    says anything. A position whose truth is empty is left out.
    """
    column = truth if truth is not None else label if noisy else None
    if column is None:
        return None
    assert source.labels is not None, "loaded with a label column"
    written = source.column(column)
    known = np.flatnonzero([value is not None and str(value).strip() != "" for value in written])
    part = source.select(known)
    assert part.labels is not None
    true = part.codes(column, source.label_names, names_declared=source.names_declared)
    return known, part.labels != true


def auroc(wrong: NDArray[np.bool_], scores: NDArray[np.float64]) -> float | None:
    """How often a wrong label scores above a right one; None where there is only one kind."""
    if wrong.all() or not wrong.any():
        return None
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(wrong, scores))
