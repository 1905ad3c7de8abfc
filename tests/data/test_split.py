"""Splits: disjoint, balanced, proportional."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gdw.data import parse_imbalance, parse_noise, split_clean, stratified_subset
from gdw.errors import ConfigError, DataError

counts = st.lists(st.integers(0, 40), min_size=2, max_size=6).filter(
    lambda c: sum(map(bool, c)) > 1
)


@given(counts=counts, size=st.integers(1, 120), seed=st.integers(0, 2**32), data=st.data())
def test_a_clean_set_is_balanced_and_apart(
    counts: list[int], size: int, seed: int, data: st.DataObject
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    labels = np.array(data.draw(st.permutations(labels.tolist())), dtype=np.int64)
    present = np.flatnonzero(counts)
    share, extra = divmod(size, len(present))
    roomy = sum(n > share + 1 for n in counts if n)
    feasible = all(n > share for n in counts if n) and extra <= roomy
    if not feasible or size < len(present):
        with pytest.raises((DataError, ConfigError)):
            split_clean(labels, size, len(counts), seed)
        return
    clean, rest = split_clean(labels, size, len(counts), seed)
    assert len(clean) == size
    assert sorted([*clean, *rest]) == list(range(len(labels)))
    assert (np.diff(clean) > 0).all()
    assert (np.diff(rest) > 0).all()
    drawn = np.bincount(labels[clean], minlength=len(counts))[present]
    assert drawn.max() - drawn.min() <= 1
    assert (np.bincount(labels[rest], minlength=len(counts))[present] > 0).all()


def test_the_examples_beyond_equal_shares_go_to_random_classes_that_have_enough() -> None:
    labels = np.repeat(np.arange(4), [3, 10, 10, 10])
    favoured = set()
    for seed in range(20):
        clean, _rest = split_clean(labels, 9, 4, seed)
        drawn = np.bincount(labels[clean]).tolist()
        assert sorted(drawn) == [2, 2, 2, 3]
        favoured.add(drawn.index(3))
    assert favoured == {1, 2, 3}


def test_too_few_examples_for_a_clean_set() -> None:
    labels = np.repeat(np.arange(3), [5, 50, 50])
    with pytest.raises(
        DataError,
        match=r"the class 'ant' has 5 examples, too few to put 10 .*: use a clean set of at most 12",
    ):
        split_clean(labels, 30, 3, 0, label_names=["ant", "bee", "cat"])
    assert len(split_clean(labels, 12, 3, 0)[0]) == 12
    with pytest.raises(ConfigError, match="a clean set of 2 cannot hold an example of each of 3"):
        split_clean(labels, 2, 3, 0)
    with pytest.raises(DataError, match=r"the class '0' has 1 examples.*training: add examples"):
        split_clean(np.array([0, 1, 1, 1]), 2, 2, 0)


@given(counts=counts, seed=st.integers(0, 2**32), data=st.data())
def test_a_subset_is_proportional(counts: list[int], seed: int, data: st.DataObject) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    classes = sum(map(bool, counts))
    size = data.draw(st.integers(classes, len(labels)))
    chosen = stratified_subset(labels, size, seed)
    assert len(chosen) == size
    assert (np.diff(chosen) > 0).all()
    found = np.bincount(labels[chosen], minlength=len(counts))
    assert ((found > 0) == (np.array(counts) > 0)).all()
    exact = np.array(counts) * size / len(labels)
    if exact[exact > 0].min() >= 1:
        assert (abs(found - exact) < 1).all()
    assert (found[exact > 1] <= np.ceil(exact[exact > 1])).all()


def test_a_subset_of_an_impossible_size() -> None:
    labels = np.repeat(np.arange(3), 4)
    for size in (2, 13):
        with pytest.raises(ConfigError, match=f"a subset of {size} rows .* from 3 .* to 12"):
            stratified_subset(labels, size, 0)


def test_seeds_choose_and_global_random_state_is_untouched() -> None:
    labels = np.repeat(np.arange(4), 50)
    features = np.arange(200.0)[:, None] % 7
    before = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())  # noqa: NPY002
    first, second = (split_clean(labels, 20, 4, seed)[0] for seed in (0, 1))
    assert (first != second).any()
    assert (first == split_clean(labels, 20, 4, 0)[0]).all()
    assert (stratified_subset(labels, 20, 0) != stratified_subset(labels, 20, 1)).any()
    for kind in ("uniform", "flip", "pair", "instance"):
        parse_noise(f"{kind}:0.5").apply(labels, 4, 0, features)
    parse_imbalance("10").apply(labels, 4, 0)
    after = (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state())  # noqa: NPY002
    assert before[:2] == after[:2]
    assert torch.equal(before[2], after[2])
