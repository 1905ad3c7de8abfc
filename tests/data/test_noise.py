"""Noise: rates and transitions by their definitions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gdw.data import parse_noise, transition_matrix
from gdw.data.noise import by_matrix, flip, instance_dependent, pair, uniform
from gdw.errors import ConfigError, DataError

seeds = st.integers(0, 2**32)
rates = st.floats(0, 1)
classes = st.integers(2, 12)
KINDS = {"uniform": uniform, "flip": flip, "pair": pair}


def balanced(num_classes: int, each: int) -> np.ndarray:
    return np.repeat(np.arange(num_classes), each)


@given(kind=st.sampled_from(sorted(KINDS)), num_classes=classes, rate=rates, seed=seeds)
def test_rows_of_the_matrix_are_probabilities(
    kind: str, num_classes: int, rate: float, seed: int
) -> None:
    matrix = transition_matrix(kind, num_classes, rate, seed)
    assert matrix.shape == (num_classes, num_classes)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)
    kept = 1 - rate + (rate / num_classes if kind == "uniform" else 0)
    np.testing.assert_allclose(np.diag(matrix), kept)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_observed_transitions_follow_the_matrix(kind: str) -> None:
    C, each = 5, 20_000
    labels = balanced(C, each)
    noisy = KINDS[kind](labels, C, 0.4, seed=3)
    observed = np.zeros((C, C))
    np.add.at(observed, (labels, noisy), 1 / each)
    expected = transition_matrix(kind, C, 0.4, 3)
    assert (observed[expected == 0] == 0).all()
    # Five standard deviations of a proportion of 20,000.
    np.testing.assert_allclose(observed, expected, atol=5 * np.sqrt(0.25 / each))


@given(kind=st.sampled_from(sorted(KINDS)), num_classes=classes, rate=rates, seed=seeds)
def test_only_possible_labels_appear(kind: str, num_classes: int, rate: float, seed: int) -> None:
    labels = balanced(num_classes, 5)
    noisy = KINDS[kind](labels, num_classes, rate, seed=seed)
    assert (transition_matrix(kind, num_classes, rate, seed)[labels, noisy] > 0).all()
    assert noisy.dtype == np.int64
    assert (noisy == KINDS[kind](labels, num_classes, rate, seed=seed)).all()
    if rate == 0:
        assert (noisy == labels).all()


@given(num_classes=classes, seed=seeds)
def test_full_flips(num_classes: int, seed: int) -> None:
    labels = balanced(num_classes, 3)
    assert (flip(labels, num_classes, 1.0, seed=seed) != labels).all()
    assert (pair(labels, num_classes, 1.0, seed=seed) == (labels + 1) % num_classes).all()


def test_uniform_redraws_over_all_classes() -> None:
    labels = balanced(10, 5_000)
    wrong = (uniform(labels, 10, 0.4, seed=0) != labels).mean()
    assert wrong == pytest.approx(0.36, abs=5 * np.sqrt(0.36 * 0.64 / len(labels)))


def test_flip_targets_differ_between_seeds() -> None:
    targets = {tuple(flip(np.arange(6), 6, 1.0, seed=seed)) for seed in range(20)}
    assert len(targets) > 10


@given(seed=seeds)
def test_a_matrix_of_zeros_and_ones_is_a_map(seed: int) -> None:
    labels = balanced(3, 4)
    assert (by_matrix(labels, 3, [[0, 1, 0], [0, 1, 0], [1, 0, 0]], seed=seed)).tolist() == (
        [1] * 8 + [0] * 4
    )


def test_observed_transitions_follow_a_given_matrix() -> None:
    matrix = np.array([[0.7, 0.0, 0.3], [0.0, 1.0, 0.0], [0.25, 0.25, 0.5]])
    labels = balanced(3, 20_000)
    noisy = by_matrix(labels, 3, matrix, seed=1)
    observed = np.zeros((3, 3))
    np.add.at(observed, (labels, noisy), 1 / 20_000)
    assert (observed[matrix == 0] == 0).all()
    np.testing.assert_allclose(observed, matrix, atol=5 * np.sqrt(0.25 / 20_000))


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.4, 0.9, 1.0])
def test_instance_dependent_noise_has_its_rate(rate: float) -> None:
    features = np.random.default_rng(0).standard_normal((20_000, 8))
    labels = np.random.default_rng(1).integers(0, 4, 20_000)
    noisy = instance_dependent(labels, 4, rate, seed=5, features=features)
    bound = 5 * np.sqrt(max(rate * (1 - rate), 1e-12) / 20_000)
    assert (noisy != labels).mean() == pytest.approx(rate, abs=bound)


def test_instance_dependent_noise_depends_on_features() -> None:
    rng = np.random.default_rng(0)
    point, other = rng.standard_normal((2, 6))
    features = np.concatenate([np.tile(point, (2_000, 1)), np.tile(other, (2_000, 1))])
    labels = np.zeros(4_000, dtype=np.int64)
    noisy = instance_dependent(labels, 5, 0.3, seed=2, features=features)
    here, there = noisy[:2_000], noisy[2_000:]
    # Equal features give one target; different ones different rates.
    assert len(set(here[here != 0])) == 1
    assert len(set(there[there != 0])) == 1
    assert abs((here != 0).mean() - (there != 0).mean()) > 0.1


def test_instance_dependent_noise_ignores_the_scale_of_features() -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((300, 4))
    labels = rng.integers(0, 3, 300)
    scaled = np.concatenate([features * [1, 10, 100, 1000] + 7, np.ones((300, 0))], axis=1)
    first = instance_dependent(labels, 3, 0.4, seed=0, features=features)
    second = instance_dependent(labels, 3, 0.4, seed=0, features=scaled)
    assert (first == second).all()


@pytest.mark.parametrize("text", ["uniform:0.4", "flip:0.4", "pair:0.4", " Uniform:0.4"])
def test_parsed_noise_is_the_function(text: str) -> None:
    noise = parse_noise(text)
    labels = balanced(4, 50)
    expected = KINDS[noise.kind](labels, 4, 0.4, seed=9)
    assert (noise.apply(labels, 4, 9) == expected).all()
    assert not noise.needs_features


def test_parsed_instance_noise() -> None:
    noise = parse_noise("instance:0.3")
    labels, features = balanced(3, 10), np.random.default_rng(0).standard_normal((30, 2))
    assert noise.needs_features
    expected = instance_dependent(labels, 3, 0.3, seed=1, features=features)
    assert (noise.apply(labels, 3, 1, features) == expected).all()
    with pytest.raises(ConfigError, match="needs the features"):
        noise.apply(labels, 3, 1)


def test_parsed_matrix(tmp_path: Path) -> None:
    file = tmp_path / "matrix.csv"
    file.write_text("0,1\n1,0\n")
    assert parse_noise(f"matrix:{file}").apply(np.array([0, 1, 1]), 2, 0).tolist() == [1, 0, 0]
    file.write_text("0,1\n1,0.5\n")
    with pytest.raises(ConfigError, match="row 1 of the noise matrix should be probabilities"):
        parse_noise(f"matrix:{file}")
    file.write_text("0,1\n")
    with pytest.raises(ConfigError, match="is not square"):
        parse_noise(f"matrix:{file}")
    with pytest.raises(ConfigError, match="cannot read the noise matrix"):
        parse_noise(f"matrix:{tmp_path / 'none.csv'}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("unifrom:0.4", "unknown noise 'unifrom:0.4': .* Did you mean 'uniform'"),
        ("flip", "noise 'flip' has no rate: expected a number from 0 to 1"),
        ("flip:many", "noise 'flip:many' has no rate"),
        ("flip:1.5", "a noise rate is a number from 0 to 1, found 1.5"),
        ("flip:nan", "a noise rate is a number from 0 to 1, found nan"),
    ],
)
def test_unreadable_noise(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_noise(text)


def test_impossible_noise() -> None:
    with pytest.raises(DataError, match="expected labels from 0 to 1, found 0 to 2"):
        uniform(np.array([0, 2]), 2, 0.1, seed=0)
    with pytest.raises(ConfigError, match="at least two classes"):
        flip(np.zeros(3, dtype=np.int64), 1, 0.1, seed=0)
    with pytest.raises(ConfigError, match="no transition matrix for 'instance'"):
        transition_matrix("instance", 3, 0.1, 0)
    with pytest.raises(DataError, match=r"expected features of shape \(2, F\), found \(3, 1\)"):
        instance_dependent(np.array([0, 1]), 2, 0.1, seed=0, features=np.zeros((3, 1)))
    with pytest.raises(DataError, match="finite features"):
        instance_dependent(np.array([0]), 2, 0.1, seed=0, features=np.array([[np.nan]]))
