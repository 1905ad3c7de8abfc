"""The defaults learn small tables with wrong labels, and find these."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score

from gdw import GDWClassifier


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:no clean examples")
@pytest.mark.parametrize("verified", [True, False])
def test_better_than_plain_training_on_wrong_labels(verified):
    X, true = load_breast_cancer(return_X_y=True)
    train, test = np.arange(len(true)) % 3 > 0, np.arange(len(true)) % 3 == 0
    trusted = np.arange(len(true)) % 10 == 1
    fit = {"trusted": trusted[train]} if verified else {}
    gains = []
    # A single draw of 190 test rows decides nothing.
    for seed in range(2):
        rng = np.random.default_rng(seed)
        given = np.where(rng.random(len(true)) < 0.4, rng.integers(0, 2, len(true)), true)
        given = np.where(trusted, true, given)
        ours = GDWClassifier(random_state=0).fit(X[train], given[train], **fit)
        plain = GDWClassifier(method="plain", random_state=0).fit(X[train], given[train])
        gains.append(ours.score(X[test], true[test]) - plain.score(X[test], true[test]))
        wrong = (given != true)[train]
        table = ours.label_issues_
        assert roc_auc_score(wrong[table["index"]], table["score"]) > 0.93
    assert np.mean(gains) > 0.02
