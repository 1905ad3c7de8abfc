"""First estimates of label noise, and EM that stays near them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gdw.functional.pooling import share_of_class
from gdw.functional.posterior import (
    NoiseAnchor,
    alike,
    frequencies_of_inputs,
    frequencies_of_labels,
    noise_anchor,
    noise_posterior,
)

F64 = torch.float64
T = torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.8, 0.2], [0.3, 0.0, 0.7]], dtype=F64)
EVEN = torch.full((3,), 1 / 3, dtype=F64)


def test_rows_are_mean_predictions_with_one_example_that_is_like_the_others() -> None:
    draw = torch.Generator().manual_seed(0)
    predicted = torch.rand(7, 3, dtype=F64, generator=draw)
    predicted = predicted / predicted.sum(1, keepdim=True)
    classes, given = torch.tensor([0, 0, 0, 1, 1, 2, 2]), torch.tensor([0, 1, 1, 2, 0, 0])
    true = torch.nn.functional.one_hot(classes, 3)
    found = noise_anchor(predicted, true, given, prior=EVEN)
    right = sum(float(predicted[i, k]) for i, k in enumerate(classes.tolist())) / 7
    share = torch.tensor([3, 2, 1]).double() / 6
    for j in range(3):
        row = predicted[classes == j].sum(0)
        for k in range(3):
            other = share[k] / (1 - share[j]) * (1 - right)
            row[k] += right if j == k else other
        torch.testing.assert_close(found.transition[j], row / row.sum())
    assert found.counts.tolist() == [3, 2, 2]
    assert (found.size, found.examples) == (6, 6)


def test_examples_without_a_class_do_not_count() -> None:
    given = torch.tensor([0, 1, 1, 2])
    expected = noise_anchor(T, torch.eye(3), given, prior=EVEN)
    true = torch.cat([torch.eye(3), torch.zeros(2, 3)])
    found = noise_anchor(torch.cat([T, T[:2]]), true, given, prior=EVEN)
    torch.testing.assert_close(vars(found), vars(expected))


def test_a_class_without_clean_examples_is_like_the_others() -> None:
    predicted, true = T[torch.tensor([0, 1])], torch.eye(3)[:2]
    found = noise_anchor(predicted, true, torch.tensor([0, 1, 1, 2]), prior=EVEN)
    torch.testing.assert_close(found.transition.sum(1), torch.ones(3, dtype=F64))
    assert float(found.transition[2, 2]) == pytest.approx(0.75)
    # The other labels as often as they are given: once and twice.
    assert float(found.transition[2, 1] / found.transition[2, 0]) == pytest.approx(2)


def test_rows_that_are_alike_are_distributions_with_the_share_of_right_labels() -> None:
    counts = torch.tensor([[6.0, 2.0], [1.0, 3.0]], dtype=F64)
    found = alike(counts, torch.tensor([0.5, 0.5], dtype=F64))
    torch.testing.assert_close(found, torch.tensor([[0.75, 0.25], [0.25, 0.75]], dtype=F64))


def test_frequencies_are_those_that_explain_the_labels() -> None:
    pi = torch.tensor([0.6, 0.3, 0.1], dtype=F64)
    found = frequencies_of_labels(T, 1000 * (pi @ T), EVEN, strength=0)
    torch.testing.assert_close(found, pi, rtol=0, atol=1e-3)
    near = frequencies_of_labels(T, 1000 * (pi @ T), EVEN, strength=1e9)
    torch.testing.assert_close(near, EVEN, rtol=0, atol=1e-4)


def test_no_frequencies_near_them_are_likelier() -> None:
    counts, prior = (
        torch.tensor([50.0, 30.0, 20.0], dtype=F64),
        torch.tensor([0.2, 0.2, 0.6]).double(),
    )
    found = frequencies_of_labels(T, counts, prior, strength=40)

    def worth(pi: Tensor) -> float:
        return float((counts * (pi @ T).log()).sum() + 40 * (prior * pi.log()).sum())

    for j in range(3):
        moved = found.clone()
        moved[j] *= 1.02
        assert worth(moved / moved.sum()) < worth(found)


def test_frequencies_of_inputs_need_no_label() -> None:
    # Inputs of three kinds; how often the examples of each class are of each kind.
    kinds = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.2, 0.1, 0.7]], dtype=F64)
    prior, pi = EVEN, torch.tensor([0.9, 0.07, 0.03], dtype=F64)
    of_class = prior * kinds.T
    probabilities = of_class / of_class.sum(1, keepdim=True)
    seen = (100_000 * (pi @ kinds)).round().long()
    found = frequencies_of_inputs(probabilities.repeat_interleave(seen, dim=0), prior)
    torch.testing.assert_close(found, pi, rtol=0, atol=2e-3)


def _anchor(size: float, counts: float) -> NoiseAnchor:
    pi = torch.tensor([0.5, 0.25, 0.25], dtype=F64)
    return NoiseAnchor(T, torch.full((3,), counts, dtype=F64), pi, size, 60)


def test_em_stays_at_an_anchor_that_counts_for_everything() -> None:
    draw = torch.Generator().manual_seed(1)
    p = torch.randn(60, 3, dtype=F64, generator=draw).softmax(1)
    given = torch.randint(3, (60,), generator=draw)
    anchor = _anchor(1e12, 1e12)
    found = noise_posterior(p, given, anchor=anchor, max_steps=3)
    torch.testing.assert_close(found.transition, T, rtol=0, atol=1e-6)
    torch.testing.assert_close(found.class_prior, anchor.class_prior, rtol=0, atol=1e-6)
    expected = 3 * p * anchor.class_prior * T[:, given].T
    torch.testing.assert_close(
        found.responsibilities, expected / expected.sum(1, keepdim=True), rtol=0, atol=1e-6
    )


def test_a_step_of_em_adds_the_anchor_to_the_soft_counts() -> None:
    draw = torch.Generator().manual_seed(2)
    p = torch.randn(60, 3, dtype=F64, generator=draw).softmax(1)
    given = torch.randint(3, (60,), generator=draw)
    anchor = _anchor(30, 8)
    found = noise_posterior(p, given, anchor=anchor, max_steps=0)
    q = p * anchor.class_prior * T[:, given].T
    q = q / q.sum(1, keepdim=True)
    rows = 8 * T
    for i, k in enumerate(given.tolist()):
        rows[:, k] = rows[:, k] + q[i]
    torch.testing.assert_close(found.transition, rows / rows.sum(1, keepdim=True))
    pi = (q.sum(0) + 30 * anchor.class_prior) / 90
    torch.testing.assert_close(found.class_prior, pi)


def test_an_anchor_keeps_a_class_from_taking_over() -> None:
    """Models that are unsure of half the examples: EM alone gives these to the rarest class."""
    draw = torch.Generator().manual_seed(3)
    true = torch.tensor([0.55, 0.4, 0.05]).expand(600, 3).multinomial(1, generator=draw).squeeze(1)
    given = T[true].multinomial(1, generator=draw).squeeze(1)
    rho = torch.tensor([0.55, 0.4, 0.05], dtype=F64)
    sure = 0.9 * torch.nn.functional.one_hot(true, 3) + 0.1 / 3
    unsure = torch.tensor([0.35, 0.35, 0.30], dtype=F64).expand(600, 3)
    p = torch.where((torch.arange(600) % 2 == 0).unsqueeze(1), sure, unsure)
    anchor = NoiseAnchor(T, 40 * rho, rho, 600.0, 600)
    alone, near = (
        noise_posterior(p, given, clean_prior=rho, strength=10.0, anchor=a, max_steps=100)
        for a in (None, anchor)
    )
    assert alone.class_prior[2] > 0.4
    assert near.class_prior[2] < 0.3
    assert (near.transition[2] - T[2]).abs().max() < (alone.transition[2] - T[2]).abs().max()


def test_labels_that_follow_the_class_are_told_from_those_that_follow_the_example() -> None:
    draw = torch.Generator().manual_seed(4)
    p = torch.randn(4000, 3, dtype=F64, generator=draw).mul(2).softmax(1)
    by_class = p @ T
    rule = torch.randn(4000, 3, dtype=F64, generator=draw).mul(2).softmax(1)
    of_class = by_class.multinomial(1, generator=draw).squeeze(1)
    of_example = rule.multinomial(1, generator=draw).squeeze(1)
    assert share_of_class(by_class, rule, of_class) > 0.95
    assert share_of_class(by_class, rule, of_example) < 0.1
    # Nothing speaks against the class where both models say the same.
    assert share_of_class(by_class, by_class, of_class) > 0.95


def test_the_share_of_many_rows_comes_from_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gdw.functional.pooling.MAX_FITTED_ENTRIES", 1500)
    draw = torch.Generator().manual_seed(5)
    p, r = (torch.randn(4000, 3, dtype=F64, generator=draw).softmax(1) for _ in "ab")
    given = r.multinomial(1, generator=draw).squeeze(1)
    assert share_of_class(p, r, given) < 0.2
    assert share_of_class(p, r, given) == share_of_class(p, r, given)
