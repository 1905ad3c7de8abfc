"""The noise matrix against counting, and how wide its intervals are."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import beta

from gdw.audit import assess, noise_matrix
from gdw.audit.audit_files import SUMMARY, require_unedited, summary, write_noise_matrix
from gdw.audit.issues import label_issues
from gdw.audit.matrix import noise_cells
from gdw.errors import DataError, RunError
from tests.audit.made import drawn, evidence


def test_certain_examples_are_counted() -> None:
    true, given = np.array([0] * 6 + [1] * 4), np.array([0] * 5 + [1] + [1] * 4)
    found = noise_matrix(evidence(np.eye(3)[true], given))
    np.testing.assert_allclose(found.count, [[5, 1, 0], [0, 4, 0], [0, 0, 0]])
    np.testing.assert_allclose(found.probability, [[5 / 6, 1 / 6, 0], [0, 1, 0], [1 / 3] * 3])
    interval = beta.ppf([0.025, 0.975], 1.5, 5.5)
    np.testing.assert_allclose([found.low[0, 1], found.high[0, 1]], interval)
    assert found.low[1, 1] < 1 == found.high[1, 1]
    np.testing.assert_allclose(found.high[2], beta.ppf(0.975, 0.5, 0.5))


def test_uncertain_examples_count_by_their_probabilities() -> None:
    p, given = drawn(200, 6)
    found = noise_matrix(evidence(p, given))
    counts = p.T.astype(float) @ np.eye(6)[given]
    np.testing.assert_allclose(found.count, counts, rtol=1e-5)
    np.testing.assert_allclose(found.probability, counts / counts.sum(1, keepdims=True), rtol=1e-5)
    cells = noise_cells(evidence(p, given))
    np.testing.assert_allclose(cells.effective, (p.astype(float) ** 2).sum(0), rtol=1e-5)
    assert (found.low <= found.probability).all()
    assert (found.probability <= found.high).all()


def test_with_many_classes_the_likeliest_and_the_given_share_the_example() -> None:
    p, given = drawn(80, 30)
    made = evidence(p, given)
    found = noise_matrix(made)
    expected = np.zeros((30, 30))
    for i in range(80):
        known = np.union1d(made.top_classes[i], given[i])
        expected[known, given[i]] += p[i, known] / p[i, known].sum()
    np.testing.assert_allclose(found.count, expected, rtol=1e-4, atol=1e-8)
    assert found.count.sum() == pytest.approx(80)


def test_intervals_are_no_narrower_than_the_clean_set_allows() -> None:
    true = np.arange(3000) % 3
    made = evidence(np.eye(3)[true], true)
    free = noise_matrix(made)
    few, more = (noise_matrix(made, (None, np.arange(n) % 3)) for n in (12, 600))
    width = [found.high[0, 1] - found.low[0, 1] for found in (free, more, few)]
    assert width[0] < width[1] < width[2]
    assert few.high[0, 1] == pytest.approx(beta.ppf(0.975, 0.5, 4.5))
    np.testing.assert_array_equal(few.probability, free.probability)
    kept = evidence(np.eye(3)[true], true, clean_true=np.arange(12) % 3)
    np.testing.assert_array_equal(noise_matrix(kept).high, few.high)


def test_clean_examples_with_a_doubtful_label_are_observations() -> None:
    true = np.arange(300) % 3
    made = evidence(np.eye(3)[true], true)
    clean_true, clean_given = np.array([0] * 4 + [1]), np.array([0, 1, 1, 1, 1])
    found = noise_matrix(made, (clean_given, clean_true))
    # Four examples' worth of the training set, and the four themselves; class 2 has no clean one.
    np.testing.assert_allclose(found.probability[0], [5 / 8, 3 / 8, 0])
    np.testing.assert_allclose(found.probability[2], [0, 0, 1])
    assert (found.low[2, 2], found.high[2, 2]) == (0, 1)


def test_clean_labels_that_do_not_fit() -> None:
    made = evidence(*drawn(5, 3))
    for clean in ((None, [0, 3]), (None, ["a"]), (None, [[0]]), ([0], None)):
        with pytest.raises(DataError, match="integers from 0 to 2"):
            noise_matrix(made, clean)
    with pytest.raises(DataError, match="1 given labels, but 2 true"):
        noise_matrix(made, ([0], [0, 1]))


def read(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_the_file_of_the_matrix(tmp_path: Path) -> None:
    true, given = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    made = evidence(np.eye(2)[true], given)
    write_noise_matrix(noise_cells(made), ("=1+1", "b"), tmp_path / "m.csv")
    rows = read(tmp_path / "m.csv")
    assert [(r["true_label"], r["given_label"]) for r in rows] == [
        ("'=1+1", "'=1+1"), ("'=1+1", "b"), ("b", "b"),
    ]  # fmt: skip
    found = noise_matrix(made)
    assert float(rows[1]["probability"]) == pytest.approx(1 / 3, rel=1e-5)
    assert float(rows[1]["high"]) == pytest.approx(found.high[0, 1], rel=1e-5)
    assert float(rows[0]["count"]) == 2
    p, labels = drawn(300, 120)
    cells = noise_cells(evidence(p, labels))
    write_noise_matrix(cells, [str(k) for k in range(120)], tmp_path / "n.csv")
    lines = read(tmp_path / "n.csv")
    assert len(lines) < len(cells.true)
    assert all(float(r["count"]) >= 0.499 or r["true_label"] == r["given_label"] for r in lines)


def test_the_summary_and_an_edited_list(tmp_path: Path) -> None:
    made = evidence([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7]], [0, 0, 1])
    wrong = np.array([False, True, False])
    file, report = tmp_path / "l.csv", tmp_path / "a.json"
    frame = label_issues(made, "ab")
    frame["is_label_issue"] = frame["index"] == 1
    frame.to_csv(file)
    require_unedited(file, report)
    assessment = assess(made, noise_cells(made), wrong)
    content = summary(
        made, "ab", noise_cells(made), frame=frame, assessment=assessment, issues_file=file
    )
    SUMMARY.write(report, content)
    found = json.loads(report.read_text())
    assert (found["format"], found["examples"], found["issues"]) == (1, 3, 1)
    assert found["estimated_wrong_share"] == pytest.approx((0.1 + 0.8 + 0.3) / 3)
    assert found["assessment"]["level"] == "poor"  # two of three labels are one class
    assert found["assessment"]["flagged_share"] == pytest.approx(1 / 3)
    assert found["by_class"] == [
        {"label": "a", "examples": 2, "wrong_share": pytest.approx((0.1 + 0.8) / 2)},
        {"label": "b", "examples": 1, "wrong_share": pytest.approx(0.3)},
    ]
    require_unedited(file, report)
    file.write_text(file.read_text() + "\n")
    with pytest.raises(RunError, match=r"edited after the last audit.*--issues"):
        require_unedited(file, report)
    report.write_text("{")
    with pytest.raises(RunError, match="damaged"):
        require_unedited(file, report)
