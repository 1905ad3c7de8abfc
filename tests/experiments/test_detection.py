"""Confidence in the given labels, and what it says about the wrong ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from gdw.data import Examples, from_arrays
from gdw.experiments.detection import (
    LabelConfidence,
    auroc,
    detection_score,
    final_confidence,
    wrong_labels,
)
from gdw.reweight import StepResult


def step(logits: torch.Tensor) -> StepResult:
    return StepResult(torch.tensor(0.0), None, logits, None, None, logits)


def test_probabilities_of_the_given_labels_in_the_last_epochs(tmp_path: Path) -> None:
    given = np.array([0, 1, 1])
    watch = LabelConfidence(given, epochs=3, last=2, file=tmp_path / "seen.npy")
    logits = torch.tensor([[3.0, 1.0], [1.0, 0.5], [9.0, 9.0]]).log()
    watch.on_batch(1, [0, 1, 2], step(logits))
    assert np.isnan(watch.probabilities).all()
    # Example 3 is a clean one that was added; row order is the batch's.
    watch.on_batch(2, [2, 0, 3], step(logits))
    watch.on_batch(3, [0, 1, 2], step(logits))
    expected = [[1 / 1.5, np.nan, 0.25], [0.75, 0.5 / 1.5, 0.5]]
    np.testing.assert_allclose(watch.probabilities, expected, rtol=1e-6)
    np.testing.assert_allclose(
        detection_score(watch.probabilities), 1 - np.array([17 / 24, 1 / 3, 0.375]), rtol=1e-6
    )


def test_a_run_that_goes_on_remembers(tmp_path: Path) -> None:
    given = np.array([0, 1])
    first = LabelConfidence(given, epochs=2, last=2, file=tmp_path / "seen.npy")
    first.on_batch(1, [0, 1], step(torch.zeros(2, 2)))
    first.on_epoch({"epoch": 1})
    again = LabelConfidence(given, epochs=2, last=2, file=tmp_path / "seen.npy")
    np.testing.assert_array_equal(again.probabilities, first.probabilities)
    assert again.probabilities[0].tolist() == [0.5, 0.5]


def test_the_final_models_confidence() -> None:
    model = nn.Sequential(nn.Dropout(0.9), nn.Identity()).train()
    model.register_parameter("any", nn.Parameter(torch.zeros(1)))
    examples = Examples(torch.tensor([[1.0, 3.0], [1.0, 1.0]]).log(), torch.tensor([0, 0]))
    found = final_confidence(model, examples, np.array([0, 1]))
    np.testing.assert_allclose(found, [[0.25, 0.5]], rtol=1e-6)
    assert model[0].training


def test_which_labels_are_wrong() -> None:
    source = from_arrays(np.zeros((4, 2)), ["a", "b", "a", "b"])
    noisy = source.with_labels([1, 1, 0, 1]).select(np.array([3, 0, 1]))
    found = wrong_labels(noisy, truth=None, label="y", noisy=True)
    assert found is not None
    assert (found[0].tolist(), found[1].tolist()) == ([0, 1, 2], [False, True, False])
    assert wrong_labels(noisy, truth=None, label="y", noisy=False) is None


def test_examples_of_unknown_truth_are_left_out(tmp_path: Path) -> None:
    from gdw.data import load

    lines = ["a,label,truth", "1,cat,dog", "2,dog,", "1,dog,dog", "2,cat,cat"]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    source = load(path, label="label", drop=["truth"])
    found = wrong_labels(source, truth="truth", label="label", noisy=False)
    assert found is not None
    assert (found[0].tolist(), found[1].tolist()) == ([0, 2, 3], [True, False, False])


def test_auroc() -> None:
    wrong = np.array([True, False, True, False])
    # Of the four pairs (wrong, right), three are in order.
    assert auroc(wrong, np.array([0.9, 0.5, 0.4, 0.1])) == pytest.approx(0.75)
    assert auroc(wrong[:1], np.array([0.9])) is None
