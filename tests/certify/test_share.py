"""The share of wrong labels: closed forms, coverage in simulations, and bad input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from gdw.certify import (
    ClassShare,
    VerifierError,
    known_classes,
    known_rate,
    next_rows,
    rate_of_two,
    share_wrong,
    shares_by_class,
    verified_sample,
)
from gdw.certify.bounds import share_interval
from gdw.certify.estimates import assisted, classical
from gdw.certify.groups import classes_without
from gdw.certify.platt import Platt
from gdw.certify.verifier_error import as_verifier_error
from gdw.errors import ConfigError, DataError
from tests.certify.populations import population


def drawn(
    wrong: NDArray[np.bool_], count: int, seed: int, probability: NDArray[np.float64] | None = None
) -> Any:
    """A sample of the rows; with `probability`, each row is drawn by itself with its own."""
    rng = np.random.default_rng(seed)
    if probability is None:
        rows = rng.choice(len(wrong), count, replace=False)
        return verified_sample(len(wrong), rows, wrong[rows])
    rows = np.flatnonzero(rng.random(len(wrong)) < probability)
    return verified_sample(len(wrong), rows, wrong[rows], probability[rows])


def test_without_scores_it_is_the_classical_interval() -> None:
    wrong = np.arange(100) < 12
    share = share_wrong(verified_sample(10**9, np.arange(100), wrong))
    np.testing.assert_allclose((share.low, share.high), share_interval(0.12, 100, 0.95), rtol=1e-6)
    assert not share.helped
    assert share.estimate == pytest.approx(0.12)
    assert "100 verified rows, 12 of them with a wrong label" in share.sentence


def test_if_all_rows_are_verified_nothing_is_uncertain() -> None:
    scores, wrong = population(200, 0.2)
    share = share_wrong(verified_sample(200, np.arange(200), wrong), scores)
    assert share.low == share.high == share.estimate == wrong.mean()


def test_half_of_the_rows_say_more_than_a_few_of_many() -> None:
    wrong = np.arange(100) < 20
    width = [
        np.ptp((share.low, share.high))
        for share in (share_wrong(verified_sample(n, np.arange(100), wrong)) for n in (200, 10**6))
    ]
    assert width[0] / width[1] == pytest.approx(np.sqrt(0.5), abs=0.02)


def test_the_estimate_is_the_mean_prediction_plus_the_mean_error() -> None:
    """The formula of prediction-powered inference, with weights of a design with unequal probabilities."""
    scores, wrong = population(2000, 0.2)
    sample = drawn(wrong, 0, 1, 0.02 + 0.1 * scores)
    weight = 1 / sample.probability
    curve = Platt.fit(scores, sample.rows, sample.wrong, weight)
    found = assisted(scores, sample)
    assert curve is not None
    assert found is not None
    errors = (sample.wrong - curve(scores[sample.rows])) * weight
    assert found.share == pytest.approx(curve(scores).mean() + errors.sum() / 2000)


def test_equal_probabilities_may_be_given() -> None:
    scores, wrong = population(1000, 0.2)
    sample = drawn(wrong, 80, 0)
    same = verified_sample(1000, sample.rows, sample.wrong, np.full(80, 0.08))
    assert share_wrong(sample, scores).plain() == share_wrong(same, scores).plain()


def test_rows_that_are_less_likely_count_more() -> None:
    wrong = np.array([True] * 10 + [False] * 10)
    sample = verified_sample(120, np.arange(20), wrong, np.repeat([0.5, 0.1], 10))
    found = classical(sample)
    assert found.share == pytest.approx(20 / 120)
    spread = 10 * 4 * 0.5 + 10 * 100 * 0.9
    assert found.size == pytest.approx(120**2 / spread)


@given(
    st.integers(0, 10**6),
    st.sampled_from([0.02, 0.2, 0.5]),
    st.sampled_from([0.0, 1.0, 6.0]),
    st.integers(10, 80),
)
def test_never_wider_than_the_classical_interval(
    seed: int, share: float, slope: float, count: int
) -> None:
    scores, wrong = population(300, share, slope=slope, seed=seed)
    found = share_wrong(drawn(wrong, count, seed), scores)
    assert found.high - found.low <= found.classical[1] - found.classical[0]
    assert 0 <= found.low <= found.high <= 1


@pytest.mark.parametrize("slope", [0.0, 2.0, 6.0])
@pytest.mark.parametrize("unequal", [False, True])
def test_coverage(slope: float, *, unequal: bool) -> None:
    scores, wrong = population(1500, 0.15, slope=slope)
    likely = np.clip(0.03 + 0.15 * np.sqrt(scores * (1 - scores)), 0, 1) if unequal else None
    shares = [share_wrong(drawn(wrong, 80, seed, likely), scores) for seed in range(1000, 1100)]
    held = np.mean([share.low <= wrong.mean() <= share.high for share in shares])
    assert held > 0.9
    if slope > 2:
        width = [s.high - s.low for s in shares]
        of_verified = [s.classical[1] - s.classical[0] for s in shares]
        assert np.mean(width) < 0.75 * np.mean(of_verified)


def test_scores_that_are_right_but_once_do_not_prove_that_they_always_are() -> None:
    wrong = np.arange(4000) % 5 == 0
    scores = np.where(wrong, 0.99, 0.01)
    hidden = np.flatnonzero(~wrong)[:200]
    wrong[hidden] = True  # 5 % of the rows, which 20 verified rows may miss
    held = []
    for seed in range(150):
        share = share_wrong(drawn(wrong, 20, seed), scores)
        held.append(share.low <= wrong.mean() <= share.high)
    assert np.mean(held) > 0.93


def test_by_class() -> None:
    labels = np.repeat([0, 1, 2], [500, 300, 200])
    true = np.where(np.arange(1000) % 10 == 0, (labels + 1) % 3, labels)
    rows = np.arange(0, 800, 4)
    sample = verified_sample(1000, rows, true[rows] != labels[rows])
    shares = shares_by_class(sample, labels, true[rows], ["a", "b", "c"])
    assert [(s.name, s.by, s.verified) for s in shares] == [
        ("a", "given", 125),
        ("b", "given", 75),
        ("c", "given", 0),
        ("a", "true", int((true[rows] == 0).sum())),
        ("b", "true", int((true[rows] == 1).sum())),
        ("c", "true", int((true[rows] == 2).sum())),
    ]
    assert (shares[2].low, shares[2].high) == (0, 1)
    assert classes_without(shares) == ["c"]
    alone = share_interval(shares[0].wrong / 125, 125 / (1 - 125 / 500), 0.95)
    assert (shares[0].low, shares[0].high) == pytest.approx(alone)
    # Wrong labels of class a become b: all rows of the true class c with a given label b are wrong.
    assert shares[5].low > 0.5


def test_classes_with_few_verified_rows_are_left_out_and_surely_wrong_ones_come_first() -> None:
    shares = [
        ClassShare("a", "given", 20, 2, 0.05, 0.3),
        ClassShare("b", "given", 9, 9, 0.7, 1.0),
        ClassShare("c", "given", 10, 5, 0.2, 0.8),
        ClassShare("a", "true", 9, 0, 0.0, 0.3),
        ClassShare("b", "true", 10, 1, 0.0, 0.4),
        ClassShare("c", "true", 2, 1, 0.0, 0.9),
    ]
    found = known_classes(shares)
    assert [pair.name for pair in found] == ["c", "a", "b"]
    assert (found[1].given, found[1].true) == (shares[0], None)
    assert (found[2].given, found[2].true) == (None, shares[4])


@pytest.mark.parametrize("unequal", [False, True])
def test_coverage_by_class(*, unequal: bool) -> None:
    scores, wrong = population(2000, 0.2)
    rng = np.random.default_rng(0)
    true = rng.integers(3, size=2000)
    labels = np.where(wrong, (true + rng.integers(1, 3, size=2000)) % 3, true)
    held = []
    for seed in range(60):
        if unequal:
            found = next_rows(scores, 120, seed=seed)
            sample = verified_sample(2000, found.rows, wrong[found.rows], found.probability)
        else:
            sample = drawn(wrong, 120, seed)
        for share in shares_by_class(sample, labels, true[sample.rows], ["a", "b", "c"], scores):
            part = (labels if share.by == "given" else true) == "abc".index(share.name)
            held.append(share.low <= wrong[part].mean() <= share.high)
    assert np.mean(held) > 0.93


def test_verifiers_who_err_widen_the_interval() -> None:
    sample = verified_sample(10**6, np.arange(200), np.arange(200) < 30)
    right, erring = (share_wrong(sample, verifier_error=known_rate(rate)) for rate in (0.0, 0.05))
    assert erring.low == pytest.approx((right.low - 0.05) / 0.95)
    assert erring.high == pytest.approx((right.high - 0.05) / 0.9)
    assert erring.estimate < right.estimate
    assert "wrong in 5.0% of the rows" in erring.assumptions[1]
    most = share_wrong(sample, verifier_error=as_verifier_error(0.05))
    assert (most.low, most.high) == pytest.approx((erring.low, right.high / 0.95))
    assert "wrong in at most 5.0% of the rows" in most.assumptions[1]
    unknown = share_wrong(sample, verifier_error=VerifierError(0.0, 0.05))
    assert unknown.high - unknown.low > right.high - right.low


@pytest.mark.parametrize(("missed", "called_wrong"), [(0.0, 0.05), (0.05, 0.0)])
def test_coverage_with_verifiers_who_err(missed: float, called_wrong: float) -> None:
    """150 draws of 300 rows: a person misses wrong labels, and calls right ones wrong."""
    scores, wrong = population(4000, 0.15)
    held, without = [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        rows = rng.choice(4000, 300, replace=False)
        err = rng.random(300) < np.where(wrong[rows], missed, called_wrong)
        sample = verified_sample(4000, rows, wrong[rows] ^ err)
        share = share_wrong(sample, scores, verifier_error=as_verifier_error(0.05))
        held.append(share.low <= wrong.mean() <= share.high)
        plain = share_wrong(sample, scores)
        without.append(plain.low <= wrong.mean() <= plain.high)
    assert np.mean(held) > 0.95 - 2.6 * np.sqrt(0.95 * 0.05 / 150)
    if (missed, called_wrong) == (0.0, 0.05):
        assert np.mean(without) < 0.7, "the test notices when errors are not heeded"


def test_shares_of_true_classes_are_not_known_if_verifiers_err() -> None:
    sample = verified_sample(400, np.arange(40), np.arange(40) % 8 == 0)
    arguments: Any = (sample, np.arange(400) % 2, np.arange(40) % 2, ["a", "b"])
    found = shares_by_class(*arguments, verifier_error=as_verifier_error(0.02))
    right = shares_by_class(*arguments)
    assert [share.by for share in found] == ["given", "given"]
    assert found[0].low < right[0].low
    assert found[0].high > right[0].high


def test_rate_of_two_annotators_contains_the_truth() -> None:
    rng = np.random.default_rng(0)
    held = []
    for _ in range(300):
        answers = np.where(rng.random((2, 400)) < 0.04, rng.integers(1, 10, (2, 400)), 0)
        rate = rate_of_two(400, int((answers[0] != answers[1]).sum()))
        held.append(rate.low <= 0.04 <= rate.high)
    assert np.mean(held) > 0.95


def test_an_estimated_rate_takes_its_part_of_the_confidence() -> None:
    sample = verified_sample(10**6, np.arange(200), np.arange(200) < 30)
    found = share_wrong(sample, verifier_error=VerifierError(0.0, 0.0, confidence=0.975))
    np.testing.assert_allclose((found.low, found.high), share_interval(0.15, 200, 0.975), rtol=1e-3)
    with pytest.raises(ConfigError, match=r"expected more than the 0\.95 of the certificate"):
        share_wrong(sample, verifier_error=VerifierError(0.0, 0.1, confidence=0.9))


@pytest.mark.parametrize("unequal", [False, True])
def test_rows_without_an_answer_are_not_counted(*, unequal: bool) -> None:
    scores, wrong = population(2000, 0.2)
    rng = np.random.default_rng(0)
    likely = 0.1 + 0.3 * scores if unequal else np.full(2000, 0.2)
    held = []
    for _ in range(100):
        drawn_rows = rng.permutation(np.flatnonzero(rng.random(2000) < likely))
        rows = drawn_rows[:60]  # a person stops after 60 rows
        share = share_wrong(verified_sample(2000, rows, wrong[rows], likely[rows]), scores)
        held.append(share.low <= wrong.mean() <= share.high)
    assert np.mean(held) > 0.92


def test_two_random_draws_are_one() -> None:
    sample = verified_sample(
        500,
        np.arange(30),
        np.zeros(30),
        np.repeat([0.02, 20 / 490], [10, 20]),
        batch=[1] * 10 + [2] * 20,
    )
    np.testing.assert_allclose(sample.probability, 30 / 500)


def test_several_draws_are_a_mean_of_estimates() -> None:
    probability = 1 / np.array([20] * 10 + [9, 10] * 10)
    sample = verified_sample(
        200, np.arange(30), np.zeros(30), probability, batch=np.repeat([1, 2], [10, 20])
    )
    # The first draw counts for a third, and its rows are known when the second one is made.
    expected = [20 / 3 + 2 / 3] * 10 + [6, 20 / 3] * 10
    np.testing.assert_allclose(1 / sample.probability, expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 1], [0, 1]), "row 1 is verified 2 times: keep one answer"),
        (([1, 100], [0, 1]), "expected positions from 0 to 99, found 100"),
        (([1, 2], [0]), "one outcome for each of the 2 verified rows, found 1"),
        (
            ([1, 2], [0, 1], [0.1]),
            "one selection probability for each of the 2 verified rows, found 1",
        ),
        (
            ([1, 2], [0, 1], [0.1, 0]),
            "above 0 and at most 1, found 0 for row 2: leave out the rows",
        ),
        (([1, 2], [0, 1], [0.1, np.nan]), "found none for row 2"),
        (([1, 2], [0, 1], [1.5, 0.1]), r"found 1\.5 for row 1"),
    ],
)
def test_bad_samples(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        verified_sample(100, *arguments)


def test_bad_options() -> None:
    few = verified_sample(100, np.arange(9), np.zeros(9))
    sample = verified_sample(100, np.arange(10), np.zeros(10))
    with pytest.raises(
        DataError, match=r"10 or more verified rows .* found 9: verify 60 random rows"
    ):
        share_wrong(few)
    with pytest.raises(DataError, match="found none: verify 60"):
        share_wrong(verified_sample(100, [], []))
    with pytest.raises(DataError, match="found none: verify 60"):
        share_wrong(verified_sample(100, [], [], []))
    with pytest.raises(DataError, match="a batch for each of the 2 verified rows, found 1"):
        verified_sample(100, [1, 2], [0, 1], [0.1, 0.2], batch=[1])
    with pytest.raises(ConfigError, match="confidence: expected a number above 0 and below 1"):
        share_wrong(sample, confidence=95)
    with pytest.raises(DataError, match=r"a score for each of the 100 rows, found \(3,\)"):
        share_wrong(sample, [0.1, 0.2, 0.3])
    with pytest.raises(DataError, match=r"from 0 \(surely right\) to 1"):
        share_wrong(sample, np.full(100, np.nan))
    with pytest.raises(ConfigError, match=r"from 0 to below 0\.5, found 0\.6"):
        known_rate(0.6)
    with pytest.raises(ConfigError, match="too often to say how often one is wrong"):
        rate_of_two(20, 12)


@pytest.mark.parametrize("answer", [False, True])
def test_all_agree_or_all_differ(*, answer: bool) -> None:
    share = share_wrong(
        verified_sample(1000, np.arange(60), np.full(60, answer)), np.linspace(0, 1, 1000)
    )
    low, high = share_interval(float(answer), 60 / (1 - 0.06), 0.95)
    assert (share.low, share.high) == pytest.approx((low, high))
    assert not share.helped
