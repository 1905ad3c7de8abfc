"""`GDWClassifier.certify`: the share of wrong labels of arrays, texts and data frames, from verified rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError

import gdw
from gdw import GDWClassifier
from gdw.errors import DataError
from tests.estimator.cases import numbers, quick

N = 400
TRUE = np.array(["ant", "bee"])[np.arange(N) % 2]
WRONG = np.arange(N) % 8 == 0
GIVEN = np.where(WRONG, np.where(TRUE == "ant", "bee", "ant"), TRUE)
ROWS = np.random.default_rng(0).choice(N, 100, replace=False)


def certified(**changes: Any) -> Any:
    given = {"X": numbers(N), "y": GIVEN, "rows": ROWS, "labels": TRUE[ROWS], **changes}
    return GDWClassifier(backbone="none").certify(**given)


def test_the_share_is_certified_and_kept() -> None:
    classifier = GDWClassifier()
    rows = gdw.suggest(numbers(N), GIVEN, n=100, strategy="random")
    found = classifier.certify(numbers(N), GIVEN, rows, TRUE[rows], target=0.05)
    assert classifier.certificate_ is found
    share = found.share
    assert (share.rows, share.verified, share.wrong) == (N, 100, int(WRONG[rows].sum()))
    assert share.low <= WRONG.mean() <= share.high
    assert share.high - share.low < 0.7 * np.ptp(share.classical), "the quick models help"
    assert [decision.what for decision in found.decisions] == ["drop", "relabel"]
    assert found.calibrated.probability[WRONG].min() > found.calibrated.probability[~WRONG].max()
    with pytest.raises(NotFittedError):
        classifier.predict(numbers(N))


def test_a_fitted_classifier_stays_as_it_is() -> None:
    classifier = quick(epochs=1).fit(numbers(), GIVEN[:90])
    predicted = classifier.predict_proba(numbers())
    classifier.certify(numbers(N)[:, :3], GIVEN, ROWS, TRUE[ROWS])
    assert classifier.n_features_in_ == 4
    np.testing.assert_array_equal(classifier.predict_proba(numbers()), predicted)


def test_every_form_of_rows_and_labels() -> None:
    expected = certified().share
    mask = np.isin(np.arange(N), ROWS)
    assert certified(rows=mask, labels=TRUE[mask]).share == expected
    assert certified(rows=ROWS.tolist(), labels=TRUE[ROWS].tolist()).share == expected
    frame = pd.DataFrame(numbers(N)).rename(columns=str)
    series = pd.Series(TRUE)[ROWS]
    assert certified(X=frame, rows=pd.Series(ROWS), labels=series).share.wrong == expected.wrong
    texts = [f"a {name} {i}" for i, name in enumerate(TRUE)]
    assert certified(X=texts).share.wrong == expected.wrong
    codes = {"y": GIVEN == "bee", "labels": (TRUE == "bee")[ROWS]}
    assert certified(**codes).share.wrong == expected.wrong
    likely = np.where(np.arange(100) < 50, 50 / N, np.nan)
    assert certified(probability=likely).share.verified == 50
    erring = certified(verifier_error=0.03).share
    assert "wrong in at most 3.0% of the rows" in erring.assumptions[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": TRUE}, "labels: expected one for each of the 100 verified rows, .* found 400"),
        ({"labels": np.full(100, "cow")}, "labels: the label 'cow' in row 0 never occurs in y"),
        ({"labels": np.zeros(100, int)}, "labels: the labels are of type int"),
        ({"rows": ROWS / 2}, r"rows: expected the positions .* or a mask of 400, found float64"),
        ({"rows": ROWS + 400}, "expected positions from 0 to 399"),
        ({"rows": ROWS[:5], "labels": TRUE[:5]}, "10 or more verified rows"),
        ({"probability": np.full(100, np.nan)}, "found 0 of 100"),
    ],
)
def test_mistakes(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        certified(**changes)


def test_corrected_labels_are_noticed() -> None:
    found = certified(y=TRUE)
    assert found.share.wrong == 0
    assert "are the given labels as they were before any correction?" in found.notes[0]
