"""The recommended first stage, found before training: posterior labels, the balance, and what to leave out.

Each step on what the one before found (`docs/method.md` has the reasons):

1. Models of folds of the clean examples give `p(k|x)`; EM over the training set gives the noise matrix T, the
   true class frequencies π and posterior labels `q ∝ p(k|x) / ρ_k · π_k · T[k, given]`.
2. Models of folds of the training set, corrected for that noise, speak about the examples that they have not
   seen. Both opinions are pooled with the weights that make the given labels likeliest; EM once more
   gives q, T and π to train with.
3. As far as the out-of-fold models were believed (their weight in the pool, above a half), training's own
   model will be: it gets a say in the targets as it learns.
4. As far as it will not, an example whose label is confidently contradicted, and whose q is not sure either,
   is left out; at most as many as q holds for wrong.

Training is then towards q, or as far as 3 says its own posterior under T, the logits of given examples
offset by `log(π / ρ)`: noise and balance are corrected apart, the one in the labels, the other in the logits.
Clean examples come again and again and would be learned by heart: their targets are mixed with what the
model of 1 says that has not seen them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gdw.errors import DivergenceError
from gdw.functional.confident import confidently_other
from gdw.functional.noise_posterior import NoisePosterior, noise_posterior
from gdw.functional.pooling import log_linear_pool
from gdw.reweight.class_counts import as_probabilities
from gdw.reweight.clean_models import clean_prior, clean_probabilities
from gdw.reweight.out_of_fold import out_of_fold
from gdw.reweight.posterior_options import PosteriorOptions
from gdw.reweight.posterior_stage import PosteriorStage
from gdw.reweight.preparation import Preparation, Subset

LARGEST = 50_000_000
"""The most entries `N · C` of the tables that the stage works with, in float64; above, there is none."""

_FEWEST = 4
_STRENGTH, _STEPS = 10.0, 100
_LEAST, _MOST = 0.1, 0.5
_SEED = 100
_SURE = 0.99
_SOFT = 0.3


def find_posterior(
    preparation: Preparation, options: PosteriorOptions | None = None
) -> PosteriorStage | None:
    """The stage for a run about to start; None, with the reason said, where it does not apply."""
    options = options or PosteriorOptions()
    reason = _obstacle(preparation)
    if reason is not None:
        preparation.say(f"weights are learned step by step: {reason}")
        return None
    given, clean = preparation.given.long(), preparation.clean
    assert clean is not None
    true = as_probabilities(clean, preparation.num_classes)
    prior = clean_prior(true).double()
    share = min(_MOST, max(_LEAST, len(clean) / len(given)))
    p, unseen_clean = map(_finite, clean_probabilities(preparation, true))
    found = _posterior(p, given, prior)
    trust = 0.0
    if options.folds:
        unseen = _finite(
            out_of_fold(
                preparation,
                options.folds,
                clean=_repeated(true, share * len(given) * (options.folds - 1) / options.folds),
                first_seed=_SEED,
                offset=_offset(found, prior),
                noise=found.transition.float(),
            )
        )
        p, weights = log_linear_pool(
            [p, unseen],
            given,
            transition=found.transition,
            prior=prior,
            class_weight=found.class_prior / prior,
        )
        found = _posterior(p, given, prior)
        if options.own:
            # Models that overfit are too sure of what they have not seen, and the pool tempers them.
            trust = min(1.0, max(0.0, 2 * float(weights[1]) - 1))
    weight = torch.ones(len(given))
    if options.leave_out:
        weight[_contradicted(p * (found.class_prior / prior), found, given)] = trust
    offset = _offset(found, prior)
    return PosteriorStage(
        labels=found.responsibilities.float(),
        offset=offset if options.balance else torch.zeros_like(offset),
        weight=weight,
        clean=(true.lerp(unseen_clean, _SOFT) if options.soften else true).float(),
        share=share,
        noise=found.transition.float(),
        trust=trust,
    )


def _finite(p: Tensor) -> Tensor:
    if not bool(p.isfinite().all()):
        raise DivergenceError(
            "a model that prepares the labels gives no finite probabilities: try a lower lr",
            epoch=0,
            step=0,
        )
    return p


def _obstacle(preparation: Preparation) -> str | None:
    """Why there can be no posterior labels, if so."""
    given, clean, classes = preparation.given, preparation.clean, preparation.num_classes
    if given.is_floating_point() or clean is None:
        return "the targets are no class labels"
    if len(clean) < _FEWEST:
        return f"posterior labels need {_FEWEST} clean examples or more, found {len(clean)}"
    if len(given) * classes > LARGEST:
        return (
            f"{len(given):,} examples of {classes:,} classes are too many for posterior labels (at most "
            f"{LARGEST:,} in product)"
        )
    true = as_probabilities(clean, classes)
    absent = [k for k in given.unique().tolist() if not true[:, k].any()]
    if absent:
        return (
            "posterior labels need clean examples of every class, found none of "
            f"{len(absent)} (class {absent[0]})"
        )
    return None


def _posterior(p: Tensor, given: Tensor, prior: Tensor) -> NoisePosterior:
    return noise_posterior(p, given, clean_prior=prior, strength=_STRENGTH, max_steps=_STEPS)


def _offset(found: NoisePosterior, prior: Tensor) -> Tensor:
    return (found.class_prior / prior).log().float()


def _repeated(true: Tensor, size: float) -> Subset:
    """The clean rows, about `size` in all; a clean set of its natural size is seen once."""
    rows = torch.arange(len(true)).repeat(max(1, round(size / len(true))))
    return Subset("clean", rows, true.float()[rows])


def _contradicted(joint: Tensor, found: NoisePosterior, given: Tensor) -> Tensor:
    """Labels that are confidently contradicted and whose posterior does not know better, `(N,)` booleans.

    No more of them than q holds for wrong, the least likely labels first: of models that know little,
    confident learning contradicts most labels.

    `joint`: what the pool says under the true class frequencies, up to a factor of each row, `(N, C)`.
    """
    noisy, q = joint @ found.transition, found.responsibilities
    doubted = confidently_other(noisy / noisy.sum(1, keepdim=True), given)
    doubted &= q.amax(1) <= _SURE
    right = q[torch.arange(len(q)), given]
    rows = doubted.nonzero().squeeze(1)
    most = math.ceil(float((1 - right).sum()))
    chosen = torch.zeros_like(doubted)
    chosen[rows[right[rows].argsort(stable=True)[:most]]] = True
    return chosen
