"""How `Robust` finds its targets before training: posterior labels, class balance, and what to leave out.

1. Models of folds of the clean examples predict the true class.
2. Models of folds of the training set predict the given label. What they say about the clean examples of a
   class is a first estimate of the label noise T, which later estimates stay near. Both predictions are
   pooled, calibrated on the clean examples (`gdw.functional.pooling`), and EM over the training set gives T
   and the true class frequencies π.
3. Models of folds of both sets, corrected for that noise, predict what they were trained without. All three
   predictions are pooled, again calibrated on the clean examples, and EM gives the T and π to train with.
4. Wrong labels that follow the example, not its class, deserve less: `q ∝ p(k|x) / ρ_k · π_k · T[k, given]^τ`
   with the τ that the given labels themselves tell (`gdw.functional.pooling`).
5. The exponent a of the models of step 3 tells how reliable they were, and so how reliable the model in
   training will be: `β = τ · clip(2a − 1, 0, 1)`. It decides its own targets to that degree.
6. An example whose label is confidently contradicted, and whose q is not sure of another class, counts β
   times. At most as many examples as q holds for wrong are treated so.

Training is then towards q (to the degree β towards the model's own posterior under T), with the logits of
given examples offset by `log(π / ρ)`: noise is corrected in the labels, balance in the logits. Clean examples
occur many times in training; their targets are mixed with the pooled predictions of models that were trained
without them, so that they are not memorised. `docs/method.md` gives the reasons.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gdw.errors import DataError
from gdw.functional.pooling import Pool, fit_pool, share_of_class
from gdw.functional.posterior import (
    NoiseAnchor,
    NoisePosterior,
    confidently_other,
    frequencies_of_inputs,
    noise_anchor,
    noise_posterior,
)
from gdw.reweight.preparation import (
    PlannedFit,
    Preparation,
    as_probabilities,
    clean_prior,
    clean_probabilities,
    clean_targets,
    fits_of_clean,
)
from gdw.reweight.robust.opinions import (
    Opinion,
    check_on_clean,
    clean_share,
    finite,
    of_both_sets,
    of_given_labels,
    planned_opinions,
)
from gdw.reweight.robust.targets import PosteriorTargets

MAX_ENTRIES = 50_000_000
"""The largest number `N · C` of entries of the tables that the search works with, in float64."""

FEWEST_CLEAN = 4
_PRIOR_STRENGTH, _EM_STEPS = 10.0, 100
_SURE = 0.99
_SOFTENING = 0.3
_CAUTION = 4.0
_CHOSEN, _FAR = 1 / 3, 10.0


def fits_to_prepare(preparation: Preparation, folds: int) -> list[PlannedFit]:
    """The models that `find_targets` trains; `DataError` as there."""
    _require_suitable(preparation)
    planned = fits_of_clean(preparation, len(clean_targets(preparation)))
    return planned + (planned_opinions(preparation, folds) if folds else [])


@dataclass(frozen=True)
class _Found:
    """The last estimate of the search.

    Attributes:
        density: `p(k|x) / ρ_k`, up to a factor per row, `(N, C)`.
        posterior: q, T and π.
        clean: the pooled predictions of the clean examples, `(M, C)`.
        share: τ.
        trust: β.
    """

    density: Tensor
    posterior: NoisePosterior
    clean: Tensor
    share: float = 1.0
    trust: float = 0.0


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
    steps = 4 if options.folds else 2
    p, of_clean, agreement = clean_probabilities(
        preparation, true, title=f"step 1 of {steps}: learning from the verified examples"
    )
    verified = Opinion(finite(p), finite(of_clean))
    if options.folds:
        first, found = _cross_checked(preparation, verified, true, rho, options.folds)
    else:
        first = _posterior(verified.given, given, rho)
        found = _Found(verified.given / rho, first, verified.clean)
    posterior, trust = found.posterior, found.trust if options.own else 0.0
    weight = torch.ones(len(given), dtype=torch.float32)
    if options.leave_out:
        weight[_contradicted(found.density * posterior.class_prior, posterior, given)] = trust
    offset = _offset(posterior, rho)
    preparation.say(f"step {steps} of {steps}: training")
    return PosteriorTargets(
        labels=posterior.responsibilities.float(),
        offset=offset if options.balance else torch.zeros_like(offset),
        weight=weight,
        clean=(true.lerp(found.clean, _SOFTENING) if options.soften else true).float(),
        share=clean_share(len(clean), len(given)),
        noise=posterior.transition.pow(found.share).float(),
        trust=trust,
        check=check_on_clean(verified.clean, true, first, rho, given=given, agreement=agreement),
    )


def _cross_checked(
    preparation: Preparation, verified: Opinion, true: Tensor, rho: Tensor, folds: int
) -> tuple[NoisePosterior, _Found]:
    """Steps 2 to 5, from the predictions of step 1: the posterior of step 2, and the result."""
    given = preparation.given.long()
    labels, mean = of_given_labels(
        preparation, folds, title="step 2 of 4: learning the given labels"
    )
    known = _known(true, preparation.verified)
    anchor = noise_anchor(mean, known if preparation.verified else true, given, prior=rho)
    anchor = replace(anchor, counts=known.sum(0))
    pool = _calibrated([verified.clean, labels.clean], true, known, rho)
    anchor = _as_far_as_needed(anchor, pool([verified.clean, labels.clean]), true)
    both = pool([verified.given, labels.given])
    first = _posterior(both, given, rho, _told_by_inputs(anchor, both, rho))
    checked = of_both_sets(
        preparation,
        folds,
        title="step 3 of 4: cross-checking the labels",
        offset=_offset(first, rho),
        noise=first.transition.float(),
    )
    opinions = (verified, checked, labels)
    pool = _calibrated([o.clean for o in opinions], true, known, rho)
    of_clean, density = pool([o.clean for o in opinions]), pool([o.given for o in opinions]) / rho
    anchor = _as_far_as_needed(anchor, of_clean, true)
    found = _posterior(density * rho, given, rho, _told_by_inputs(anchor, density * rho, rho))
    joint = density * found.class_prior
    by_class = joint / joint.sum(1, keepdim=True) @ found.transition
    share = share_of_class(by_class, labels.given, given)
    q = joint * found.transition.T[given].pow(share)
    # Models that overfit are overconfident about examples that they were trained without, and the fit gives
    # them a small exponent.
    exponent = fit_pool([verified.clean, checked.clean], true, prior=rho).exponents[1]
    trust = share * min(1.0, max(0.0, 2 * float(exponent) - 1))
    posterior = replace(found, responsibilities=q / q.sum(1, keepdim=True))
    return first, _Found(density, posterior, of_clean, share, trust)


def _known(true: Tensor, verified: int) -> Tensor:
    """The class probabilities of the clean examples, `(M, C)`, zero for those that nobody has verified.

    Those were chosen because models predict their given label: by them, given labels are right.
    """
    return torch.cat([true[:verified], torch.zeros_like(true[verified:])])


def _calibrated(opinions: list[Tensor], true: Tensor, known: Tensor, rho: Tensor) -> Pool:
    """The pool of `opinions`, the last of which is that of the models of the given labels.

    These models are right about clean examples that nobody has verified, and were trained on them. So only
    verified examples can let them count for more than 1/S of S opinions.
    """
    pool = fit_pool(opinions, true, prior=rho)
    if torch.equal(true, known):
        return pool
    most = max(1 / len(opinions), float(fit_pool(opinions, known, prior=rho).exponents[-1]))
    exponents = pool.exponents.clone()
    exponents[-1] = exponents[-1].clamp(max=most)
    return replace(pool, exponents=exponents)


def _as_far_as_needed(anchor: NoiseAnchor, of_clean: Tensor, true: Tensor) -> NoiseAnchor:
    """The anchor, with class frequencies that count the less the fewer clean examples are mistaken.

    With good models EM finds the frequencies itself. With poor ones it gives the examples that no class
    explains to any class.
    """
    label = true.argmax(1)
    mistaken = (of_clean.argmax(1) != label).double().sum() + 1
    size = min(1.0, _CAUTION * float(mistaken / (len(label) + 2)))
    return replace(anchor, size=size * anchor.examples)


def _told_by_inputs(anchor: NoiseAnchor, p: Tensor, rho: Tensor) -> NoiseAnchor:
    """The anchor, with class frequencies between its own and those of the inputs if both are far apart.

    Of two classes, a rare one looks like a frequent one whose labels are mostly wrong: both make the same
    labels as likely. Clean examples that were chosen class by class do not say which it is.
    """
    if len(rho) != 2 or float(rho.min()) < _CHOSEN:
        return anchor
    told, seen = anchor.class_prior, frequencies_of_inputs(p, rho)
    odds = float((told[1] * seen[0]) / (told[0] * seen[1]))
    if 1 / _FAR <= odds <= _FAR:
        return anchor
    pi = (told * seen).sqrt()
    return replace(anchor, class_prior=pi / pi.sum())


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


def _posterior(
    p: Tensor, given: Tensor, rho: Tensor, anchor: NoiseAnchor | None = None
) -> NoisePosterior:
    return noise_posterior(
        p,
        given,
        clean_prior=rho,
        strength=_PRIOR_STRENGTH,
        anchor=anchor,
        max_steps=_EM_STEPS,
    )


def _offset(posterior: NoisePosterior, rho: Tensor) -> Tensor:
    return (posterior.class_prior / rho).log().float()


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
