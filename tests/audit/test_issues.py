"""Scores, suggestions, the list and its file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from gdw.audit import label_issues, score
from gdw.audit.audit_files import write_issues
from gdw.audit.edited_issues import read_edited_issues
from gdw.audit.issues import COLUMNS, true_class_probabilities
from gdw.audit.pred_probs import write_pred_probs
from gdw.errors import ConfigError, RunError
from tests.audit.made import drawn, evidence, top

P = [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.4, 0.35, 0.25]]
NAMES = ("cat", "dog", "=cmd()")


def test_the_score_is_the_doubt_of_the_given_label() -> None:
    np.testing.assert_allclose(score(evidence(P, [0, 0, 2])), [0.3, 0.9, 0.75], rtol=1e-6)
    q = [[0.5, 0.5, 0], [0.9, 0.1, 0], [0, 0, 1]]
    averaged = score(evidence(P, [0, 0, 2], q=q))
    np.testing.assert_allclose(averaged, [0.4, 0.5, 0.375], rtol=1e-6)


def test_true_class_probabilities_average_the_two_sources_class_by_class() -> None:
    p, given = drawn(50, 5)
    q, _ = drawn(50, 5, seed=1)
    found = true_class_probabilities(evidence(p, given, q=q))
    classes, probabilities = top((p + q) / 2)
    np.testing.assert_array_equal(found.classes, classes)
    np.testing.assert_allclose(found.probabilities, probabilities, atol=1e-6)
    # With more classes than are kept each is a sum of what is known of it, and none is there twice.
    p, given = drawn(50, 40)
    q, _ = drawn(50, 40, seed=1)
    many = true_class_probabilities(evidence(p, given, q=q))
    assert all(len(set(row)) == 8 for row in many.classes.tolist())
    dense = (p + q)[np.arange(50)[:, None], many.classes] / 2
    assert (many.probabilities <= dense + 1e-6).all()


def test_the_list(tmp_path: Path) -> None:
    made = evidence(P, [0, 0, 2])
    frame = label_issues(made, NAMES, where=lambda i: f"row {i + 1}")
    assert tuple(frame) == COLUMNS
    assert list(frame["index"]) == [1, 2, 0]
    assert list(frame["where"]) == ["row 2", "row 3", "row 1"]
    assert list(frame["given_label"]) == ["cat", "=cmd()", "cat"]
    assert list(frame["suggested_label"]) == list(frame["predicted_label"]) == ["dog", "cat", "cat"]
    assert list(frame["is_label_issue"]) == [True, True, False]
    np.testing.assert_allclose(frame["label_quality"] + frame["score"], 1)
    np.testing.assert_allclose(frame["suggested_probability"], [0.8, 0.4, 0.7], rtol=1e-6)
    assert set(frame["weight"]) == {0.25}
    assert list(label_issues(made, NAMES, threshold=0.8)["is_label_issue"]) == [True, False, False]


def test_an_issue_needs_another_suggestion_than_the_given_label() -> None:
    frame = label_issues(evidence([[0.4, 0.3, 0.3]], [0]), NAMES)
    assert frame["score"][0] > 0.5
    assert not frame["is_label_issue"][0]


def test_wrong_arguments() -> None:
    with pytest.raises(ConfigError, match="expected 3 label names"):
        label_issues(evidence(P, [0, 0, 2]), NAMES[:2])
    with pytest.raises(ConfigError, match="threshold must be from 0 to 1, found 50"):
        label_issues(evidence(P, [0, 0, 2]), NAMES, threshold=50)


def test_written_and_read_back(tmp_path: Path) -> None:
    made = evidence(P, [0, 0, 2])
    frame = label_issues(made, NAMES, where=lambda i: f"@{i}")
    write_issues(frame, tmp_path / "list.csv")
    written = pd.read_csv(tmp_path / "list.csv")
    assert tuple(written) == COLUMNS
    assert list(written["given_label"]) == ["cat", "'=cmd()", "cat"]
    assert list(written["where"]) == ["'@1", "'@2", "'@0"]
    assert "true" in (tmp_path / "list.csv").read_text().splitlines()[1]
    read = read_edited_issues(tmp_path / "list.csv", made, NAMES, where=lambda i: f"@{i}")
    pd.testing.assert_frame_equal(read, frame, rtol=1e-5, check_dtype=False)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_an_edited_list_that_names_some_examples_only(tmp_path: Path) -> None:
    made = evidence(P, [0, 0, 2])
    path = write(
        tmp_path / "edited.csv",
        "index,given_label,suggested_label,is_label_issue,label_quality\n"
        "2,'=cmd(),dog,TRUE,0.2\n0,cat,dog,false,0.9\n",
    )
    frame = read_edited_issues(path, made, NAMES).sort_values("index")
    assert list(frame["is_label_issue"]) == [False, False, True]
    assert list(frame["suggested_label"]) == ["dog", "cat", "dog"]
    np.testing.assert_allclose(frame["score"], [0.1, 0, 0.8])


@pytest.mark.parametrize("index", [True, False])
@pytest.mark.parametrize("numbers", [True, False])
def test_a_list_of_cleanlab(tmp_path: Path, index: bool, numbers: bool) -> None:
    made = evidence(P, [0, 0, 2])
    names = (0, 1, 2) if numbers else NAMES
    pd.DataFrame(
        {
            "is_label_issue": [False, True, False],
            "label_quality": [0.9, 0.1, 0.4],
            "given_label": [names[0], names[0], names[2]],
            "predicted_label": [names[0], names[1], names[2]],
        }
    ).to_csv(tmp_path / "c.csv", index=index)
    frame = read_edited_issues(tmp_path / "c.csv", made, NAMES)
    assert list(frame["index"]) == [1, 2, 0]
    assert list(frame["is_label_issue"]) == [True, False, False]
    assert list(frame["suggested_label"]) == ["dog", "=cmd()", "cat"]


HEAD = "index,given_label,suggested_label,is_label_issue,label_quality\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is an empty file"),
        ("index,given_label\n0,cat\n", "no column 'suggested_label' or 'predicted_label'"),
        (HEAD + "0,cat,dog,maybe,0.1\n", "row 0 .*is_label_issue should be true or false"),
        (HEAD + "0,cat,dog,true,high\n", "row 0 .*label_quality should be a number, found 'high'"),
        (HEAD + "0,cat,dog,true,\n", "label_quality should be a number, found ''"),
        (HEAD + "0,cat,dgo,true,0.1\n", "suggested_label 'dgo' is not a class.*Did you mean 'dog'"),
        (HEAD + "0,cat,../dog,true,0.1\n", r"suggested_label '\.\./dog' is not a class"),
        (
            HEAD + "0,dog,dog,true,0.1\n",
            "another run: its given_label is 'dog', but the label of training example 0",
        ),
        (HEAD + "3,cat,dog,true,0.1\n", "index 3 is not one of the run's 3 training examples"),
        (HEAD + "0,cat,dog,true,0.1\n0,cat,dog,true,0.1\n", "index 0 more than once"),
        (HEAD + "0,cat,dog,true\n", "line 2 .*has 4 values, but the header has 5"),
        (HEAD[6:] + "cat,dog,true,0.1\n", "has 1 rows and no column 'index'"),
    ],
)
def test_a_damaged_list_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RunError, match=message) as error:
        read_edited_issues(write(tmp_path / "d.csv", text), evidence(P, [0, 0, 2]), NAMES)
    assert "\n" not in str(error.value)


def test_probabilities_for_cleanlab(tmp_path: Path) -> None:
    p, given = drawn(30, 5)
    write_pred_probs(evidence(p, given), tmp_path / "p.npy")
    np.testing.assert_allclose(np.load(tmp_path / "p.npy"), p, atol=1e-6)
    p, given = drawn(30, 40)
    made = evidence(p, given)
    write_pred_probs(made, tmp_path / "q.npy")
    found = np.load(tmp_path / "q.npy")
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-6)
    rows = np.arange(30)
    np.testing.assert_allclose(found[rows, given], p[rows, given], atol=1e-6)
    np.testing.assert_allclose(found[rows, p.argmax(1)], p.max(1), atol=1e-6)
    for i in rows:
        others = np.setdiff1d(np.arange(40), [*made.top_classes[i], given[i]])
        assert np.ptp(found[i, others]) == 0


def test_the_given_label_counts_exactly_though_it_is_not_among_the_likeliest() -> None:
    # Eight of twelve classes are kept. The posterior's probability of the given label is not among its eight.
    p = np.array([[0.30, 0.2, 0.1, 0.1, 0.1, 0.05, 0.05, 0.04, 0.03, 0.01, 0.01, 0.01]])
    q = np.array([[0.02, 0.3, 0.1, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05, 0.04, 0.03, 0.01]])
    estimate = true_class_probabilities(evidence(p, [0], q=q))
    place = estimate.classes[0].tolist().index(0)
    np.testing.assert_allclose(estimate.probabilities[0, place], (0.30 + 0.02) / 2, rtol=1e-6)
    np.testing.assert_allclose(estimate.of_given, [(0.30 + 0.02) / 2], rtol=1e-6)
