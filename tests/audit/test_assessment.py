"""How far an audit can be trusted: the judgement in settings whose answer is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from gdw.audit import Assessment, Evidence, assess
from gdw.audit.assessment import _by_clean_examples, classes_that_shrink, learned_by_heart
from gdw.audit.matrix import noise_cells
from gdw.functional.posterior import NoisePosterior
from gdw.reweight.robust.opinions import check_on_clean
from tests.audit import made

C, N = 5, 1000


def evidence(flagged: float) -> Evidence:
    """Evidence of N labels; for the first share `flagged` of them a sure model suggests another one."""
    given = np.arange(N) % C
    suggested = np.where(np.arange(N) < flagged * N, (given + 1) % C, given)
    return made.evidence(np.eye(C)[suggested] * 0.9 + 0.02, given)


def checked(
    made_evidence: Evidence,
    clean: int,
    *,
    accuracy: float = 0.9,
    wrong: float,
    replaced: float = 0.0,
    missed: float = 0.1,
) -> Evidence:
    """`made_evidence` with clean examples of these frequencies, for a share `wrong` of wrong labels."""
    rank = (np.arange(clean) + 0.5) / clean
    echoed = (1 - accuracy) / (C - 1)
    columns = (np.ones(clean), rank < accuracy, np.full(clean, echoed), rank > 1 - replaced)
    check = np.stack([*columns, np.full(clean, missed)], axis=1).astype(np.float32)
    agreement = np.array([(1 - wrong) * accuracy + wrong * echoed], np.float32)
    return replace(made_evidence, clean_check=check, clean_agreement=agreement)


def judged(of: Evidence) -> Assessment:
    wrong = of.top_classes[:, 0] != of.given
    return assess(of, noise_cells(of), wrong)


def test_the_share_of_wrong_labels_follows_from_the_clean_examples() -> None:
    many = checked(evidence(0.3), 20_000, accuracy=0.8, wrong=0.3, replaced=0.02)
    assert many.clean_check is not None
    assert many.clean_agreement is not None
    account = _by_clean_examples(many.clean_check, float(many.clean_agreement[0]))
    assert account.error.mean() == pytest.approx(0.3, abs=2e-3)
    assert account.harmed.mean() == pytest.approx(0.7 * 0.02, abs=1e-3)
    assert account.missed.mean() == pytest.approx(0.1, abs=1e-3)


def test_many_clean_examples_support_a_good_list() -> None:
    result = judged(checked(evidence(0.3), 300, wrong=0.3))
    assert result.level == "supported"
    assert result.allows("RELABEL")
    assert result.allows("KEEP")
    assert "by 300 verified examples, " in result.reason
    assert result.wrong_low < 0.3 < result.wrong_high


def test_examples_chosen_for_the_doubt_in_their_labels_do_not_judge() -> None:
    good, bad = checked(evidence(0.3), 300, wrong=0.3), checked(evidence(0.3), 300, wrong=0.3)
    assert good.clean_check is not None
    assert bad.clean_check is not None
    bad.clean_check[:, 1], bad.clean_check[:, 3] = 0, 1  # the models fail on all of them
    both = replace(
        good,
        clean_check=np.concatenate([good.clean_check, bad.clean_check]),
        clean_true=np.tile(np.arange(C), 600)[:600],
        clean_given=np.tile(np.arange(C), 600)[:600],
        clean_drawn=np.repeat(np.float32([1, 0]), 300),
    )
    assert judged(both).level == "supported"
    assert "by 300 verified examples, " in judged(both).reason
    assert judged(replace(both, clean_drawn=None)).level != "supported"
    assert both.clean is not None
    assert len(both.clean[1]) == 300


@pytest.mark.parametrize(
    ("of", "level", "reason"),
    [
        (evidence(0.1), "unproven", "nothing shows whether"),
        (checked(evidence(0.02), 100, wrong=0.02), "unproven", "do not show"),
        (checked(evidence(0.3), 8, wrong=0.3), "unproven", "do not show"),
        (checked(evidence(0.3), 100, wrong=0.3, accuracy=0.4, replaced=0.3), "unproven", "not show"),
        (checked(evidence(0.4), 300, wrong=0.05), "poor", "mistakes of the models explain at most"),
        (checked(evidence(0.1), 300, wrong=0.02, replaced=0.4), "poor", "replace 40% of 300 verified"),
        (evidence(0.6), "poor", "60% of the labels look wrong"),
        (evidence(0.8), "poor", "hardly more than always predicting the most frequent one (20%)"),
    ],
)  # fmt: skip
def test_a_list_that_may_do_harm_is_not_supported(of: Evidence, level: str, reason: str) -> None:
    result = judged(of)
    assert result.level == level, result
    assert reason in result.reason
    assert not result.allows("RELABEL")
    assert result.allows("KEEP") == (level == "unproven")
    assert result.remedy


def test_the_interval_of_the_share_contains_both_accounts() -> None:
    plain, with_clean = judged(evidence(0.2)), judged(checked(evidence(0.2), 60, wrong=0.3))
    assert plain.wrong_share == with_clean.wrong_share
    assert with_clean.wrong_low <= plain.wrong_low
    assert with_clean.wrong_high > max(plain.wrong_high, 0.3)


def test_labels_learned_by_heart_are_noticed() -> None:
    given = np.arange(N) % C
    assert learned_by_heart(made.evidence(np.eye(C)[given] * 0.99 + 0.002, given))
    assert not learned_by_heart(evidence(0.1))


def test_classes_that_shrink_are_named_with_the_worst_first() -> None:
    given = np.repeat([0, 1, 2, 3], [10, 9, 9, 3])
    kept = np.repeat([0, 1, 2], [7, 6, 5])  # 30 %, exactly a third, more, all
    assert classes_that_shrink(given, kept, ("a", "b", "c", "d")) == ["'d' 0 of 3", "'c' 5 of 9"]


def slow_check(
    left_out: Any, label: Any, noise: Any, ratio: Any
) -> tuple[list[float], list[float]]:
    """Whether an audit replaces the true label, and how often it leaves a wrong one wrong."""
    doubted, missed = [], []
    for p, t in zip(left_out, label, strict=True):
        after = {}
        for g in range(len(p)):
            q = p * ratio * noise[:, g]
            q = q / q.sum()
            after[g] = g if q[g] >= 0.5 else int(q.argmax())
        doubted.append(float(after[t] != t))
        wrong = {g: noise[t, g] for g in after if g != t}
        total = sum(wrong.values())
        missed.append(sum(share / total for g, share in wrong.items() if after[g] != t))
    return doubted, missed


def test_the_check_on_clean_examples_equals_a_loop_over_them() -> None:
    draw = np.random.default_rng(0)
    left_out, label = draw.dirichlet(np.full(C, 0.5), 40), draw.integers(0, C, 40)
    noise = 0.6 * np.eye(C) + 0.4 * draw.dirichlet(np.ones(C), C)
    prior, rho = draw.dirichlet(np.full(C, 5.0)), np.full(C, 1 / C)
    posterior = NoisePosterior(torch.empty(0), torch.tensor(noise), torch.tensor(prior), ())
    given = torch.arange(200) % C
    check = check_on_clean(
        torch.tensor(left_out),
        torch.eye(C, dtype=torch.float64)[label],
        posterior,
        torch.tensor(rho),
        given=given,
        agreement=0.5,
    )
    doubted, missed = slow_check(left_out, label, noise, prior / rho)
    np.testing.assert_array_equal(check.doubted, doubted)
    np.testing.assert_allclose(check.missed, missed, atol=1e-6)
    np.testing.assert_array_equal(check.predicted, left_out.argmax(1) == label)
    others = noise * (1 - np.eye(C))
    echoed = (others / others.sum(1, keepdims=True))[label, left_out.argmax(1)]
    np.testing.assert_allclose(check.echoed, echoed, atol=1e-6)
    assert float(check.weight.mean()) == pytest.approx(1.0)
    by_class = [float(check.weight[label == k].sum()) for k in np.unique(label)]
    assert by_class == pytest.approx([by_class[0]] * len(by_class))  # given labels are balanced
