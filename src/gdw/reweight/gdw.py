"""Generalized Data Weighting: the bilevel step of the paper, with one weight per example and class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from gdw.errors import warn_user
from gdw.functional import second_stage_weights, zero_mean
from gdw.functional.weights import are_huge, by_rows, is_large
from gdw.hypergradient.inputs import Batch
from gdw.options import NotNegative, Number
from gdw.reweight.bilevel import NetworkChoice, NetworkOptions, NetworkReweighter
from gdw.reweight.options import MethodOptions
from gdw.reweight.step_result import StepResult

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "short": {"outer_lr": 1000.0, "clip": 1.0, "min_weight": 0.0, "weighting_network": "none"},
}
"""Named defaults of `GDW`. `paper`: as published for CIFAR-10 (Chen et al., 2021, section 4; CIFAR-100 takes
`outer_lr=1000`). `short`: steps large enough to matter in short runs and on strong features."""

_PRESET_ONLY = ("outer_lr", "clip", "min_weight", "weighting_network", "weighting_lr")


class GDWOptions(NetworkOptions):
    """The options of `GDW`."""

    preset: Literal["paper", "short"] = Field(
        "paper",
        description=(
            'Named defaults. "paper": as published. "short": outer_lr 1000, clip 1, min_weight 0 and no '
            "weighting network, for short runs. Options that are given win over the preset."
        ),
    )
    outer_lr: NotNegative = Field(
        100.0, description="Step size η_ω of the second stage, against `G / Σ|G|`."
    )
    clip: NotNegative = Field(0.2, description="Largest change of a weight in the second stage.")
    min_weight: Annotated[Number, Field(le=1)] = Field(
        1e-6,
        description=(
            "Smallest weight. A negative one lets an example pull where its label pushes."
        ),
    )
    zero_mean: bool = Field(
        True,
        description=(
            "Keep the sum of each example's weighted gradient over the classes at zero. Losses whose "
            "gradient does not sum to zero (multi-label) never get the constraint."
        ),
    )
    weighting_network: NetworkChoice = Field(
        "mlp",
        description=(
            'Maps losses `(N, 1)` to first-stage weights `(N, 1)`: "mlp" (one hidden layer of 100 units), '
            '"none" (all first-stage weights are one), or a module.'
        ),
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_preset(cls, values: Any) -> Any:
        given = {k: v for k, v in values.items() if v is not None or k not in _PRESET_ONLY}
        if given.get("preset") == "robust":
            warn_user(
                "GDW(preset='robust') is now GDW(preset='short'); the recommended method is gdw.Robust",
                FutureWarning,
            )
            given["preset"] = "short"
        preset = given.get("preset", "paper")
        filled = {**(PRESETS.get(preset, {}) if isinstance(preset, str) else {}), **given}
        if "weighting_lr" in given and filled.get("weighting_network") == "none":
            raise ValueError(
                f"weighting_lr={given['weighting_lr']!r} needs a weighting network, found 'none': leave it "
                "out, or give weighting_network='mlp'"
            )
        return filled


class GDW(NetworkReweighter):
    """GDW (Chen et al., NeurIPS 2021, arXiv 2111.00056, section 3.3).

    Each training step has two stages. A weighting network proposes one weight per example; after a virtual
    SGD step with these weights, the gradient G of the meta loss says how each weight should change, for
    every example and class. Then the weights take one step against G, the label's weight is set so that the
    gradient still sums to zero over the classes, and the model trains with the weighted gradient.

    >>> import torch, gdw
    >>> model = torch.nn.Linear(5, 3)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> reweighter = gdw.GDW(model, optimizer)
    >>> batch = torch.randn(8, 5), torch.randint(3, (8,))
    >>> meta_batch = torch.randn(6, 5), torch.randint(3, (6,))
    >>> step = reweighter.backward(batch, meta_batch)  # in place of loss.backward()
    >>> optimizer.step()
    >>> step.weights.shape
    torch.Size([8, 3])
    """

    Options: ClassVar[type[MethodOptions]] = GDWOptions
    captures = True

    _zero_sum: bool | None = None

    def _step(self, batch: Batch, meta_batch: Batch | None, indices: Tensor | None) -> StepResult:
        """The six steps of `docs/method.md`, in order."""
        training_pass = self._forward(batch, indices)  # 1: logits, D1
        proposed, first = self._first_stage(training_pass)  # 1: ω_i = v(ℓ_i)
        if not self._is_meta_step():
            return self._backward(training_pass, first, first_stage=first)  # 6, if meta_every > 1
        g, meta_loss, logits = self._hypergradient(training_pass, first, meta_batch)  # 2, 3
        self._learn(proposed, g)  # 4
        # The weights of a large vocabulary take the memory of G, which is then not reported.
        overwrites = are_huge(g.numel())
        weights = self._second_stage(
            first, g, training_pass.class_gradient, overwrites=overwrites
        )  # 5
        return self._backward(  # 6
            training_pass,
            weights,
            first_stage=first,
            hypergradient=None if overwrites else g,
            meta_loss=meta_loss,
            logits=logits,  # with the graph for 6, if the engine kept that of its own pass
        )

    def _second_stage(
        self, first: Tensor, g: Tensor, class_gradient: Tensor, *, overwrites: bool
    ) -> Tensor:
        """`ω − clip(η_ω G / Σ|G|)`, bounded, then the zero-mean constraint; perhaps in the memory of G."""
        norm = self._problem.collective.sum_scalar(_absolute_sum(g))
        constrained = self.options.zero_mean and self._has_zero_sum(class_gradient)
        names = ("outer_lr", "clip", "min_weight")
        options = {name: getattr(self.options, name) for name in names}

        def second(first: Tensor, g: Tensor, d1: Tensor) -> Tensor:
            weights = second_stage_weights(first, g, norm=norm, **options)
            return zero_mean(weights, d1) if constrained else weights

        return by_rows(second, first, g, class_gradient, into=g if overwrites else None)

    def _has_zero_sum(self, class_gradient: Tensor) -> bool:
        """Whether `D1` of the loss sums to zero. Checked once, because it is a property of the loss."""
        if self._zero_sum is None and self._problem.loss.zero_sum is not None:
            self._zero_sum = self._problem.loss.zero_sum
        if self._zero_sum is None:
            violates = float(not self._problem.loss.has_zero_sum(class_gradient))
            size = class_gradient.abs().sum()
            violated, size = self._problem.collective.sum([size.new_tensor(violates), size])
            if not size > 0:
                return False  # this batch shows nothing, and has nothing to constrain
            self._zero_sum = not violated > 0
        return self._zero_sum

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "zero_sum": self._zero_sum}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._zero_sum = state["zero_sum"]


def _absolute_sum(g: Tensor) -> Tensor:
    """`Σ|G|`; of many entries without a copy of them."""
    return torch.linalg.vector_norm(g, ord=1) if is_large(g) else g.abs().sum()


class UnconstrainedGDWOptions(GDWOptions):
    """The options of `UnconstrainedGDW`."""

    zero_mean: Literal[False] = Field(False, description="Always off.")


class UnconstrainedGDW(GDW):
    """GDW without the zero-mean constraint: the ablation of the paper's appendix, not for use.

    In the paper training then collapses and oscillates.
    """

    Options: ClassVar[type[MethodOptions]] = UnconstrainedGDWOptions
    captures = True
