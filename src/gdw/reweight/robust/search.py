"""How `Robust` finds its targets before training: posterior labels, class balance, and what to leave out.

1. Models of folds of the clean examples give `p(k|x)`. EM over the training set then gives the label noise T,
   the true class frequencies π and posterior labels `q ∝ p(k|x) / ρ_k · π_k · T[k, given]`.
2. Models of folds of the training set, corrected for that noise, predict the examples that they were trained
   without. Both predictions are pooled, with the exponents that make the given labels most likely. EM once
   more gives the q, T and π to train with.
3. The exponent b of the out-of-fold models tells how reliable they were, and so how reliable the model in
   training will be: `β = clip(2b − 1, 0, 1)`. It decides its own targets to that degree.
4. An example whose label is confidently contradicted, and whose q is not sure of another class, counts β
   times. At most as many examples as q holds for wrong are treated so.

Training is then towards q (to the degree β towards the model's own posterior under T), with the logits of
given examples offset by `log(π / ρ)`: noise is corrected in the labels, balance in the logits. Clean examples
occur many times in training; their targets are mixed with the predictions of step 1, so that they are not
memorised. `docs/method.md` gives the reasons.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from gdw.errors import DataError, DivergenceError
from gdw.functional.posterior import (
    NoisePosterior,
    confidently_other,
    log_linear_pool,
    noise_posterior,
)
from gdw.reweight.preparation import (
    CleanCheck,
    PlannedFit,
    Preparation,
    Subset,
    as_probabilities,
    clean_prior,
    clean_probabilities,
    clean_targets,
    fits_of_clean,
    fits_out_of_fold,
    out_of_fold,
)
from gdw.reweight.robust.targets import PosteriorTargets

MAX_ENTRIES = 50_000_000
"""The largest number `N · C` of entries of the tables that the search works with, in float64."""

FEWEST_CLEAN = 4
_PRIOR_STRENGTH, _EM_STEPS = 10.0, 100
_SMALLEST_SHARE, _LARGEST_SHARE = 0.1, 0.5
_FIRST_SEED = 100
_SURE = 0.99
# How many wrong labels of each clean example are tried.
_WRONG_LABELS = 16
_SOFTENING = 0.3


def fits_to_prepare(preparation: Preparation, folds: int) -> list[PlannedFit]:
    """The models that `find_targets` trains; `DataError` as there."""
    _require_suitable(preparation)
    given, clean = len(preparation.given), len(clean_targets(preparation))
    planned = fits_of_clean(preparation, clean)
    if folds:
        size = _share(clean, given) * given * (folds - 1) / folds
        joined = clean * _repetitions(clean, size)
        planned += fits_out_of_fold(preparation, folds, clean=joined)
    return planned


def find_targets(preparation: Preparation, options: Any) -> PosteriorTargets:
    """Find the targets of a run that is about to start.

    Args:
        preparation: of the run.
        options: a `RobustOptions` record.

    Raises:
        DataError: posterior labels cannot be estimated for these labels; says why and what to use instead.
    """
    _require_suitable(preparation)
    given, clean = preparation.given.long(), clean_targets(preparation)
    true = as_probabilities(clean, preparation.num_classes)
    rho = clean_prior(true).double()
    share = _share(len(clean), len(given))
    steps = 3 if options.folds else 2
    p, left_out_clean, agreement = clean_probabilities(
        preparation, true, title=f"step 1 of {steps}: learning from the verified examples"
    )
    p, left_out_clean = _finite(p), _finite(left_out_clean)
    posterior = _posterior(p, given, rho)
    check = _check_on_clean(left_out_clean, true, posterior, rho, given=given, agreement=agreement)
    trust = 0.0
    if options.folds:
        size = share * len(given) * (options.folds - 1) / options.folds
        p, exponent = _cross_checked(preparation, p, posterior, rho, options.folds, (true, size))
        posterior = _posterior(p, given, rho)
        if options.own:
            # Models that overfit are overconfident about examples that they were trained without, and the
            # fit gives them a small exponent.
            trust = min(1.0, max(0.0, 2 * exponent - 1))
    weight = torch.ones(len(given), dtype=torch.float32)
    if options.leave_out:
        weight[_contradicted(p * (posterior.class_prior / rho), posterior, given)] = trust
    offset = _offset(posterior, rho)
    preparation.say(f"step {steps} of {steps}: training")
    return PosteriorTargets(
        labels=posterior.responsibilities.float(),
        offset=offset if options.balance else torch.zeros_like(offset),
        weight=weight,
        clean=(true.lerp(left_out_clean, _SOFTENING) if options.soften else true).float(),
        share=share,
        noise=posterior.transition.float(),
        trust=trust,
        check=check,
    )


def _check_on_clean(
    left_out: Tensor,
    true: Tensor,
    posterior: NoisePosterior,
    rho: Tensor,
    *,
    given: Tensor,
    agreement: float,
) -> CleanCheck:
    """What an audit by the models of the clean examples would do to the clean examples left out of them.

    Args:
        left_out: their class probabilities by models trained without them, `(M, C)`.
        true: their verified class probabilities, `(M, C)`.
        posterior: the noise model that belongs to these models.
        rho: the class frequencies of the clean examples, `(C,)`.
        given: the labels of the training set, `(N,)`; their frequencies stand for those of the classes.
        agreement: the share of the given labels that the models predict.
    """
    label, predicted = true.argmax(1), left_out.argmax(1)
    rows, classes = torch.arange(len(label)), true.shape[1]
    frequency = given.bincount(minlength=classes) + 1.0
    pi, noise = posterior.class_prior.double(), posterior.transition.double()
    weight = (frequency / label.bincount(minlength=classes).clamp(min=1))[label]
    # A wrong label of the class: from the estimated noise, or any other class if there is none.
    wrong = noise[label] + torch.finfo(torch.float64).eps
    wrong[rows, label] = 0.0
    wrong /= wrong.sum(1, keepdim=True)
    chance, tried = wrong.topk(min(classes, _WRONG_LABELS), dim=1)
    joint = left_out.double() * (pi / rho)

    def wrong_after(given: Tensor) -> Tensor:
        """Whether an audit, which replaces unlikely labels, leaves a wrong one if `given` is the label."""
        q = joint * noise.T[given]
        kept = q[rows, given] >= q.sum(1) / 2
        return (torch.where(kept, given, q.argmax(1)) != label).float()

    missed = torch.zeros(len(label), dtype=torch.float32)
    for given, share in zip(tried.T, chance.T, strict=True):
        missed += wrong_after(given) * share
    return CleanCheck(
        weight=(weight / weight.mean()).float(),
        predicted=(predicted == label).float(),
        echoed=wrong[rows, predicted].float(),
        doubted=wrong_after(label),
        missed=missed / chance.sum(1).float(),
        agreement=agreement,
    )


def _cross_checked(
    preparation: Preparation,
    p: Tensor,
    posterior: NoisePosterior,
    rho: Tensor,
    folds: int,
    clean: tuple[Tensor, float],
) -> tuple[Tensor, float]:
    """Pool `p` with out-of-fold predictions: the pool `(N, C)`, and the exponent of the latter.

    `clean` are the class probabilities of the clean examples and how many of them each model is trained on.
    """
    left_out = _finite(
        out_of_fold(
            preparation,
            folds,
            clean=_repeated(*clean),
            first_seed=_FIRST_SEED,
            title="step 2 of 3: cross-checking the labels",
            offset=_offset(posterior, rho),
            noise=posterior.transition.float(),
        )
    )
    pool, exponents = log_linear_pool(
        [p, left_out],
        preparation.given.long(),
        transition=posterior.transition,
        prior=rho,
        class_weight=posterior.class_prior / rho,
    )
    return pool, float(exponents[1])


def _finite(p: Tensor) -> Tensor:
    if not bool(p.isfinite().all()):
        raise DivergenceError(
            "a model that prepares the labels predicts probabilities that are not finite: try a lower lr",
            epoch=0,
            step=0,
        )
    return p


def _require_suitable(preparation: Preparation) -> None:
    reason = _obstacle(preparation)
    if reason is not None:
        raise DataError(
            f"method 'robust' cannot be used here: {reason}. Method 'gdw' with preset 'short' learns the "
            "weights step by step and has no such limit"
        )


def _obstacle(preparation: Preparation) -> str | None:
    """Why posterior labels cannot be estimated; None if they can."""
    given, clean, classes = preparation.given, preparation.clean, preparation.num_classes
    if given.is_floating_point() or clean is None:
        return "it needs class labels, but the targets are probabilities"
    if len(clean) < FEWEST_CLEAN:
        return f"it needs at least {FEWEST_CLEAN} clean examples, found {len(clean)}"
    if len(given) * classes > MAX_ENTRIES:
        return (
            f"{len(given):,} examples times {classes:,} classes are too many (at most {MAX_ENTRIES:,} "
            "in product)"
        )
    true = as_probabilities(clean, classes)
    absent = [k for k in given.unique().tolist() if not true[:, k].any()]
    if absent:
        return f"it needs clean examples of every class, found none of {len(absent)} (class {absent[0]})"
    return None


def _posterior(p: Tensor, given: Tensor, rho: Tensor) -> NoisePosterior:
    return noise_posterior(p, given, clean_prior=rho, strength=_PRIOR_STRENGTH, max_steps=_EM_STEPS)


def _offset(posterior: NoisePosterior, rho: Tensor) -> Tensor:
    return (posterior.class_prior / rho).log().float()


def _repeated(true: Tensor, size: float) -> Subset:
    """The clean examples, repeated to about `size` examples; at least once."""
    rows = torch.arange(len(true)).repeat(_repetitions(len(true), size))
    return Subset("clean", rows, true.float()[rows])


def _repetitions(clean: int, size: float) -> int:
    return max(1, round(size / clean))


def _share(clean: int, given: int) -> float:
    """The number of clean examples per training example in a batch."""
    return min(_LARGEST_SHARE, max(_SMALLEST_SHARE, clean / given))


def _contradicted(joint: Tensor, posterior: NoisePosterior, given: Tensor) -> Tensor:
    """Labels that are confidently contradicted and whose posterior is not sure: `(N,)` booleans.

    At most as many as q holds for wrong, the least likely labels first: with weak models, confident
    learning contradicts most labels.

    Args:
        joint: the pooled probabilities under the true class frequencies, up to a factor per row, `(N, C)`.
        posterior: the fitted noise model.
        given: the given labels, `(N,)`.
    """
    noisy, q = joint @ posterior.transition, posterior.responsibilities
    doubted = confidently_other(noisy / noisy.sum(1, keepdim=True), given)
    doubted &= q.amax(1) <= _SURE
    right = q[torch.arange(len(q)), given]
    rows = doubted.nonzero().squeeze(1)
    most = math.ceil(float((1 - right).sum()))
    chosen = torch.zeros_like(doubted)
    chosen[rows[right[rows].argsort(stable=True)[:most]]] = True
    return chosen
