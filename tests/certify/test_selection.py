"""Which rows are drawn next, with which probability, and what they are expected to bring."""

from __future__ import annotations

import numpy as np
import pytest

from gdw.certify import expected_widths, next_rows, share_wrong, verified_sample
from gdw.certify.bounds import share_interval
from gdw.certify.selection import random_widths, selection_probability
from gdw.errors import ConfigError
from tests.certify.populations import population


def test_rows_in_doubt_are_more_likely_and_all_are_possible() -> None:
    p = np.array([0.0, 0.5, 1.0, 0.1] * 100)
    likely = selection_probability(p, 60)
    assert likely.sum() == pytest.approx(60)
    assert likely[1] > likely[3] > likely[0] == likely[2] > 0
    assert likely[0] >= 0.4 * 60 / 400 * 0.999


def test_no_probability_is_above_one() -> None:
    p = np.where(np.arange(100) < 5, 0.5, 1e-9)
    likely = selection_probability(p, 40)
    assert likely.max() == 1
    assert likely.sum() == pytest.approx(40)
    assert (selection_probability(p, 200) == 1).all()
    np.testing.assert_allclose(selection_probability(np.zeros(10), 5), 0.5)


def test_rows_are_drawn_with_their_probability_and_not_twice() -> None:
    scores, wrong = population(60, 0.3)
    done = verified_sample(60, np.arange(8), wrong[:8])
    count, expected = np.zeros(60), np.zeros(60)
    for seed in range(2000):
        found = next_rows(scores, 15, verified=done, seed=seed)
        assert len(np.unique(found.rows)) == 15
        count[found.rows] += 1
        expected[found.rows] = found.probability
    assert not count[:8].any()
    np.testing.assert_allclose(count[8:] / 2000, expected[8:], atol=0.045)


def test_two_draws_together_are_unbiased_and_as_narrow_as_promised() -> None:
    scores, wrong = population(3000, 0.2, slope=4.0)
    found, promised, widths = [], [], []
    for seed in range(60):
        first = np.random.default_rng(seed).choice(3000, 60, replace=False)
        sample = verified_sample(3000, first, wrong[first])
        promised.append(expected_widths(scores, sample)[100])
        more = next_rows(scores, 100, verified=sample, seed=seed)
        both = verified_sample(
            3000,
            np.concatenate([first, more.rows]),
            wrong[np.concatenate([first, more.rows])],
            np.concatenate([sample.probability, more.probability]),
            batch=np.repeat([0, 1], [60, 100]),
        )
        share = share_wrong(both, scores)
        found.append(share.estimate)
        widths.append(share.high - share.low)
    assert np.mean(found) == pytest.approx(wrong.mean(), abs=3 * np.std(found) / np.sqrt(60))
    assert np.mean(promised) == pytest.approx(np.mean(widths), rel=0.15)


@pytest.mark.parametrize("power", [1.0, 0.3])
def test_a_first_draw_by_the_scores_alone_holds_and_is_narrower_if_they_are_right(
    power: float,
) -> None:
    """300 draws of 80 rows whose true labels are known; with a power of 0.3 the scores are far too high."""
    scores, wrong = population(2000, 0.15, slope=4.0)
    doubt = scores**power
    shares, others = [], []
    for seed in range(300):
        found = next_rows(doubt, 80, seed=seed)
        sample = verified_sample(2000, found.rows, wrong[found.rows], found.probability)
        shares.append(share_wrong(sample, doubt))
        if seed < 60:
            rows = np.random.default_rng(seed).choice(2000, 80, replace=False)
            others.append(share_wrong(verified_sample(2000, rows, wrong[rows]), doubt))
    held = np.mean([share.low <= wrong.mean() <= share.high for share in shares])
    assert held > 0.95 - 2.6 * np.sqrt(0.95 * 0.05 / 300)
    assert np.mean([share.estimate for share in shares]) == pytest.approx(wrong.mean(), abs=0.005)
    width, of_random = (np.mean([s.high - s.low for s in some]) for some in (shares, others))
    assert width < (0.93 if power == 1 else 1.03) * of_random


def test_some_of_the_rows_are_a_random_sample_by_themselves() -> None:
    scores, wrong = population(1000, 0.2, slope=4.0)
    count, everything, drawn = np.zeros(1000), 0, 0
    for seed in range(400):
        found = next_rows(scores, 100, seed=seed)
        count[found.rows[found.equal]] += 1
        everything += int(found.equal.sum())
        drawn += int(wrong[found.rows[found.equal]].sum())
    assert everything / 400 == pytest.approx(70, abs=1)
    assert drawn / everything == pytest.approx(wrong.mean(), abs=0.01)
    surely = scores > np.quantile(scores, 0.5)
    assert count[surely].mean() == pytest.approx(count[~surely].mean(), abs=1.0)
    assert next_rows(scores[:20], 30).equal.all()


def test_rows_that_are_taken_are_not_drawn() -> None:
    scores, wrong = population(200, 0.3)
    taken = np.arange(200) < 150
    for verified in (None, verified_sample(200, np.arange(20), wrong[:20])):
        found = next_rows(scores, 30, taken=taken, verified=verified)
        assert found.rows.min() >= 150
        assert len(found.rows) == 30


def test_without_scores_the_width_is_that_of_random_rows() -> None:
    low, high = share_interval(0.1, 50 / (1 - 50 / 200), 0.95)
    assert random_widths(0.1, 200, (50, 200)) == {50: pytest.approx(high - low), 200: 0.0}


def test_more_rows_are_expected_to_bring_more() -> None:
    scores, wrong = population(1000, 0.2)
    widths = expected_widths(scores, verified_sample(1000, np.arange(30), wrong[:30]))
    assert list(widths) == [0, 50, 100, 200]
    assert widths[0] > widths[50] > widths[100] > widths[200] > 0
    all_of_them = expected_widths(scores, verified_sample(1000, np.arange(30), wrong[:30]), (970,))
    assert all_of_them[970] == 0


def test_bad_input() -> None:
    with pytest.raises(ConfigError, match="n: expected a number of rows of 1 or more, found 0"):
        next_rows(np.linspace(0, 1, 20), 0)
