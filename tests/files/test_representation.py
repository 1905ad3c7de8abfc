"""`repr` says what an object is: one short line without its numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import gdw
from gdw.audit import ClassWeights
from gdw.audit.assessment import Assessment
from gdw.data.encode import fit_encoder
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


def config() -> gdw.runs.RunConfig:
    sections = {"data": {"path": "a.csv"}, "training": {"method": "plain"}}
    return gdw.runs.RunConfig.parse(sections)


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
    "Recorder(num_examples=60, dense_bytes=8)": lambda: gdw.audit.Recorder(60, dense_bytes=8),
    "PairedBatches(train_loader=DataLoader, meta_loader=list)": lambda: gdw.data.pair(
        torch.utils.data.DataLoader([1]), [2]
    ),
    "Training(output='run', config=RunConfig(data=DataConfig(path='a.csv'), model=ModelConfig(), "
    "training=TrainConfig(method='plain')))": lambda: gdw.runs.Training(config(), "run"),
    "FeatureEncoder(mean=float64 (4,), scale=float64 (4,))": lambda: fit_encoder(
        from_arrays(X.numpy())
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


def test_what_a_callback_and_a_method_get_are_one_line() -> None:
    seen = []

    class Look(gdw.train.Callback):
        def on_start(self, run: gdw.train.TrainingView) -> None:
            seen.append(repr(run))

    trainer = gdw.Trainer(method="plain", epochs=1, accelerator="cpu", progress="none")
    trainer.fit(nn.Linear(4, 3), (X, Y), callbacks=[Look()])
    (view,) = seen
    assert view.startswith("TrainingView(epochs=1, examples=60, reweighter=Plain(")
    assert "\n" not in view
