"""Pairs of training and clean batches."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest
import torch
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from gdw.data import pair
from gdw.errors import DataError


def test_one_pair_a_training_batch() -> None:
    pairs = pair(["a", "b", "c", "d", "e"], [1, 2])
    assert len(pairs) == 5
    assert list(pairs) == [("a", 1), ("b", 2), ("c", 1), ("d", 2), ("e", 1)]


def test_the_clean_loader_goes_on_in_the_next_epoch() -> None:
    pairs = pair("ab", [1, 2, 3])
    assert [meta for _ in range(3) for _, meta in pairs] == [1, 2, 3, 1, 2, 3]


def test_no_clean_batch_is_taken_at_the_end_of_an_epoch() -> None:
    taken = []

    class Meta:
        def __iter__(self) -> Iterator[int]:
            for number in range(9):
                taken.append(number)
                yield number

    list(pair("ab", Meta()))
    assert taken == [0, 1]


def test_the_clean_loader_is_shuffled_anew() -> None:
    meta = DataLoader(
        TensorDataset(torch.arange(40)),
        batch_size=40,
        shuffle=True,
        generator=torch.Generator().manual_seed(0),
    )
    rounds = [tuple(clean[0].tolist()) for _, clean in pair(range(3), meta)]
    assert len(set(rounds)) == 3
    assert all(sorted(order) == list(range(40)) for order in rounds)


def test_a_sampler_with_epochs_is_told_the_round() -> None:
    data = TensorDataset(torch.arange(40))
    sampler = DistributedSampler(data, num_replicas=1, rank=0, shuffle=True)
    meta = DataLoader(data, batch_size=40, sampler=sampler)
    rounds = {tuple(clean[0].tolist()) for _, clean in pair(range(3), meta)}
    assert len(rounds) == 3


def test_batches_are_not_kept_alive() -> None:
    class Batch:
        pass

    alive: list[weakref.ref[Batch]] = []

    def train() -> Iterator[Batch]:
        for _ in range(3):
            gc.collect()
            assert all(old() is None for old in alive), (
                "an old batch is alive while the next one loads"
            )
            batch = Batch()
            alive.append(weakref.ref(batch))
            yield batch
            del batch

    iterator = iter(pair(train(), [0]))
    for _ in range(3):
        batch, _meta = next(iterator)
        del batch, _meta
    assert len(alive) == 3


def test_an_empty_clean_loader() -> None:
    with pytest.raises(DataError, match="the meta loader has no batches"):
        list(pair([1], []))


def test_a_one_shot_clean_iterator() -> None:
    with pytest.raises(DataError, match="pass a DataLoader or a list, not a one-shot iterator"):
        list(pair([1, 2], iter([1])))


def test_a_training_loader_without_length() -> None:
    with pytest.raises(TypeError):
        len(pair(iter([1, 2]), [1]))
