"""Losses that are less sensitive to wrong labels: each is options and a formula."""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from gdw.options import NotNegative, Number, Share
from gdw.reweight.baselines.loss_method import LossMethod, soft_cross_entropy
from gdw.reweight.options import MethodOptions

# Keeps the logarithm of one minus an agreement finite, and its slope.
_SMALLEST = 1e-4


class LabelSmoothingOptions(MethodOptions):
    """The options of `LabelSmoothing`."""

    smoothing: Share = Field(0.1, description="ε; 0 is the cross-entropy.")

    @model_validator(mode="after")
    def _smooths_once(self) -> LabelSmoothingOptions:
        if self.label_smoothing:
            raise ValueError(
                "method 'label_smoothing' smooths by its own option smoothing=...: leave label_smoothing "
                f"at 0, found {self.label_smoothing!r}"
            )
        return self


class LabelSmoothing(LossMethod):
    """Label smoothing (Szegedy et al., CVPR 2016, arXiv 1512.00567, section 7).

    The target is `(1 − ε) q + ε / C`. It reduces the effect of wrong labels: Lukasik et al., ICML 2020
    (arXiv 2003.02819).
    """

    Options: ClassVar[type[MethodOptions]] = LabelSmoothingOptions

    def _loss(self, logits: Tensor, q: Tensor, indices: Tensor | None) -> Tensor:
        even = q.sum(1, keepdim=True) / q.shape[1]
        smoothing = self.options.smoothing
        return soft_cross_entropy(logits, (1 - smoothing) * q + smoothing * even)


class SoftBootstrapOptions(MethodOptions):
    """The options of `SoftBootstrap`."""

    beta: Share = Field(
        0.95, description="Share of the given label in the target; 1: cross-entropy."
    )


class SoftBootstrap(LossMethod):
    """Soft bootstrapping (Reed et al., ICLR 2015 workshop, arXiv 1412.6596, equation 6).

    `ℓ = −Σ_k [β q_k + (1 − β) p_k] log p_k`. The gradient also passes through the p in the target, so this is
    the cross-entropy plus a penalty on the entropy of the prediction.
    """

    Options: ClassVar[type[MethodOptions]] = SoftBootstrapOptions

    def _loss(self, logits: Tensor, q: Tensor, indices: Tensor | None) -> Tensor:
        log_p = logits.log_softmax(1)
        beta: float = self.options.beta
        predicted = log_p.exp() * q.sum(1, keepdim=True)
        return -((beta * q + (1 - beta) * predicted) * log_p).sum(1)


class HardBootstrapOptions(MethodOptions):
    """The options of `HardBootstrap`."""

    beta: Share = Field(
        0.8, description="Share of the given label in the target; 1: cross-entropy."
    )


class HardBootstrap(LossMethod):
    """Hard bootstrapping (Reed et al., ICLR 2015 workshop, arXiv 1412.6596, equation 7).

    `ℓ = −Σ_k [β q_k + (1 − β) 1(k = argmax p)] log p_k`.
    """

    Options: ClassVar[type[MethodOptions]] = HardBootstrapOptions

    def _loss(self, logits: Tensor, q: Tensor, indices: Tensor | None) -> Tensor:
        log_p = logits.log_softmax(1)
        beta: float = self.options.beta
        best = F.one_hot(logits.argmax(1), logits.shape[1]).movedim(-1, 1)
        predicted = best.to(logits) * q.sum(1, keepdim=True)
        return -((beta * q + (1 - beta) * predicted) * log_p).sum(1)


class GCEOptions(MethodOptions):
    """The options of `GCE`."""

    q: Annotated[Number, Field(gt=0, le=1)] = Field(
        0.7, description="Towards 0: cross-entropy; 1: mean absolute error."
    )


class GCE(LossMethod):
    """Generalised cross-entropy (Zhang and Sabuncu, NeurIPS 2018, arXiv 1805.07836, equation 6).

    `ℓ = Σ_k t_k (1 − p_k^q) / q` for the targets t; for a class label y this is `(1 − p_y^q) / q`.
    """

    Options: ClassVar[type[MethodOptions]] = GCEOptions

    def _loss(self, logits: Tensor, q: Tensor, indices: Tensor | None) -> Tensor:
        power: float = self.options.q
        return -(q * torch.expm1(power * logits.log_softmax(1))).sum(1) / power


class SCEOptions(MethodOptions):
    """The options of `SCE`."""

    alpha: NotNegative = Field(0.1, description="Weight of the cross-entropy (CIFAR-100: 6).")
    beta: NotNegative = Field(1.0, description="Weight of the reverse term (CIFAR-100: 0.1).")
    log_zero: Annotated[Number, Field(lt=0, allow_inf_nan=False)] = Field(
        -4.0, description="A, the value that stands for log 0."
    )


class SCE(LossMethod):
    """Symmetric cross-entropy (Wang et al., ICCV 2019, arXiv 1908.06112, equations 5 to 7).

    `ℓ = −α Σ_k q_k log p_k − β Σ_k p_k log q_k` with `log 0 = A`. For a class label y the second term is
    `−β A (1 − p_y)`.
    """

    Options: ClassVar[type[MethodOptions]] = SCEOptions

    def _loss(self, logits: Tensor, q: Tensor, indices: Tensor | None) -> Tensor:
        alpha: float = self.options.alpha
        beta: float = self.options.beta
        log_q = q.log().clamp(min=self.options.log_zero)
        reverse = -(logits.softmax(1) * log_q).sum(1) * q.sum(1)
        return alpha * soft_cross_entropy(logits, q) + beta * reverse


class ELROptions(MethodOptions):
    """The options of `ELR`."""

    strength: NotNegative = Field(3.0, description="λ; 0 is the cross-entropy.")
    beta: Share = Field(0.7, description="Of the moving average, from 0 (no memory) to 1.")


class ELR(LossMethod):
    """Early-learning regularisation (Liu et al., NeurIPS 2020, arXiv 2007.00151, equations 6 and 9).

    `ℓ = CE + λ log(1 − ⟨p, t⟩)`. t is a moving average of the predictions for the example,
    `t ← β t + (1 − β) p`, from zero, updated first. Probabilities are clamped to 1e-4 and 1 − 1e-4. Processes
    exchange their predictions, so all have the same averages.
    """

    Options: ClassVar[type[MethodOptions]] = ELROptions

    def _loss(self, logits: Tensor, q: Tensor, indices: Tensor | None) -> Tensor:
        p = logits.softmax(1).clamp(_SMALLEST, 1 - _SMALLEST)
        target = self._remember(self._required(indices), p.detach())
        agreement = (p * target).sum(1)
        regular = (1 - agreement).clamp(min=_SMALLEST).log() * q.sum(1)
        strength: float = self.options.strength
        return soft_cross_entropy(logits, q) + strength * regular

    def _remember(self, indices: Tensor, p: Tensor) -> Tensor:
        """Update the averages with the predictions `p` `(N, C, ...)`; return those of these examples."""
        every, predicted = self._problem.collective.concatenate([indices.to(p.device), p])
        every, predicted = every.cpu(), (predicted / predicted.sum(1, keepdim=True)).cpu()
        averages, beta = self._averages(int(every.max()) + 1, predicted), self.options.beta
        averages[every] = beta * averages[every] + (1 - beta) * predicted
        return averages[indices].to(p)

    def _averages(self, size: int, like: Tensor) -> Tensor:
        """The averages `(at least size, C, ...)`; examples that were never seen start from zero."""
        averages = self._kept.get("memory")
        known = 0 if averages is None else len(averages)
        if averages is None or known < size:
            new = like.new_zeros(size - known, *like.shape[1:])
            averages = new if averages is None else torch.cat([averages, new])
            self._kept["memory"] = averages
        return averages
