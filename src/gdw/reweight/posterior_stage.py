"""Posterior labels in training: the class-level weights of the preset `"robust"`, in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from gdw.errors import ConfigError
from gdw.functional import implied_weights
from gdw.hypergradient import Collective, TrainingPass
from gdw.reweight.base import Weighting
from gdw.reweight.instance_weighted import mean_over
from gdw.reweight.offset import corrected_gradient, log_posterior


@dataclass(frozen=True)
class PosteriorStage:
    """Posterior labels of a training set, and how its classes are distributed.

    Attributes:
        labels: `q`, `(N, C)` float32.
        offset: `log(π / ρ)`, `(C,)` float32.
        weight: how much each example counts, `(N,)` float32 in [0, 1].
        clean: what clean rows are trained towards, `(M, C)` float32.
        share: how many clean rows go with each given one in a batch.
        noise: `T`, `(C, C)` float32, the probability of given label k for class j at `[j, k]`.
        trust: from 0 to 1, how far the model in training is believed beside q.
    """

    labels: Tensor
    offset: Tensor
    weight: Tensor
    clean: Tensor
    share: float
    noise: Tensor
    trust: float

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
        """`run` with `D1` towards `q^(1−β) ⊙ (p ⊙ T[·, given])^β`, normalised, in the mean by `weight`.

        β is `trust` and p what the model says now. `targets` are classes or probabilities; `indices` `(N,)`,
        of clean rows beyond the training set.
        """
        like, total = run.class_gradient, len(self.labels)
        given = indices < total
        hot = targets if targets.is_floating_point() else F.one_hot(targets, like.shape[1])
        hot, doubtful = hot.to(like), given.to(like.device)
        known = indices.clamp(max=total - 1)
        q = self.labels[known].to(like)
        run.mean_loss = run.losses[doubtful if bool(given.any()) else ...].mean()
        # Those of an undecided model: what the labels are taken for, whatever training has come to.
        undecided = 1 / like.shape[1]
        own = torch.where(doubtful.unsqueeze(1), q, hot)
        weight = torch.where(given, self.weight[known], 1.0).to(like)
        run.shown = implied_weights(undecided - own, undecided - hot) * weight.unsqueeze(1)
        if self.trust > 0:
            own = torch.where(doubtful.unsqueeze(1), self._with_own(run.logits, q, hot), hot)
        run.losses, run.class_gradient = corrected_gradient(
            run.logits, own, doubtful, offset=self.offset, label_smoothing=label_smoothing
        )
        shares = mean_over(weight, run.count, collective).to(like)
        run.class_gradient = run.class_gradient * shares.unsqueeze(1)
        return run

    def _with_own(self, logits: Tensor, q: Tensor, hot: Tensor) -> Tensor:
        """q and the posterior of the model in training, `p ⊙ T[·, given]`, as a log-linear pool `(N, C)`."""
        own = log_posterior(logits.detach().to(q) + self.offset.to(q), hot, self.noise)
        before = q.clamp(min=torch.finfo(q.dtype).tiny).log()
        return (self.trust * own + (1 - self.trust) * before).softmax(1)

    @staticmethod
    def weigh(run: TrainingPass) -> Weighting:
        """No weights on the revised gradient; shown are those that make it of the plain one."""
        return Weighting(torch.ones_like(run.class_gradient), shown=run.shown)

    def state_dict(self) -> dict[str, Tensor | float | None]:
        return dict(vars(self))

    @classmethod
    def from_state(cls, state: Mapping[str, Any] | None) -> PosteriorStage | None:
        """What `state_dict` gave; None for None. `ConfigError` for a state that another version made."""
        if state is None:
            return None
        expected = {field.name for field in fields(cls)}
        if set(state) != expected:
            raise ConfigError(
                f"expected prepared labels with {', '.join(sorted(expected))}, found "
                f"{', '.join(sorted(state))}: another version of gdw prepared this run; start it anew"
            )
        return cls(**state)
