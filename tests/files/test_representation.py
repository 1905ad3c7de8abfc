"""`repr` says what an object is: one short line without its numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import gdw
from gdw.audit import ClassWeights
from gdw.audit.assessment import Assessment
from gdw.data.examples import Examples
from gdw.data.source import from_arrays
from gdw.train.output import FitResult
from gdw.train.user_dataset import UserDataset
from tests.audit.made import evidence

X, Y = torch.randn(60, 4), torch.arange(60) % 3


def reweighter(**options: object) -> gdw.GDW:
    model = nn.Linear(4, 3)
    return gdw.GDW(model, torch.optim.SGD(model.parameters(), lr=0.1), **options)


def step() -> gdw.StepResult:
    return reweighter().backward((X, Y), (X, Y))


CASES = {
    "GDW(model=Linear, optimizer=SGD)": reweighter,
    "GDW(model=Linear, optimizer=SGD, hypergradient='head')": lambda: reweighter(
        hypergradient="head"
    ),
    "Trainer(config=TrainConfig(method='plain', epochs=3))": lambda: gdw.Trainer(
        method="plain", epochs=3
    ),
    "FitResult(final={test_accuracy=0.6667}, averaged_epochs=1, interrupted=False, epochs_done=2, "
    "epochs_before=0, signalled=False)": lambda: FitResult(
        [{}, {}], {"test_accuracy": 2 / 3, "test_recall": [0.1, 0.9]}, 1, False, 2
    ),
    "Examples(inputs=float32 (60, 4), targets=int64 (60,))": lambda: Examples(X, Y),
    "UserDataset(dataset=60 of TensorDataset, name='train')": lambda: UserDataset(
        torch.utils.data.TensorDataset(X, Y), "train"
    ),
    "Source(kind='array', origin='arrays', label_names=('0', '1', '2'), labels=int64 (60,), "
    "row_numbers=int64 (60,), feature_columns=('X',), names_declared=False, labels_merged=False)": (
        lambda: from_arrays(X.numpy(), Y.numpy())
    ),
    "ClassWeights(weights=float64 (2, 2), count=float64 (2,), label_names=('cat', 'dog'))": (
        lambda: ClassWeights(np.eye(2), np.ones(2), ("cat", "dog"))
    ),
    "Assessment(level='poor', reason='too little', wrong_share=0.3333, wrong_low=0.1, wrong_high=0.5, "
    "flagged_share=0.2)": lambda: Assessment("poor", "too little", 1 / 3, 0.1, 0.5, 0.2),
}


@pytest.mark.parametrize("expected", CASES)
def test_what_it_says(expected: str) -> None:
    assert repr(CASES[expected]()) == expected


def test_no_object_shows_its_numbers() -> None:
    for made in (step(), evidence(np.full((9, 3), 1 / 3), [0] * 9), gdw.reweight.METHODS):
        shown = repr(made)
        assert "[" not in shown
        assert "\n" not in shown
        assert len(shown) < 600
    assert "logits=float32 (60, 3)" in repr(step())
