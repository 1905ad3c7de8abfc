"""The recommended first stage: class-level weights in closed form, from posterior labels.

Three steps before training, each on what the one before found (`docs/method.md` has the reasons):

1. Models of folds of the clean examples give `p(k|x)`; EM over the training set gives the noise matrix T, the
   true class frequencies π and posterior labels `q ∝ p(k|x) / ρ_k · π_k · T[k, given]`.
2. Two strategies, each by two models trained on one half of the training set: towards those q, or towards
   the model's own posterior under T (forward correction). The one whose models make the given labels of the
   halves that they have not seen likelier wins, and is believed beside the first models as far as that
   helps. EM once more with the mix.
3. Training then takes the winner's way, the logits of given examples offset by `log(π / ρ)`: noise and
   balance are corrected apart, the one in the labels, the other in the logits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gdw.data.seeding import generator
from gdw.errors import DivergenceError
from gdw.functional import implied_weights
from gdw.functional.noise_posterior import NoisePosterior, noise_posterior
from gdw.hypergradient import TrainingPass
from gdw.reweight.base import Weighting
from gdw.reweight.class_counts import as_probabilities
from gdw.reweight.clean_models import clean_prior, clean_probabilities
from gdw.reweight.offset import corrected_gradient
from gdw.reweight.preparation import Preparation, Subset

LARGEST = 50_000_000
"""The most entries `N · C` of the tables that the stage works with, in float64; above, there is none."""

_FEWEST = 4
_STRENGTH, _STEPS = 10.0, 100
_LEAST, _MOST = 0.1, 0.5
_TEMPERATURES = torch.linspace(-1.5, 2.0, 15).exp().tolist()
_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class PosteriorStage:
    """Posterior labels of a training set, and how its classes are distributed.

    Attributes:
        labels: `q`, `(N, C)` float32.
        offset: `log(π / ρ)`, `(C,)` float32.
        noise: `T`, `(C, C)` float32, where training corrects for it as it goes; None: it is towards q.
        share: how many clean rows go with each given one in a batch.
    """

    labels: Tensor
    offset: Tensor
    noise: Tensor | None
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
        halves = _Halves(preparation, first, prior, true, share)
        towards_q, own = halves.predictions(corrects=False), halves.predictions(corrects=True)
        judge = _Judge(first, given, prior)
        corrects = judge.of(own)[0] > judge.of(towards_q)[0]
        mixed = judge.of(own if corrects else towards_q, beside=first_p)[1]
        last = _posterior(mixed, given, prior)
        offset = (last.class_prior / prior).log().float()
        noise = last.transition.float() if corrects else None
        return cls(last.responsibilities.float(), offset, noise, share)

    def rows(self, given: int, meta: int) -> int:
        """How many of `meta` clean rows go with `given` training rows."""
        return min(meta, max(1, round(self.share * given)))

    def revise(
        self, run: TrainingPass, targets: Tensor, indices: Tensor, *, label_smoothing: float = 0.0
    ) -> TrainingPass:
        """`run` with `D1` towards q; `indices` `(N,)`, of clean rows beyond the training set."""
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
        run.losses, run.class_gradient = corrected_gradient(
            run.logits,
            hot if self.noise is not None else own,
            doubtful,
            offset=self.offset,
            noise=self.noise,
            label_smoothing=label_smoothing,
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


class _Halves:
    """The two halves of a training set, and models of each that look at the other."""

    def __init__(
        self,
        preparation: Preparation,
        first: NoisePosterior,
        prior: Tensor,
        true: Tensor,
        share: float,
    ) -> None:
        self._preparation, self._first, self._true = preparation, first, true.float()
        self._offset = (first.class_prior / prior).log().float()
        draw = generator(preparation.seed, "halves").permutation(len(preparation.given))
        self._parts = [torch.from_numpy(draw[k::2].copy()) for k in range(2)]
        # As often as its share asks for; a clean set of its natural size is seen once.
        times = max(1, round(share * len(draw) / 2 / len(true)))
        self._clean = torch.arange(len(true)).repeat(times)

    def predictions(self, *, corrects: bool) -> Tensor:
        """Log-probabilities `(N, C)` by models that have not seen the example, balanced as the clean set is.

        Trained towards the first posterior labels, or, if it `corrects`, on the given ones under the noise.
        """
        q = self._first.responsibilities.float()
        found = torch.empty(q.shape, dtype=torch.float64)
        way = "the given labels and their noise" if corrects else "the labels so far"
        for number, inside in enumerate(self._parts):
            outside = self._parts[1 - number]
            predict = self._preparation.fit(
                [
                    Subset("given", inside, None if corrects else q[inside]),
                    Subset("clean", self._clean, self._true[self._clean]),
                ],
                seed=100 + number,
                what=f"model {number + 1} of 2 of {way}",
                offset=self._offset,
                noise=self._first.transition.float() if corrects else None,
            )
            p = predict(Subset("given", outside)).double()
            found[outside] = p.clamp(min=1e-12).log()
        return found


class _Judge:
    """How likely given labels are under predictions that have not seen them: it costs no clean example."""

    def __init__(self, posterior: NoisePosterior, given: Tensor, prior: Tensor) -> None:
        self._weight = posterior.class_prior / prior
        self._noise = posterior.transition[:, given].T

    def _likelihood(self, p: Tensor) -> float:
        true = p * self._weight
        likelihood = (true * self._noise).sum(1) / true.sum(1)
        return float(likelihood.clamp(min=1e-12).log().mean())

    def of(self, log_p: Tensor, *, beside: Tensor | None = None) -> tuple[float, Tensor]:
        """The best mean log-likelihood over temperatures of `log_p` `(N, C)`, and what has it, `(N, C)`.

        With `beside` `(N, C)` also over mixtures with those.
        """
        shares = _SHARES if beside is not None else (1.0,)
        best, likeliest = log_p, -torch.inf
        for t in _TEMPERATURES:
            sharpened = (log_p / t).softmax(1)
            for share in shares:
                p = sharpened if beside is None else (1 - share) * beside + share * sharpened
                value = self._likelihood(p)
                if value > likeliest:
                    best, likeliest = p, value
        if likeliest == -torch.inf:
            raise DivergenceError(
                "a model that prepares the labels gives no finite probabilities: try a lower lr",
                epoch=0,
                step=0,
            )
        return likeliest, best
