"""Methods for unbalanced classes: weights, margins and offsets from the class counts."""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any, ClassVar

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.errors import ConfigError
from gdw.functional import class_probabilities
from gdw.hypergradient import TrainingPass
from gdw.options import NotNegative, Number, Share
from gdw.reweight.baselines.instance_weights import InstanceWeighted
from gdw.reweight.baselines.loss_method import LossMethod, per_class, soft_cross_entropy
from gdw.reweight.options import MethodOptions, WeightingOptions, float64_option
from gdw.reweight.plain import PreparedPlain
from gdw.reweight.preparation import Preparation, as_probabilities


def checked_counts(class_counts: Any) -> Tensor | None:
    """The option `class_counts` as `(C,)` float64. Raises `ConfigError` if it holds no counts."""
    if class_counts is None:
        return None
    wanted = "class_counts must be one number per class, zero or more"
    counts = float64_option(class_counts, f"{wanted}, got")
    if counts.dim() != 1 or not bool(((counts >= 0) & counts.isfinite()).all()) or not counts.any():
        raise ConfigError(f"{wanted}, got {class_counts!r}")
    return counts


ClassCounts = Annotated[Any, AfterValidator(checked_counts)]

_COUNTS = (
    "Number of examples of each class, `(C,)`. By default they are counted in the given labels."
)
_BETA = (
    "0: all classes alike; towards 1: by inverse frequency. Beyond `1 / (1 − β)` examples of a class, more "
    "count little."
)


def given_counts(preparation: Preparation) -> Tensor:
    """The number of training examples of each given class, `(C,)` float64; for soft labels their sums."""
    return as_probabilities(preparation.given, preparation.num_classes).sum(0)


def mean_one(weights: Tensor, counts: Tensor) -> Tensor:
    """Class weights `(C,)`, scaled to a mean of one over all examples."""
    return weights * (counts.sum() / (weights * counts).sum())


def effective_number_weights(counts: Tensor, beta: float) -> Tensor:
    """Class weights `(C,)` proportional to `(1 − β) / (1 − β^n_k)`, with mean one over all examples.

    Source: Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR 2019 (arXiv
    1901.05555), equation 2. A class of less than one example counts as one.
    """
    if beta == 0:
        return torch.ones_like(counts)
    exponent = counts.clamp(min=1) * torch.tensor(beta, dtype=counts.dtype).log()
    return mean_one(1 / -torch.expm1(exponent), counts)


class CountedOptions(WeightingOptions):
    """The options of methods that weight by class."""

    class_counts: ClassCounts = Field(None, description=_COUNTS)


class Counted(PreparedPlain):
    """A method that uses the number of training examples of each class: the option, or counted labels."""

    def __init__(self, model: nn.Module, optimizer: Optimizer, **options: Any) -> None:
        super().__init__(model, optimizer, **options)
        if self.options.class_counts is not None:
            self._kept["class_counts"] = self.options.class_counts

    def prepare(self, preparation: Preparation) -> None:
        self._kept.setdefault("class_counts", given_counts(preparation))


class ClassWeighted(Counted, InstanceWeighted):
    """Weights by class, with mean one over the training set. A soft label gets the mean of its classes."""

    Options: ClassVar[type[MethodOptions]] = CountedOptions

    @abstractmethod
    def _class_weights(self, counts: Tensor) -> Tensor:
        """The weight of each class, `(C,)`, from their numbers of examples, `(C,)` float64."""

    def _instance_weights(
        self, training_pass: TrainingPass, targets: Tensor, indices: Tensor | None
    ) -> Tensor:
        weights = self._class_weights(self._known("class_counts", option="class_counts"))
        q = class_probabilities(torch.zeros_like(training_pass.class_gradient), targets)
        return (q * per_class(weights, q)).sum(1)


class ClassBalancedOptions(CountedOptions):
    """The options of `ClassBalanced`."""

    beta: Annotated[Number, Field(ge=0, lt=1)] = Field(0.999, description=_BETA)


class ClassBalanced(ClassWeighted):
    """Class-balanced weights (Cui et al., CVPR 2019, arXiv 1901.05555, equation 2).

    `w_k ∝ (1 − β) / (1 − β^n_k)`, with mean one over the training set.
    """

    Options: ClassVar[type[MethodOptions]] = ClassBalancedOptions

    def _class_weights(self, counts: Tensor) -> Tensor:
        return effective_number_weights(counts, self.options.beta)


class InverseFrequency(ClassWeighted):
    """Equal total weight for every class: `w_k ∝ 1 / n_k`, with mean one over the training set.

    The classical correction of unequal classes (King and Zeng, "Logistic Regression in Rare Events Data",
    2001). A class of less than one example counts as one.
    """

    def _class_weights(self, counts: Tensor) -> Tensor:
        return mean_one(1 / counts.clamp(min=1), counts)


class FocalOptions(MethodOptions):
    """The options of `Focal`."""

    gamma: NotNegative = Field(2.0, description="0 is the cross-entropy.")


class Focal(LossMethod):
    """Focal loss (Lin et al., ICCV 2017, arXiv 1708.02002, equation 4).

    `ℓ = −Σ_k q_k (1 − p_k)^γ log p_k`; for a class label t this is `−(1 − p_t)^γ log p_t`.
    """

    Options: ClassVar[type[MethodOptions]] = FocalOptions

    def _loss(self, logits: Tensor, q: Tensor, indices: Tensor | None) -> Tensor:
        log_p = logits.log_softmax(1)
        # At p = 1 the slope of a power below one is infinite, and it multiplies a logarithm of zero.
        left = (1 - log_p.exp()).clamp(min=torch.finfo(logits.dtype).eps)
        gamma: float = self.options.gamma
        return -(q * left**gamma * log_p).sum(1)


class CountedLossOptions(MethodOptions):
    """The options of losses that use the class counts."""

    class_counts: ClassCounts = Field(None, description=_COUNTS)


class CountedLoss(Counted, LossMethod):
    """A loss that uses the number of training examples of each class."""

    Options: ClassVar[type[MethodOptions]] = CountedLossOptions


class LDAMOptions(CountedLossOptions):
    """The options of `LDAM`."""

    max_m: NotNegative = Field(
        0.5, description="Margin of the rarest class, in units of the logits."
    )
    scale: NotNegative = Field(1.0, description="Factor of the logits.")
    deferred: Share = Field(
        0.8,
        description="Share of the epochs after which examples are weighted by class; 1: never.",
    )
    beta: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.9999, description="Of the effective number of examples."
    )


class LDAM(CountedLoss):
    """Label-distribution-aware margins, deferred reweighting (Cao et al., NeurIPS 2019, arXiv 1906.07413).

    Equation 13: the label's logit is lowered by `Δ_k ∝ n_k^(−1/4)`, whose largest value is `max_m`; the
    cross-entropy is that of `scale` times the logits. The classifier of the paper returns cosines, for which
    it uses `scale=30`. Here the logits of the model have a scale of their own, so the default is 1; use 30
    for a model that normalises features and classes.

    In the last epochs examples are also weighted by the effective number of their class (algorithm 1), with
    mean one over the training set. A loop of your own calls `begin_epoch` for that.
    """

    Options: ClassVar[type[MethodOptions]] = LDAMOptions

    _weighted = False

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        self._weighted = epoch > self.options.deferred * epochs

    def _loss(self, logits: Tensor, q: Tensor, indices: Tensor | None) -> Tensor:
        options, counts = self.options, self._known("class_counts", option="class_counts")
        rarity = counts.clamp(min=1) ** -0.25
        margins = per_class(options.max_m * rarity / rarity.max(), logits)
        losses = soft_cross_entropy(options.scale * (logits - margins * q), q)
        if not self._weighted:
            return losses
        weights = per_class(effective_number_weights(counts, options.beta), logits)
        return losses * (weights * q).sum(1)


class LogitAdjustmentOptions(CountedLossOptions):
    """The options of `LogitAdjustment`."""

    tau: NotNegative = Field(1.0, description="Strength of the adjustment; 0 is the cross-entropy.")


class LogitAdjustment(CountedLoss):
    """Logit-adjusted cross-entropy (Menon et al., ICLR 2021, arXiv 2007.07314, equation 10).

    The model trains with `z + τ log π`, with π the frequencies of the given labels (a class of less than one
    example counts as one), and predicts with `z`.
    """

    Options: ClassVar[type[MethodOptions]] = LogitAdjustmentOptions

    def _loss(self, logits: Tensor, q: Tensor, indices: Tensor | None) -> Tensor:
        counts = self._known("class_counts", option="class_counts")
        log_prior = (counts.clamp(min=1) / counts.sum()).log()
        return soft_cross_entropy(logits + self.options.tau * per_class(log_prior, logits), q)
