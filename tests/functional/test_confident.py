"""Confident learning's off-diagonal examples, against a slow reading of its equations and cleanlab's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from gdw.functional.posterior import confidently_other


def _case(classes: int = 4) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(classes)
    p = torch.randn(200, classes, dtype=torch.float64, generator=draw).mul(1.5).softmax(1)
    return p, p.multinomial(1, generator=draw).squeeze(1)


def test_against_the_definition() -> None:
    p, given = _case()
    means = [p[given == k, k].mean() for k in range(4)]
    for row, label, found in zip(p, given.tolist(), confidently_other(p, given), strict=True):
        confident = [k for k in range(4) if row[k] >= means[k]]
        likeliest = max(confident, key=lambda k: float(row[k]), default=label)
        assert bool(found) == (likeliest != label)


@pytest.mark.parametrize("classes", [2, 4])
def test_against_cleanlab(classes: int) -> None:
    count = pytest.importorskip("cleanlab.count")
    p, given = _case(classes)
    _, where = count.compute_confident_joint(
        given.numpy(), p.numpy(), calibrate=False, return_indices_of_off_diagonals=True
    )
    assert sorted(where) == np.flatnonzero(confidently_other(p, given)).tolist()


def test_a_class_without_examples_contradicts_nobody() -> None:
    p = torch.tensor([[0.6, 0.1, 0.3], [0.1, 0.2, 0.7]])
    assert confidently_other(p, torch.tensor([0, 1])).tolist() == [False, False]
