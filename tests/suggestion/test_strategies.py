"""Which rows are chosen, and with which probability."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdw.suggestion import STRATEGIES, Opinions, choose
from gdw.suggestion.quotas import quotas


def made(likely: list[int], doubt: list[float] | None = None, *, classes: int = 3) -> Opinions:
    strata = np.array(likely)
    count = len(strata)
    doubts = np.linspace(0, 1, count) if doubt is None else np.array(doubt)
    return Opinions(
        strata,
        classes,
        strata[:, None],
        np.ones((count, 1)),
        np.ones(count),
        strata,
        doubts,
        np.zeros(count),
    )


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6),
    st.floats(0, 1),
)
def test_no_class_gets_more_while_another_has_less_and_rows_left(
    classes: list[tuple[int, int]], share: float
) -> None:
    available, counted = np.array(classes).T
    wanted = int(share * available.sum())
    shares = quotas(wanted, available, counted)
    drawn = shares.drawn(np.random.default_rng(0))
    assert drawn.sum() == wanted
    assert shares.expected.sum() == pytest.approx(wanted)
    assert (drawn <= available).all()
    total = counted + drawn
    hungry = drawn < available
    if hungry.any() and (drawn > 0).any():
        assert total[drawn > 0].max() <= total[hungry].min() + 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_each_row_is_chosen_once_and_no_row_that_is_taken(strategy: str) -> None:
    opinions = made([0] * 20 + [1] * 5 + [2] * 5)
    taken = np.arange(30) % 2 == 0
    choice = choose(opinions, 12, strategy, taken=taken, seed=3)  # type: ignore[arg-type]
    assert len(set(choice.positions.tolist())) == 12
    assert not taken[choice.positions].any()
    again = choose(opinions, 12, strategy, taken=taken, seed=3)  # type: ignore[arg-type]
    assert again.positions.tolist() == choice.positions.tolist()
    every = choose(opinions, 99, strategy, taken=taken)  # type: ignore[arg-type]
    assert sorted(every.positions.tolist()) == np.flatnonzero(~taken).tolist()


@pytest.mark.parametrize("strategy", ["random", "balanced", "mixed"])
def test_the_stated_probability_is_how_often_a_row_is_drawn(strategy: str) -> None:
    opinions = made([0] * 6 + [1] * 3 + [2] * 2)
    counted = np.array([0, 1, 0])
    times, stated = np.zeros(11), np.zeros(11)
    draws = 3000
    for seed in range(draws):
        choice = choose(opinions, 7, strategy, counted=counted, seed=seed)  # type: ignore[arg-type]
        drawn = choice.positions[~np.isnan(choice.probabilities)]
        times[drawn] += 1
        stated[drawn] = choice.probabilities[~np.isnan(choice.probabilities)]
    assert np.abs(times / draws - stated).max() < 0.03


def test_balanced_shares_equally_after_every_round_and_counts_what_is_verified() -> None:
    opinions = made([0] * 50 + [1] * 20 + [2] * 9)
    choice = choose(opinions, 12, "balanced")
    classes = opinions.likely[choice.positions]
    assert [sorted(classes[i : i + 3]) for i in range(0, 12, 3)] == [[0, 1, 2]] * 4
    assert choice.probabilities[classes == 2][0] == pytest.approx(4 / 9)
    choice = choose(opinions, 12, "balanced", counted=np.array([6, 0, 0]))
    assert np.bincount(opinions.likely[choice.positions]).tolist() == [0, 6, 6]


def test_doubtful_takes_the_labels_in_most_doubt_and_mixed_those_of_each_class() -> None:
    doubt = [0.9, 0.8, 0.7, 0.1, 0.2, 0.3, 0.05, 0.06, 0.07]
    opinions = made([0, 0, 0, 1, 1, 1, 2, 2, 2], doubt)
    assert choose(opinions, 3, "doubtful").positions.tolist() == [0, 1, 2]
    choice = choose(opinions, 6, "mixed", seed=5)
    assert choice.reasons == ("balanced", "doubtful") * 3
    drawn = set(choice.positions[::2].tolist())
    expected = {
        max(set(c) - drawn, key=lambda i: doubt[i]) for c in ([0, 1, 2], [3, 4, 5], [6, 7, 8])
    }
    assert set(choice.positions[1::2].tolist()) == expected
    assert np.isnan(choice.probabilities[1::2]).all()


def test_more_classes_than_rows_are_drawn_among_all_classes() -> None:
    opinions = made(list(range(50)) * 4, classes=50)
    chosen = [
        opinions.likely[choose(opinions, 10, "balanced", seed=s).positions] for s in range(40)
    ]
    assert all(len(set(c.tolist())) == 10 for c in chosen)
    assert len(set(np.concatenate(chosen).tolist())) == 50
