"""Following an audit never makes the labels worse, unless it is forced: twelve weak and strong models."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_digits, load_wine
from torch import nn

import gdw
from gdw.audit import Assessment, Recorder, assess, label_issues
from gdw.audit.matrix import noise_cells

# Tasks that a small network learns, and one that nothing learns; few and many errors; few and many epochs.
SETTINGS = list(product(("digits", "wine", "nothing"), (0.03, 0.35), (1, 30)))


def task(name: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    draw = np.random.default_rng(0)
    if name == "nothing":
        return draw.normal(size=(400, 8)).astype(np.float32), draw.integers(0, 4, 400)
    X, y = (load_digits if name == "digits" else load_wine)(return_X_y=True)
    rows = draw.permutation(len(y))[:600]
    return ((X - X.mean(0)) / (X.std(0) + 1e-6))[rows].astype(np.float32), y[rows].astype(np.int64)


def audited(
    name: str, share: float, epochs: int
) -> tuple[Assessment, NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The judgement, the issues, the suggested, given and true labels of a run by the default method."""
    X, y = task(name)
    classes = int(y.max()) + 1
    clean = np.concatenate([np.flatnonzero(y == k)[:10] for k in range(classes)])
    rows = np.setdiff1d(np.arange(len(y)), clean)
    draw = np.random.default_rng(1)
    wrong = draw.random(len(rows)) < share
    given = np.where(wrong, (y[rows] + draw.integers(1, classes, len(rows))) % classes, y[rows])
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(X.shape[1], 32), nn.ReLU(), nn.Linear(32, classes))
    recorder = Recorder(len(rows))
    trainer = gdw.Trainer(
        epochs=epochs, batch_size=50, meta_batch_size=50, lr=0.1, progress="none", accelerator="cpu"
    )
    trainer.fit(model, (X[rows], given), (X[clean], y[clean]), callbacks=[recorder])
    evidence = recorder.evidence()
    table = label_issues(evidence, [str(k) for k in range(classes)]).sort_values("index")
    issues = table["is_label_issue"].to_numpy()
    judgement = assess(evidence, noise_cells(evidence), issues)
    return judgement, issues, table["suggested_label"].astype(int).to_numpy(), given, y[rows]


@pytest.mark.parametrize(("name", "share", "epochs"), SETTINGS)
def test_a_copy_without_force_has_no_larger_share_of_wrong_labels(
    name: str, share: float, epochs: int
) -> None:
    judgement, issues, suggested, given, true = audited(name, share, epochs)
    before = (given != true).mean()
    if judgement.allows("RELABEL"):
        assert (np.where(issues, suggested, given) != true).mean() <= before
    if judgement.allows("KEEP"):
        assert (given != true)[~issues].mean() <= before
    if name == "nothing":
        assert judgement.level == "poor"
    if (name, share, epochs) == ("digits", 0.35, 30):
        assert judgement.level == "supported"
