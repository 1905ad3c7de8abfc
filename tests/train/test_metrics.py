from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, recall_score
from torch import Tensor, nn

from gdw.errors import DataError, ModelError
from gdw.train import evaluate
from gdw.train.evaluation import ClassificationMetrics


def _predictions(n: int, classes: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    return logits, torch.randint(0, classes, (n,), generator=generator)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 120), st.integers(2, 9), st.integers(0, 1000), st.integers(1, 40))
def test_figures_are_those_of_scikit_learn(n: int, classes: int, seed: int, batch: int) -> None:
    logits, targets = _predictions(n, classes, seed)
    metrics = ClassificationMetrics(classes)
    for start in range(0, n, batch):
        metrics.update(logits[start : start + batch], targets[start : start + batch])
    figures = metrics.compute()
    predicted, probabilities = logits.argmax(1), logits.softmax(1)
    seen = np.unique(targets)
    recall = recall_score(targets, predicted, labels=seen, average=None, zero_division=0)
    assert figures["accuracy"] == pytest.approx(accuracy_score(targets, predicted))
    assert figures["balanced_accuracy"] == pytest.approx(recall.mean())
    assert figures["nll"] == pytest.approx(log_loss(targets, probabilities, labels=range(classes)))
    assert [figures["recall"][k] for k in seen] == pytest.approx(list(recall))
    assert all(figures["recall"][k] is None for k in range(classes) if k not in seen)
    confidence = probabilities.max(1).values.numpy()
    right = (predicted == targets).numpy()
    accuracy_of_bin, confidence_of_bin = calibration_curve(right, confidence, n_bins=15)
    size_of_bin = np.histogram(confidence, np.linspace(0, 1, 16))[0]
    gap = np.abs(accuracy_of_bin - confidence_of_bin)
    assert figures["ece"] == pytest.approx((gap * size_of_bin[size_of_bin > 0]).sum() / n)


def test_balanced_accuracy_is_scikit_learns_when_every_class_occurs() -> None:
    logits, targets = _predictions(400, 4, 0)
    metrics = ClassificationMetrics(4)
    metrics.update(logits, targets)
    expected = balanced_accuracy_score(targets, logits.argmax(1))
    assert metrics.compute()["balanced_accuracy"] == pytest.approx(expected)


def test_a_certain_and_right_prediction_is_calibrated() -> None:
    metrics = ClassificationMetrics(3)
    metrics.update(1000 * torch.eye(3, dtype=torch.float64), torch.arange(3))
    assert metrics.compute() == {
        "accuracy": 1.0,
        "balanced_accuracy": 1.0,
        "nll": 0.0,
        "ece": 0.0,
        "recall": [1.0, 1.0, 1.0],
    }


def test_class_probabilities_as_targets() -> None:
    logits, _ = _predictions(20, 3, 0)
    soft = _predictions(20, 3, 1)[0].softmax(1)
    metrics = ClassificationMetrics(3)
    metrics.update(logits, soft)
    figures = metrics.compute()
    assert figures["accuracy"] == pytest.approx(
        (logits.argmax(1) == soft.argmax(1)).double().mean().item()
    )
    assert figures["nll"] == pytest.approx(-(soft * logits.log_softmax(1)).sum(1).mean().item())


def test_states_grow_with_the_classes_and_no_faster() -> None:
    metrics = ClassificationMetrics(10_000)
    metrics.update(
        torch.randn(8, 10_000, generator=torch.Generator().manual_seed(0)), torch.arange(8)
    )
    assert max(state.numel() for state in metrics._sums) == 10_000


def test_evaluate_leaves_modes_and_buffers_alone() -> None:
    model = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 3))
    model[0].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    inputs, targets = (
        torch.randn(10, 3, generator=torch.Generator().manual_seed(0)),
        torch.arange(10) % 3,
    )
    once = evaluate(model, (inputs, targets), batch_size=4)
    arrays = (inputs.numpy().astype(np.float64), targets.numpy())
    again = evaluate(model, arrays, batch_size=10)
    assert again["recall"] == once["recall"]
    assert again["nll"] == pytest.approx(once["nll"])
    assert [module.training for module in model] == [False, True, True]
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_evaluate_says_what_does_not_fit() -> None:
    model = nn.Linear(2, 3)
    with pytest.raises(ModelError, match="found class 3, but the model has 3 logits"):
        evaluate(model, (torch.zeros(2, 2), torch.tensor([0, 3])))
    with pytest.raises(ModelError, match=r"class probabilities of shape \(N, 3\), found \(2,\)"):
        evaluate(model, (torch.zeros(2, 2), torch.zeros(2)))
    with pytest.raises(DataError, match="expected at least one example, found none"):
        evaluate(model, (torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64)))
    with pytest.raises(DataError, match="X has 2 rows, y has 3"):
        evaluate(model, (torch.zeros(2, 2), torch.zeros(3, dtype=torch.int64)))
