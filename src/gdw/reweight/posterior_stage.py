"""The recommended first stage: class-level weights in closed form, from posterior labels.

Before training, each step on what the one before found (`docs/method.md` has the reasons):

1. Models of folds of the clean examples give `p(k|x)`; EM over the training set gives the noise matrix T, the
   true class frequencies π and posterior labels `q ∝ p(k|x) / ρ_k · π_k · T[k, given]`.
2. Models of folds of the training set, corrected for that noise, speak about the examples that they have not
   seen. Both opinions are pooled with the weights that make the given labels likeliest; EM once more
   gives q, T and π to train with.
3. An example whose label is confidently contradicted, and whose q is not sure either, is left out.

Training is then towards q, the logits of given examples offset by `log(π / ρ)`: noise and balance are
corrected apart, the one in the labels, the other in the logits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gdw.errors import DivergenceError
from gdw.functional import implied_weights
from gdw.functional.confident import confidently_other
from gdw.functional.noise_posterior import NoisePosterior, noise_posterior
from gdw.functional.pooling import log_linear_pool
from gdw.hypergradient import Collective, TrainingPass
from gdw.reweight.base import Weighting
from gdw.reweight.class_counts import as_probabilities
from gdw.reweight.clean_models import clean_prior, clean_probabilities
from gdw.reweight.instance_weighted import mean_over
from gdw.reweight.offset import corrected_gradient
from gdw.reweight.out_of_fold import out_of_fold
from gdw.reweight.preparation import Preparation, Subset

LARGEST = 50_000_000
"""The most entries `N · C` of the tables that the stage works with, in float64; above, there is none."""

_FEWEST = 4
_STRENGTH, _STEPS = 10.0, 100
_LEAST, _MOST = 0.1, 0.5
_FOLDS, _SEED = 3, 100
_SURE = 0.95


@dataclass(frozen=True)
class PosteriorStage:
    """Posterior labels of a training set, and how its classes are distributed.

    Attributes:
        labels: `q`, `(N, C)` float32.
        offset: `log(π / ρ)`, `(C,)` float32.
        kept: which examples are trained on, `(N,)` booleans.
        share: how many clean rows go with each given one in a batch.
    """

    labels: Tensor
    offset: Tensor
    kept: Tensor
    share: float

    @classmethod
    def of(cls, preparation: Preparation) -> PosteriorStage | None:
        """The stage for a run about to start; None, with the reason said, where it does not apply."""
        given, clean, classes = preparation.given, preparation.clean, preparation.num_classes
        if given.is_floating_point() or clean is None:
            preparation.say("weights are learned step by step: the targets are no class labels")
            return None
        if len(clean) < _FEWEST:
            preparation.say(
                f"weights are learned step by step: posterior labels need {_FEWEST} clean examples or more, "
                f"found {len(clean)}"
            )
            return None
        if len(given) * classes > LARGEST:
            preparation.say(
                f"weights are learned step by step: {len(given):,} examples of {classes:,} classes are too "
                f"many for posterior labels (at most {LARGEST:,} in product)"
            )
            return None
        true = as_probabilities(clean, classes)
        absent = [k for k in given.unique().tolist() if not true[:, k].any()]
        if absent:
            preparation.say(
                "weights are learned step by step: posterior labels need clean examples of every class, "
                f"found none of {len(absent)} (class {absent[0]})"
            )
            return None
        prior = clean_prior(true).double()
        share = min(_MOST, max(_LEAST, len(clean) / len(given)))
        first_p = clean_probabilities(preparation, true)
        first = _posterior(first_p, given, prior)
        unseen = out_of_fold(
            preparation,
            _FOLDS,
            clean=_repeated(true, share * len(given) * (_FOLDS - 1) / _FOLDS),
            first_seed=_SEED,
            offset=_offset(first, prior),
            noise=first.transition.float(),
        )
        if not bool(unseen.isfinite().all()):
            raise DivergenceError(
                "a model that prepares the labels gives no finite probabilities: try a lower lr",
                epoch=0,
                step=0,
            )
        pooled, _ = log_linear_pool(
            [first_p, unseen],
            given,
            transition=first.transition,
            class_weight=first.class_prior / prior,
        )
        last = _posterior(pooled, given, prior)
        return cls(
            last.responsibilities.float(),
            _offset(last, prior),
            _kept(pooled * (last.class_prior / prior), last, given),
            share,
        )

    def rows(self, given: int, meta: int) -> int:
        """How many of `meta` clean rows go with `given` training rows."""
        return min(meta, max(1, round(self.share * given)))

    def revise(
        self,
        run: TrainingPass,
        targets: Tensor,
        indices: Tensor,
        *,
        collective: Collective,
        label_smoothing: float = 0.0,
    ) -> TrainingPass:
        """`run` with `D1` towards q, the mean over examples that are kept.

        `indices` `(N,)`, of clean rows beyond the training set.
        """
        like, total = run.class_gradient, len(self.labels)
        given = indices < total
        hot = targets if targets.is_floating_point() else F.one_hot(targets, like.shape[1])
        hot, doubtful = hot.to(like), given.to(like.device)
        q = self.labels[indices.clamp(max=total - 1)].to(like)
        run.mean_loss = run.losses[doubtful if bool(given.any()) else ...].mean()
        # Those of an undecided model: what the labels are taken for, whatever training has come to.
        undecided = 1 / like.shape[1]
        own = torch.where(doubtful.unsqueeze(1), q, hot)
        run.shown = implied_weights(undecided - own, undecided - hot)
        kept = torch.where(given, self.kept[indices.clamp(max=total - 1)], True).to(like.device)
        run.shown = run.shown * kept.unsqueeze(1)
        run.losses, run.class_gradient = corrected_gradient(
            run.logits, own, doubtful, offset=self.offset, label_smoothing=label_smoothing
        )
        run.class_gradient = run.class_gradient * mean_over(kept, run.count, collective).unsqueeze(
            1
        )
        return run

    @staticmethod
    def weigh(run: TrainingPass) -> Weighting:
        """No weights on the revised gradient; shown are those that make it of the plain one."""
        return Weighting(torch.ones_like(run.class_gradient), shown=run.shown)

    def state_dict(self) -> dict[str, Tensor | float | None]:
        return dict(vars(self))

    @classmethod
    def from_state(cls, state: Mapping[str, Any] | None) -> PosteriorStage | None:
        """What `state_dict` gave; None for None."""
        return None if state is None else cls(**state)


def _posterior(p: Tensor, given: Tensor, prior: Tensor) -> NoisePosterior:
    return noise_posterior(p, given.long(), clean_prior=prior, strength=_STRENGTH, max_steps=_STEPS)


def _offset(found: NoisePosterior, prior: Tensor) -> Tensor:
    return (found.class_prior / prior).log().float()


def _repeated(true: Tensor, size: float) -> Subset:
    """The clean rows, about `size` in all; a clean set of its natural size is seen once."""
    rows = torch.arange(len(true)).repeat(max(1, round(size / len(true))))
    return Subset("clean", rows, true.float()[rows])


def _kept(joint: Tensor, found: NoisePosterior, given: Tensor) -> Tensor:
    """All but the labels that are confidently contradicted and whose posterior does not know better.

    `joint`: what the pool says under the true class frequencies, up to a factor of each row, `(N, C)`.
    """
    noisy = joint @ found.transition
    doubted = confidently_other(noisy / noisy.sum(1, keepdim=True), given)
    return ~doubted | (found.responsibilities.amax(1) > _SURE)
