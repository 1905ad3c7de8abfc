"""Confidence in the given labels, and what it says about the wrong ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gdw.audit.evidence import Evidence
from gdw.audit.issues import score
from gdw.data import from_arrays
from gdw.experiments.detection import auroc, average_precision, detection_score, wrong_labels


def evidence(posterior: bool) -> Evidence:
    p = np.array([0.9, 0.2], np.float32)
    top = np.array([[0, 1], [1, 0]], np.int32), np.array([[0.9, 0.1], [0.8, 0.2]], np.float32)
    given = np.array([0.5, 0.4], np.float32)
    return Evidence(
        given=np.array([0, 0]),
        p_given=p,
        top_classes=top[0],
        top_probabilities=top[1],
        weight_given=np.ones(2, np.float32),
        weight_top=np.ones(2, np.float32),
        visits=np.ones(2, np.int32),
        num_classes=2,
        posterior_given=given if posterior else None,
        posterior_classes=top[0] if posterior else None,
        posterior_probabilities=top[1] if posterior else None,
    )


def test_the_score_is_the_audits_and_cleanlabs_its_own() -> None:
    seen = evidence(posterior=True)
    np.testing.assert_allclose(detection_score(seen, "gdw"), score(seen))
    np.testing.assert_allclose(detection_score(seen, "gdw"), [0.3, 0.7], atol=1e-6)
    np.testing.assert_allclose(detection_score(seen, "cleanlab"), [0.5, 0.6], atol=1e-6)
    np.testing.assert_allclose(
        detection_score(evidence(posterior=False), "cleanlab"), [0.1, 0.8], atol=1e-6
    )


def test_average_precision_by_hand() -> None:
    wrong = np.array([True, False, True, False])
    assert average_precision(wrong, np.array([0.9, 0.8, 0.7, 0.1])) == pytest.approx(
        (1 + 2 / 3) / 2
    )
    assert average_precision(np.zeros(3, bool), np.zeros(3)) is None


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
