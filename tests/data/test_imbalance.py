"""Imbalance: class sizes by closed form."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdw.data import parse_imbalance
from gdw.data.imbalance import exponential, step
from gdw.errors import ConfigError, DataError


def sizes(labels: np.ndarray, kept: np.ndarray, num_classes: int) -> list[int]:
    return np.bincount(labels[kept], minlength=num_classes).tolist()


def test_long_tail_of_cifar() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(10), 5000))
    kept = exponential(labels, 10, 50, seed=0)
    assert sizes(labels, kept, 10) == [int(5000 * 50 ** (-k / 9) + 1e-6) for k in range(10)]
    assert sizes(labels, kept, 10)[-1] == 100
    assert sizes(labels, step(labels, 10, 50, seed=0), 10) == [5000] * 5 + [100] * 5


@given(
    num_classes=st.integers(2, 8),
    factor=st.floats(1, 20),
    seed=st.integers(0, 2**32),
    kind=st.sampled_from(["exp", "step"]),
    spare=st.lists(st.integers(0, 30), min_size=8, max_size=8),
)
def test_sizes_have_the_factor_and_one_class_is_used_up(
    num_classes: int, factor: float, seed: int, kind: str, spare: list[int]
) -> None:
    labels = np.repeat(np.arange(num_classes), np.array(spare[:num_classes]) + 40)
    keep = exponential if kind == "exp" else step
    kept = keep(labels, num_classes, factor, seed=seed)
    assert (np.diff(kept) > 0).all()
    found = sizes(labels, kept, num_classes)
    assert sorted(found, reverse=True) == found
    assert found[0] / factor == pytest.approx(found[-1], abs=1 + 1 / factor)
    assert any(f == n for f, n in zip(found, np.bincount(labels), strict=True))
    assert (kept == keep(labels, num_classes, factor, seed=seed)).all()


@pytest.mark.parametrize("keep", [exponential, step])
def test_no_example_is_lost_to_rounding(keep: Callable[..., np.ndarray]) -> None:
    for factor in range(2, 120):
        labels = np.repeat(np.arange(2), 3 * factor)
        assert sizes(labels, keep(labels, 2, factor, seed=0), 2) == [3 * factor, 3]


def test_the_seed_chooses_the_examples() -> None:
    labels = np.repeat(np.arange(2), 100)
    first, second = (exponential(labels, 2, 10, seed=s) for s in (0, 1))
    assert sizes(labels, first, 2) == sizes(labels, second, 2)
    assert (first != second).any()


@pytest.mark.parametrize(("text", "kind"), [("50", "exp"), ("exp:50", "exp"), ("step:50", "step")])
def test_parsed_imbalance_is_the_function(text: str, kind: str) -> None:
    labels = np.repeat(np.arange(3), 100)
    keep = exponential if kind == "exp" else step
    kept = parse_imbalance(text).apply(labels, 3, 4)
    assert (kept == keep(labels, 3, 50, seed=4)).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stpe:50", "unknown imbalance 'stpe:50': .* Did you mean 'step'"),
        ("step:", "imbalance 'step:' has no factor"),
        ("fifty", "imbalance 'fifty' has no factor"),
        ("0.5", "a finite number of 1 or more, found 0.5"),
        ("inf", "a finite number of 1 or more, found inf"),
    ],
)
def test_unreadable_imbalance(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_imbalance(text)


def test_impossible_imbalance() -> None:
    labels = np.repeat(np.arange(2), 10)
    with pytest.raises(
        ConfigError, match="factor of 11 leaves no example of class 1: expected at most 10"
    ):
        exponential(labels, 2, 11, seed=0)
    with pytest.raises(DataError, match="class 2 has no examples"):
        step(labels, 3, 2, seed=0)
