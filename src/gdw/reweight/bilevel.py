"""What the bilevel methods share: the engine, the weighting network, and the first stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import torch
from pydantic import AfterValidator, Field, model_validator
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.errors import ConfigError
from gdw.functional import broadcast_instance_weights
from gdw.hypergradient import ENGINES, HEAD, TrainingPass
from gdw.hypergradient.engines import Engine, Hypergradient
from gdw.hypergradient.inputs import Batch
from gdw.options import Count, NotNegative, Number
from gdw.reweight.base import Reweighter
from gdw.reweight.learned_weights import LearnedWeights, WeightingNetwork
from gdw.reweight.options import MethodOptions, WeightingOptions

if TYPE_CHECKING:
    from gdw.hypergradient.kept_gradient import KeptGradient


def _checked_network(choice: Any) -> Any:
    if not isinstance(choice, nn.Module) and choice not in ("mlp", "none"):
        raise ValueError("expected a module, 'mlp' or 'none' (all weights start at one)")
    return choice


NetworkChoice = Annotated[Any, AfterValidator(_checked_network)]


class BilevelOptions(WeightingOptions):
    """The options of methods that compute a hypergradient."""

    hypergradient: Literal["auto", "finite_difference", "forward", "reference", "head"] = Field(
        "auto",
        description=(
            'How the hypergradient is computed: by one finite difference (any model; "auto": MLPs on a CPU '
            'exactly, in closed form), exactly in forward mode or by double backward ("reference", slow), '
            'or restricted to the "head" (cheapest).'
        ),
    )
    head: str | None = Field(
        None,
        description='With "head": name of the module to restrict to; by default the last `nn.Linear`.',
    )
    retain_graph: bool | None = Field(
        None,
        description=(
            'With "auto" or "finite_difference": keep the training graph in the meta pass, which doubles '
            "the memory. By default only in coarser precision than float32."
        ),
    )
    meta_features_every: Count = Field(
        1, description='With "head": the features of one meta batch are used for this many steps.'
    )

    meta_gradient_every: Count = Field(
        1,
        description=(
            "Compute the gradient of the meta loss at every k-th step only, without a virtual step, and keep "
            "it in between: each step still has weights for its own batch, for 1.33 + 1/k plain steps."
        ),
    )
    meta_gradient_momentum: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.0,
        description=(
            "Average the gradients of the meta loss over the steps: share of the earlier ones. Above 0 there "
            "is no virtual step."
        ),
    )

    @model_validator(mode="after")
    def _engine_options_fit(self) -> BilevelOptions:
        needed = (
            ("head", self.head is not None, HEAD, ""),
            (
                "meta_features_every",
                self.meta_features_every > 1,
                HEAD,
                ": leave it out, or use meta_every",
            ),
            ("retain_graph", self.retain_graph is not None, "finite_difference", ": leave it out"),
            *(
                (name, getattr(self, name) > least, "finite_difference", ": leave it out")
                for name, least in (("meta_gradient_every", 1), ("meta_gradient_momentum", 0))
            ),
        )
        for option, is_given, engine, fix in needed:
            found = "finite_difference" if self.hypergradient == "auto" else self.hypergradient
            if is_given and found != engine:
                raise ValueError(
                    f"{option}={getattr(self, option)!r} needs hypergradient={engine!r}, found "
                    f"{self.hypergradient!r}{fix}"
                )
        return self


class NetworkOptions(BilevelOptions):
    """The options of methods with a weighting network."""

    weighting_network: NetworkChoice = Field(
        "mlp",
        description=(
            'Maps losses `(N, 1)` to weights `(N, 1)`: "mlp" (one hidden layer of 100 units), or a module.'
        ),
    )
    weighting_lr: NotNegative = Field(
        1e-3, description="Learning rate of its optimizer (Adam, weight decay 1e-4)."
    )
    meta_every: Count = Field(
        1,
        description=(
            "Compute the hypergradient at every k-th step only; the other steps use the weights of the "
            "network."
        ),
    )


class BilevelReweighter(Reweighter):
    """A method that computes a hypergradient from a meta batch."""

    Options: ClassVar[type[MethodOptions]] = BilevelOptions

    def __init__(self, model: nn.Module, optimizer: Optimizer, **options: Any) -> None:
        super().__init__(model, optimizer, **options)
        if self._problem.collective.is_spread:
            from gdw.hypergradient.sharded import require_engine

            require_engine(self.options.hypergradient, self._problem.autocast)
        self._engine: Engine = ENGINES[self.options.hypergradient]
        self._kept: KeptGradient | None = None
        if _keeps_gradient(self.options):
            from gdw.hypergradient.kept_gradient import KeptGradient

            every, momentum = self.options.meta_gradient_every, self.options.meta_gradient_momentum
            self._kept = KeptGradient(every, momentum)

    def _problem_options(self) -> dict[str, Any]:
        options = self.options
        differs = options.hypergradient in ("auto", "finite_difference")
        return {
            "head": options.head or options.hypergradient == HEAD,
            "retain_graph": options.retain_graph if differs else True,
            "features_every": options.meta_features_every,
            "closed_form": options.hypergradient == "auto" and not _keeps_gradient(options),
        }

    def state_dict(self) -> dict[str, Any]:
        head, kept = self._problem.head, self._kept
        return {
            **super().state_dict(),
            "head": None if head is None else head.state_dict(),
            "kept_gradient": None if kept is None else kept.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        if self._problem.head is not None and state["head"] is not None:
            self._problem.head.load_state_dict(state["head"])
        if self._kept is not None and state.get("kept_gradient") is not None:
            self._kept.load_state_dict(state["kept_gradient"])

    def _hypergradient(
        self, training_pass: TrainingPass, weights: Tensor | None, meta_batch: Batch | None
    ) -> Hypergradient:
        """The virtual step with `weights` `(N, C, ...)` (None: zero), and `G = ∂L/∂ω` there."""
        if meta_batch is None:
            raise ConfigError(
                "this method learns its weights from clean examples: call "
                "backward(batch, meta_batch), for instance in a loop over "
                "gdw.data.pair(train_loader, meta_loader)"
            )
        if self._kept is not None:
            return self._kept.hypergradient(self._problem, training_pass, meta_batch)
        return self._engine(self._problem, training_pass, weights, meta_batch)


def _keeps_gradient(options: Any) -> bool:
    """Whether the gradient of the meta loss is kept over steps, or averaged."""
    return bool(options.meta_gradient_every > 1 or options.meta_gradient_momentum > 0)


class NetworkReweighter(BilevelReweighter):
    """A bilevel method whose first-stage weights come from a weighting network, or are all one."""

    Options: ClassVar[type[MethodOptions]] = NetworkOptions

    def __init__(self, model: nn.Module, optimizer: Optimizer, **options: Any) -> None:
        super().__init__(model, optimizer, **options)
        choice = self.options.weighting_network
        self._learned: LearnedWeights | None = None
        if choice != "none":
            network = WeightingNetwork() if choice == "mlp" else choice
            self._learned = LearnedWeights(network, lr=self.options.weighting_lr)
        self._shared = False

    def _is_meta_step(self) -> bool:
        """Whether this step computes a hypergradient."""
        return bool(self._steps % self.options.meta_every == 0)

    def _first_stage(self, training_pass: TrainingPass) -> tuple[Tensor, Tensor]:
        """Instance weights `ω_i = v(ℓ_i)`, `(N, ...)` with a graph, and as class-level weights without."""
        losses, class_gradient = training_pass.losses, training_pass.class_gradient
        if self._learned is None:
            proposed = torch.ones_like(losses)
        else:
            if not self._shared:
                self._learned.share(self._problem.collective)
                self._shared = True
            proposed = self._learned.propose(losses)
        return proposed, broadcast_instance_weights(proposed.detach(), class_gradient)

    def _learn(self, proposed: Tensor, g: Tensor) -> None:
        """One Adam step of the network on `Σ_i (Σ_j G_ij) ∂v(ℓ_i)/∂v`."""
        if self._learned is not None:
            self._learned.learn(proposed, g.sum(1), self._problem.collective)

    @property
    def weighting_network(self) -> nn.Module | None:
        """The weighting network; None if the first stage is all ones."""
        return None if self._learned is None else self._learned.network

    def state_dict(self) -> dict[str, Any]:
        learned = None if self._learned is None else self._learned.state_dict()
        return {**super().state_dict(), "learned_weights": learned}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        learned = state["learned_weights"]
        if (learned is None) != (self._learned is None):
            raise ConfigError(
                "the state and this reweighter differ in whether there is a weighting network: "
                "build it with the options that the state was saved with"
            )
        if self._learned is not None:
            self._learned.load_state_dict(learned)
