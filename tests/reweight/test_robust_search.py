"""How `Robust` finds its targets before training: posterior labels, class balance, what to leave out."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from gdw.errors import ConfigError, DataError, DivergenceError
from gdw.functional.pooling import fit_pool
from gdw.functional.posterior import NoiseAnchor, NoisePosterior, apply_temperature, fit_temperature
from gdw.reweight import Predict
from gdw.reweight.preparation import clean_prior
from gdw.reweight.robust import search
from gdw.reweight.robust.method import RobustOptions
from gdw.reweight.robust.targets import PosteriorTargets
from tests.reweight.blobs import CLASSES, Blobs, Knowing
from tests.reweight.setting import Setting


def find(preparation: Knowing, **options: Any) -> PosteriorTargets:
    return search.find_targets(preparation, RobustOptions(**options))


def test_posterior_labels_find_the_true_classes_and_their_shares() -> None:
    blobs = Blobs([900, 300, 60])
    preparation = Knowing(blobs)
    stage = find(preparation)
    right = (stage.labels.argmax(1) == blobs.true).float()
    assert right.mean() > 0.95
    assert (blobs.given == blobs.true).float().mean() < 0.65
    shares = torch.tensor([900, 300, 60]) / 1260
    expected = (shares * CLASSES).log()
    # The rarest class stays a little nearer to what few clean examples say.
    torch.testing.assert_close(stage.offset, expected, rtol=0, atol=0.3)
    assert stage.share == 0.1  # 30 clean of 1,260, but a tenth at least


def test_a_rare_class_of_two_is_not_taken_for_a_frequent_one_with_wrong_labels() -> None:
    # The labels fit an even split too, if nearly all examples of the second class are mislabelled.
    draw = torch.Generator().manual_seed(0)
    true = (torch.rand(4000, generator=draw) < 0.05).long()
    sees = torch.where(torch.rand(4000, generator=draw) < 0.8, true, 1 - true)
    p = torch.full((4000, 2), 0.2, dtype=torch.float64)
    p[torch.arange(4000), sees] = 0.8
    unsure = torch.tensor([[0.8, 0.2], [0.7, 0.3]], dtype=torch.float64)
    even, unequal = torch.tensor([[0.5, 0.5], [0.9, 0.1]], dtype=torch.float64)

    def prior(rare: float, rho: torch.Tensor) -> float:
        told = torch.tensor([1 - rare, rare], dtype=torch.float64)
        anchor = NoiseAnchor(unsure, torch.full((2,), 50.0).double(), told, 4000.0, 4000)
        return float(search._told_by_inputs(anchor, p, rho).class_prior[1])

    assert 0.05 < prior(0.4, even) < 0.2
    # Estimates that agree roughly stay; and clean examples with natural frequencies tell them themselves.
    assert prior(0.1, even) == 0.1
    assert prior(0.4, unequal) == 0.4


@pytest.mark.parametrize("verified", [0, 30, 60])
def test_models_of_given_labels_are_not_believed_for_what_stands_in(verified: int) -> None:
    blobs = Blobs([400, 400, 400], clean=60)
    p = blobs.posterior_of_class(blobs.clean_x).double()
    true = F.one_hot(blobs.clean, CLASSES).double()
    # They call each class by another name, and know the examples that stand in by heart.
    by_heart = p.roll(1, dims=1)
    by_heart[verified:] = 0.01 / 3 + 0.99 * true[verified:]
    rho = clean_prior(true)
    pool = search._calibrated([p, by_heart], true, search._known(true, verified), rho)
    assert (pool.exponents[0] > 0.3).all()
    assert pool.exponents[1] <= (0.5 if verified < 60 else 0.1)
    fitted = fit_pool([p, by_heart], true, prior=rho)
    assert (fitted.exponents[1] > pool.exponents[1]) == (verified == 0)
    assert torch.equal(pool.bias, fitted.bias)


def test_out_of_fold_models_have_not_seen_what_they_speak_about() -> None:
    blobs = Blobs([60, 60, 60])
    preparation = Knowing(blobs)
    find(preparation)
    clean_fits, given_fits = preparation.fits[:5], preparation.fits[5:8]
    checking_fits = preparation.fits[8:]
    assert all(s.part == "clean" for subsets, _, _ in clean_fits for s in subsets)
    assert len(checking_fits) == 3
    left_out: list[int] = []
    for subsets, offset, noise in given_fits:
        assert [s.part for s in subsets] == ["given"]
        assert offset is None
        assert noise is None
        left_out += set(range(180)) - set(subsets[0].indices.tolist())
    assert sorted(left_out) == list(range(180))
    left_out, clean_left_out = [], []
    for subsets, offset, noise in checking_fits:
        assert [s.part for s in subsets] == ["given", "clean"]
        assert subsets[0].targets is None
        assert offset is not None
        assert noise is not None
        assert len(subsets[1].indices) == 20  # each once, as a sixth of 120 is
        left_out += set(range(180)) - set(subsets[0].indices.tolist())
        clean_left_out += set(range(30)) - set(subsets[1].indices.tolist())
    assert sorted(left_out) == list(range(180))
    assert sorted(clean_left_out) == list(range(30))


def test_few_clean_rows_are_repeated_for_out_of_fold_models() -> None:
    preparation = Knowing(Blobs([300, 300, 300], clean=12))
    find(preparation)
    for subsets, _, _ in preparation.fits[8:]:
        # Eight of twelve, until they are about a tenth of 600.
        assert len(set(subsets[1].indices.tolist())) == 8
        assert subsets[1].indices.bincount().max() == len(subsets[1].indices) / 8 == 8


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32])
def test_labels_of_any_whole_type_will_do(dtype: torch.dtype) -> None:
    preparation = Knowing(Blobs([60, 60, 60]))
    expected = find(preparation)
    preparation.given = preparation.given.to(dtype)
    found = find(preparation)
    assert torch.equal(found.labels, expected.labels)
    assert torch.equal(found.weight, expected.weight)


def test_the_balance_of_out_of_fold_models_is_not_for_leaving_out() -> None:
    preparation = Knowing(Blobs([300, 100, 30]))
    labels = []
    for balance in (True, False):
        stage = find(preparation, balance=balance)
        assert bool(stage.offset.any()) == balance
        labels.append(stage.labels)
    assert torch.equal(*labels)
    assert all(offset.any() for _, offset, noise in preparation.fits if noise is not None)


def test_useless_out_of_fold_models_are_not_believed() -> None:
    blobs = Blobs([300, 300, 300])
    found = {}
    for useless in (False, True):
        preparation = Knowing(blobs)
        preparation.unseen_are_useless = useless
        stage = find(preparation)
        found[useless] = stage.labels
    right = {k: (q.argmax(1) == blobs.true).float().mean() for k, q in found.items()}
    assert right[True] > right[False] - 0.01 > 0.94


def test_clean_labels_are_softened_by_what_models_without_them_say() -> None:
    blobs = Blobs([60, 60, 60])
    soft = find(Knowing(blobs))
    hard = find(Knowing(blobs), soften=False)
    one_hot = F.one_hot(blobs.clean, CLASSES).float()
    assert torch.equal(hard.clean, one_hot)
    known = blobs.posterior_of_class(blobs.clean_x)
    sharp = apply_temperature(known, fit_temperature(known, one_hot))
    noisy = 0.6 * known + 0.4 * known.roll(1, dims=1)
    opinions, rho = [sharp, known, noisy], clean_prior(one_hot.double())
    pooled = fit_pool(opinions, one_hot, prior=rho)(opinions)
    torch.testing.assert_close(
        soft.clean, (0.7 * one_hot + 0.3 * pooled).float(), atol=1e-4, rtol=0
    )
    assert not torch.equal(soft.clean, one_hot)


@pytest.mark.parametrize("part", ["given", "clean"])
def test_models_that_went_astray_are_said_so(part: str) -> None:
    preparation = Knowing(Blobs([60, 60, 60]))
    fit = preparation.fit

    def astray(*subsets: Any, **how: Any) -> Predict:
        predict = fit(*subsets, **how)
        return lambda subset: predict(subset) * (math.nan if subset.part == part else 1)

    preparation.fit = astray  # type: ignore[method-assign]
    with pytest.raises(DivergenceError, match="lower lr"):
        find(preparation, folds=0)


def test_each_part_can_be_left_out() -> None:
    preparation = Knowing(Blobs([200, 100, 50]))
    whole = find(preparation)
    bare = find(preparation, folds=0, balance=False, leave_out=False)
    assert len(preparation.fits) == 5 + 3 + 3 + 5
    assert not bare.offset.any()
    assert bare.weight.eq(1).all()
    assert bare.trust == 0
    assert whole.offset.abs().max() > 0.3


@pytest.mark.parametrize(
    "wrong",
    [{"fold": 3}, {"folds": 1}, {"folds": "3"}, {"balance": 2}, {"folds": True}, {"clip": 1.0}],
)
def test_options_that_do_not_fit_are_named(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="robust.*" + next(iter(wrong))):
        Setting.of("robust", labels=None, **wrong)


def test_contradicted_labels_are_left_out_unless_the_posterior_is_sure() -> None:
    found = NoisePosterior(
        responsibilities=torch.tensor([[0.6, 0.4], [0.6, 0.4], [0.99, 0.01], [0.2, 0.8]]).double(),
        transition=torch.tensor([[0.8, 0.2], [0.2, 0.8]]).double(),
        class_prior=torch.tensor([0.5, 0.5]).double(),
        log_likelihoods=(),
    )
    joint = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9]]).double()
    found_out = search._contradicted(joint, found, torch.tensor([0, 1, 1, 1]))
    assert found_out.tolist() == [False, True, False, False]


def test_no_more_is_left_out_than_the_posterior_holds_for_wrong() -> None:
    # A weak model: of every label something else is a little likelier than usual.
    right = torch.tensor([0.9, 0.6, 0.5, 0.8]).double()
    q = torch.stack([right, 1 - right], dim=1)
    found = NoisePosterior(
        responsibilities=q,
        transition=torch.eye(2).double(),
        class_prior=torch.tensor([0.5, 0.5]).double(),
        log_likelihoods=(),
    )
    joint = torch.tensor([[0.40, 0.60], [0.39, 0.61], [0.41, 0.59], [0.38, 0.62]]).double()
    given = torch.tensor([0, 0, 0, 0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "confidently_other", lambda p, g: p[:, 1] > 0.5)
        left_out = search._contradicted(joint, found, given)
    # 1.2 wrong labels are expected: two at most, the least likely ones.
    assert left_out.tolist() == [False, True, True, False]


@pytest.mark.parametrize("useless", [False, True])
def test_training_is_believed_as_far_as_out_of_fold_models_were(useless: bool) -> None:
    preparation = Knowing(Blobs([300, 300, 300]))
    preparation.unseen_are_useless, preparation.clean_are_useless = useless, not useless
    own, never = (find(preparation, own=own) for own in (True, False))
    assert never.trust == 0
    assert torch.equal(own.labels, never.labels)
    # What training may not judge is left out, as far as it may not.
    assert torch.equal(own.weight, torch.where(never.weight == 0, own.trust, 1.0))
    assert (never.weight == 0).any()
    assert own.trust == 0 if useless else own.trust > 0.25


@pytest.mark.parametrize("case", ["soft", "large", "absent", "few"])
def test_where_posterior_labels_cannot_be_estimated_it_says_so(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    preparation = Knowing(Blobs([10, 10, 10]))
    if case == "soft":
        preparation.given = F.one_hot(preparation.given).float()
    elif case == "large":
        monkeypatch.setattr(search, "MAX_ENTRIES", 89)
    elif case == "absent":
        preparation.clean = preparation.clean.clamp(max=1)
    else:
        preparation.clean = preparation.clean[:3]
    with pytest.raises(
        DataError, match=r"'robust' cannot be used here: .*'gdw' with preset 'short'"
    ):
        find(preparation)
    assert not preparation.fits


def test_few_clean_examples_are_not_passed_over_forever() -> None:
    preparation = Knowing(Blobs([300, 300, 300], clean=6))
    epochs: list[int | None] = []
    fit = preparation.fit
    preparation.fit = lambda *a, **k: epochs.append(k.get("epochs")) or fit(*a, **k)  # type: ignore[method-assign, func-returns-value]
    find(preparation)
    # The run takes 4 epochs of 45 steps: a fifth of that for each of five models of one step a pass.
    assert epochs[:5] == [36] * 5
