"""Generalized Data Weighting: one weight for each example and class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.errors import ConfigError
from gdw.functional import second_stage_weights, zero_mean
from gdw.functional.losses import PerExample
from gdw.hypergradient import TrainingPass
from gdw.hypergradient.batch import Batch, Forward, joined
from gdw.reweight.base import StepResult, Weighting
from gdw.reweight.posterior_options import PosteriorOptions
from gdw.reweight.posterior_search import find_posterior
from gdw.reweight.posterior_stage import PosteriorStage
from gdw.reweight.preparation import Preparation
from gdw.reweight.presets import resolve_preset
from gdw.reweight.two_stage import NetworkChoice, NetworkReweighter

# Options of the bilevel step, as they are when nobody gave them.
_BILEVEL: dict[str, Any] = {
    "hypergradient": "finite_difference",
    "head": None,
    "outer_lr": None,
    "clip": None,
    "min_weight": None,
    "zero_mean": True,
    "weighting_network": None,
    "weighting_lr": None,
    "meta_every": 1,
}


class GDW(NetworkReweighter):
    """GDW (Chen et al., NeurIPS 2021, arXiv 2111.00056, section 3.3).

    First stage: a network proposes an instance weight from each example's loss; a virtual SGD step with
    it, and the hypergradient G of the meta loss there, with one free weight for each example and class.
    The network learns from G. Second stage: the weights themselves take a normalised, clipped step
    against G, the label's weight is set to keep the gradient's sum over the classes at zero, and the
    model's gradient is weighted with the result.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        hypergradient: str = "finite_difference",
        head: str | None = None,
        retain_graph: bool | None = None,
        meta_features_every: int = 1,
        outer_lr: float | None = None,
        clip: float | None = None,
        min_weight: float | None = None,
        zero_mean: bool = True,
        weighting_network: NetworkChoice | None = None,
        weighting_lr: float | None = None,
        loss: str | PerExample = "cross_entropy",
        label_smoothing: float = 0.0,
        meta_every: int = 1,
        forward: Forward | None = None,
        posterior: bool | Mapping[str, Any] | None = None,
        preset: str = "paper",
    ) -> None:
        """
        Arguments left at None are the preset's; the values in brackets are those of `"paper"`.

        Args:
            model, optimizer, forward, loss, label_smoothing: as for every reweighter.
            hypergradient: `"finite_difference"`, `"forward"`, `"reference"` or `"head"`.
            head: for `"head"`, the name of the module that it is restricted to; by default the last
                `nn.Linear`.
            retain_graph, meta_features_every: as for `MetaReweighter`.
            outer_lr: `η_ω`, the step size of the second stage against `G / Σ|G|` (100).
            clip: the largest change of a weight in the second stage (0.2).
            min_weight: the smallest weight (1e-6); a negative one lets an example pull where its label
                pushes.
            zero_mean: keep the sum of each example's weighted gradient at zero. Losses whose gradient
                does not sum to zero (multi-label) never get the constraint.
            weighting_network: a module `(N, 1) -> (N, 1)`, `"mlp"`, or `"none"`: ω starts at one.
            weighting_lr: the network's Adam learning rate (1e-3; weight decay 1e-4).
            meta_every: compute the hypergradient at every k-th step only; in between the network's
                weights are used as they are.
            posterior: whether `prepare` (which `gdw.Trainer` calls) finds posterior labels, whose class-level
                weights then stand for both stages: no hypergradient is computed (False). The preset's
                yes is a no when an option of the bilevel step is given. A mapping is a yes with options,
                see `gdw.reweight.posterior_options`.
            preset: named settings, see `gdw.reweight.PRESETS`.

        Raises:
            ConfigError: an unknown name, or an option out of its range.
        """
        settings = resolve_preset(preset)
        network = weighting_network if weighting_network is not None else settings.weighting_network
        super().__init__(
            model,
            optimizer,
            hypergradient=hypergradient,
            head=head,
            retain_graph=retain_graph,
            meta_features_every=meta_features_every,
            weighting_network=network,
            weighting_lr=settings.weighting_lr if weighting_lr is None else weighting_lr,
            meta_every=meta_every,
            forward=forward,
            loss=loss,
            label_smoothing=label_smoothing,
        )
        self._outer_lr = settings.outer_lr if outer_lr is None else outer_lr
        self._clip = settings.clip if clip is None else clip
        self._min_weight = settings.min_weight if min_weight is None else min_weight
        for option, value in (("outer_lr", self._outer_lr), ("clip", self._clip)):
            if not isinstance(value, (int, float)) or not value >= 0:
                raise ConfigError(f"{option} must be a number, zero or more, got {value!r}")
        if not isinstance(self._min_weight, (int, float)) or not self._min_weight <= 1:
            raise ConfigError(f"min_weight must be a number of at most 1, got {self._min_weight!r}")
        self._by_posterior = _prepares(
            {
                "preset": preset,
                "posterior": posterior,
                "loss": loss,
                "hypergradient": hypergradient,
                "head": head,
                "outer_lr": outer_lr,
                "clip": clip,
                "min_weight": min_weight,
                "zero_mean": zero_mean,
                "weighting_network": weighting_network,
                "weighting_lr": weighting_lr,
                "meta_every": meta_every,
            }
        )
        self._posterior_options = PosteriorOptions.parse(posterior)
        self._label_smoothing = label_smoothing
        self._stage: PosteriorStage | None = None
        self._constrained = zero_mean
        self._zero_sum: bool | None = None

    @classmethod
    def takes_clean(cls, options: Mapping[str, Any]) -> bool:
        """Posterior labels bring clean rows into every batch."""
        return _prepares(options)

    def prepare(self, preparation: Preparation) -> None:
        """With the preset `"robust"`: posterior labels, see `gdw.reweight.posterior_search`."""
        if self._by_posterior:
            self._stage = find_posterior(preparation, self._posterior_options)

    def label_posterior(self) -> Tensor | None:
        """What `prepare` found: the probability of each class for each training example, `(N, C)`."""
        return None if self._stage is None else self._stage.labels

    def clean_targets(self) -> Tensor | None:
        return None if self._stage is None else self._stage.clean

    def backward(
        self, batch: Batch, meta_batch: Batch | None = None, *, indices: Sequence[int] | None = None
    ) -> StepResult:
        if self._stage is None:
            return super().backward(batch, meta_batch, indices=indices)
        if indices is None:
            raise ConfigError(
                "this GDW was prepared with labels for each training example: say which are in the batch, "
                "backward(batch, meta_batch, indices=...)"
            )
        size, meta_batch = len(batch[1]), self._required(meta_batch)
        rows = self._stage.rows(size, len(meta_batch[1]))
        # Beyond the end of the training set: that is how clean examples are told.
        known = [*indices, *[len(self._stage.labels)] * rows]
        result = super().backward(joined(batch, meta_batch, rows), indices=known)
        return result.first(size)

    def _revise(self, run: TrainingPass, targets: Tensor, indices: Tensor | None) -> TrainingPass:
        if self._stage is None or indices is None:
            return run
        return self._stage.revise(
            run,
            targets,
            indices,
            collective=self._problem.collective,
            label_smoothing=self._label_smoothing,
        )

    def _weigh(self, run: TrainingPass, meta_batch: Batch | None) -> Weighting:
        if self._stage is not None:
            return self._stage.weigh(run)
        if not self._is_meta_step():
            return self._between(run)
        first, g, meta_loss = self._learn(run, meta_batch)
        weights = second_stage_weights(
            first,
            g,
            outer_lr=self._outer_lr,
            clip=self._clip,
            min_weight=self._min_weight,
            norm=self._problem.collective.sum_scalar(g.abs().sum()),
        )
        return Weighting(self._keep_zero_mean(weights, run.class_gradient), first, g, meta_loss)

    def _keep_zero_mean(self, weights: Tensor, class_gradient: Tensor) -> Tensor:
        if self._constrained and self._has_zero_sum(class_gradient):
            return zero_mean(weights, class_gradient)
        return weights

    def _has_zero_sum(self, class_gradient: Tensor) -> bool:
        """A property of the loss: one look is enough, and later steps need not wait for it."""
        if self._zero_sum is None:
            found = float(not self._problem.loss.has_zero_sum(class_gradient))
            some = class_gradient.abs().sum()
            violated, size = self._problem.collective.sum([some.new_tensor(found), some])
            if not size > 0:
                return False  # nothing to see in this batch, nor anything to constrain
            self._zero_sum = not violated > 0
        return self._zero_sum

    def state_dict(self) -> dict[str, Any]:
        stage = None if self._stage is None else self._stage.state_dict()
        return {**super().state_dict(), "zero_sum": self._zero_sum, "stage": stage}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._zero_sum = state["zero_sum"]
        self._stage = PosteriorStage.from_state(state["stage"])


def _prepares(options: Mapping[str, Any]) -> bool:
    """Whether posterior labels are wanted; options of the bilevel step ask for that step instead."""
    wanted = options.get("posterior")
    if wanted is None:
        preset = resolve_preset(options.get("preset", "paper"))
        wanted = preset.posterior and all(options.get(k, v) == v for k, v in _BILEVEL.items())
    wanted = bool(wanted) or isinstance(wanted, Mapping)
    return wanted and options.get("loss", "cross_entropy") == "cross_entropy"
