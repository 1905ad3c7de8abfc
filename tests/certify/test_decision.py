"""Decisions with a guarantee: what is chosen, how often it fails, and what is said if nothing is sure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gdw.certify import curve, decide, ranking, verified_sample
from gdw.certify.bounds import share_interval
from gdw.certify.verifier_error import as_verifier_error
from gdw.errors import ConfigError, DataError
from tests.certify.populations import population

N = 2000


def perfect(count: int = 300, seed: int = 0) -> Any:
    """A ranking that has all 400 wrong labels first; the suggestions for them are right."""
    wrong = np.arange(N) < 400
    rows = np.random.default_rng(seed).choice(N, count, replace=False)
    sample = verified_sample(N, rows, wrong[rows])
    return ranking(sample, np.linspace(1, 0, N), suggestion_wrong=~wrong[rows], candidates=600)


def test_of_a_perfect_ranking_nearly_all_wrong_labels_are_dropped() -> None:
    found = decide(perfect(), "drop", target=0.05)
    # With 316 rows dropped, 5 % of the rest are wrong.
    assert found.rows is not None
    assert 285 < found.rows <= 330
    assert found.sentence.startswith(
        f"leave out the {found.rows} most suspicious rows: at most 5.0%"
    )


def test_nothing_has_to_be_changed() -> None:
    found = decide(perfect(), "relabel", target=0.3)
    assert found.rows == 0
    assert found.sentence.startswith("no row has to be changed: at most 30.0% of all 2,000 labels")


def test_relabelling_takes_the_suggestions_into_account() -> None:
    found = decide(perfect(), "relabel", target=0.05)
    assert (
        found.rows is None
    )  # 200 right labels of the 600 candidates would be replaced: no k above 500
    assert decide(perfect(), "relabel", target=0.15).rows is not None


def test_of_the_changed_labels_few_were_right() -> None:
    found = decide(perfect(), "changed", target=0.2)
    assert found.rows is not None
    assert 400 <= found.rows <= 500
    assert "at most 20.0% of the changed labels were right" in found.sentence


@pytest.mark.parametrize("what", ["drop", "relabel", "changed"])
@pytest.mark.parametrize("unequal", [False, True])
def test_the_guarantee_holds(what: str, *, unequal: bool) -> None:
    scores, wrong = population(N, 0.15, slope=4.0)
    spoiled = np.random.default_rng(1).random(N) < np.where(wrong, 0.1, 1.0)
    order = np.argsort(-scores, kind="stable")
    target = {"drop": 0.06, "relabel": 0.1, "changed": 0.4}[what]
    likely = np.clip(0.05 + 0.3 * np.sqrt(scores * (1 - scores)), 0, 1)
    failures = accepted = 0
    draws = 25 if unequal else 150
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        rows = (
            np.flatnonzero(rng.random(N) < likely) if unequal else rng.choice(N, 200, replace=False)
        )
        sample = verified_sample(N, rows, wrong[rows], likely[rows] if unequal else None)
        k = decide(
            ranking(
                sample, scores, suggestion_wrong=spoiled[rows], candidates=int((scores > 0.5).sum())
            ),
            what,
            target=target,
        ).rows
        if k is None:
            continue
        first, rest = order[:k], order[k:]
        share = {
            "drop": wrong[rest].mean(),
            "relabel": (spoiled[first].sum() + wrong[rest].sum()) / N,
            "changed": (~wrong[first]).mean() if k else 0.0,
        }[what]
        accepted += 1
        failures += share > target
    assert accepted > 0
    # Of 25 draws with a chance of 5 %, more than 3 fail in 4 % of the cases; of 150, more than 12 in 4 %.
    assert failures <= (3 if unequal else 12)


def test_verifiers_who_miss_wrong_labels_do_not_break_a_decision() -> None:
    """They miss three of ten wrong labels. In 200 draws the target is missed in 5 % at most."""
    scores, wrong = population(N, 0.15, slope=4.0)
    order = np.argsort(-scores, kind="stable")
    failures = {0.0: 0, 0.3: 0}
    for seed in range(200):
        rng = np.random.default_rng(seed)
        rows = rng.choice(N, 250, replace=False)
        seen = wrong[rows] & (rng.random(250) > 0.3)
        ranked = ranking(verified_sample(N, rows, seen), scores)
        for rate in failures:
            error = as_verifier_error(rate)
            found = decide(ranked, "drop", target=0.06, verifier_error=error)
            if found.rows is not None:
                failures[rate] += bool(wrong[order[found.rows :]].mean() > 0.06)
    # Of 200 draws with a chance of 5 %, more than 15 fail in 5 % of the cases.
    assert failures[0.3] <= 15
    assert failures[0.0] > 20, "the test notices when errors are not heeded"


def test_verifiers_who_err_make_no_decision_easier() -> None:
    right, erring = (
        decide(perfect(), "drop", target=0.05, verifier_error=as_verifier_error(rate))
        for rate in (0.0, 0.1)
    )
    assert right.rows is not None
    assert erring.rows is not None
    assert erring.rows > right.rows
    assert "wrong in at most 10.0% of the rows" in erring.assumptions[1]


def test_too_few_rows_say_how_many_more() -> None:
    found = decide(perfect(60), "drop", target=0.03)
    assert found.rows is None
    assert found.more is not None
    assert 20 < found.more < 400
    assert f"it takes about {found.more} more, drawn at random" in found.sentence
    assert decide(perfect(60 + 2 * found.more), "drop", target=0.03).rows is not None


def test_a_target_below_what_is_possible() -> None:
    rows = np.arange(0, N, 10)
    sample = verified_sample(N, rows, rows % 20 == 0)
    found = decide(ranking(sample, np.linspace(1, 0, N)), "drop", target=0.001)
    assert found.rows is None
    assert found.more is None
    assert "no number of rows is sure to meet the target" in found.sentence
    assert "Choose a higher target" in found.sentence


def test_a_best_guess_just_below_the_target_takes_more_rows_and_no_higher_target() -> None:
    rows = np.arange(0, N, 8)
    sample = verified_sample(N, rows, rows % 160 == 0)
    scores = np.linspace(1, 0, N)
    ranked = ranking(sample, scores, candidates=N // 10)
    found = decide(ranked, "drop", target=0.07)
    assert (found.rows, found.share < 0.05) == (None, True)
    assert found.more == pytest.approx(194, abs=15)
    assert f"the best guess is 4.9%, and it takes about {found.more} more" in found.sentence
    enough = np.arange(0, N, 4)
    more = verified_sample(N, enough, enough % 80 == 0)
    assert decide(ranking(more, scores, candidates=N // 10), "drop", target=0.07).rows is not None
    nearly = decide(ranked, "drop", target=0.0501)
    assert nearly.sentence.endswith("it takes nearly all others")


def test_with_suggestions_that_are_mostly_wrong_more_rows_do_not_help() -> None:
    rows = np.arange(0, N, 10)
    wrong = np.arange(N) < 200
    sample = verified_sample(N, rows, wrong[rows])
    # The first 200 suggestions are right, the 600 others are not.
    ranked = ranking(sample, np.linspace(1, 0, N), suggestion_wrong=~wrong[rows], candidates=800)
    found = decide(ranked, "relabel", target=0.05)
    assert (found.rows, found.more) == (None, None)
    assert "with all suggestions about 30.0% are" in found.sentence


def test_curve_has_the_interval_of_each_share() -> None:
    of_all = curve(perfect(), "relabel")
    assert of_all.rows[0] == 0
    assert of_all.rows[-1] == 600
    ranked = perfect()
    share = ranked.sample.wrong.mean()
    limits = share_interval(share, 300 / (1 - 300 / N), 0.95)
    assert (of_all.share[0], of_all.low[0], of_all.high[0]) == pytest.approx((share, *limits))
    assert np.isnan(curve(perfect(), "changed").share[0])


def test_bad_input() -> None:
    ranked = perfect()
    with pytest.raises(ConfigError, match="expected one of drop, relabel, changed, found 'keep'"):
        decide(ranked, "keep", target=0.1)
    with pytest.raises(ConfigError, match="target: expected a share above 0 and below 1"):
        decide(ranked, "drop", target=3)
    without = ranking(ranked.sample, np.linspace(1, 0, N))
    with pytest.raises(
        DataError, match="whether the suggested label of each verified row is wrong"
    ):
        decide(without, "relabel", target=0.1)
    with pytest.raises(DataError, match="each of the 2000 positions once"):
        ranking(ranked.sample, np.linspace(1, 0, N), order=np.zeros(N))
    with pytest.raises(DataError, match="for each of the 300 verified rows"):
        ranking(ranked.sample, np.linspace(1, 0, N), suggestion_wrong=[True])
