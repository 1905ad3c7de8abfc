"""The weighting network `v`: from an example's loss to its instance weight, learned by the meta step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gdw.hypergradient import Collective


class WeightingNetwork(nn.Sequential):
    """An MLP 1→100→1, ReLU then sigmoid (Shu et al., "Meta-Weight-Net", NeurIPS 2019, section 2).

    Input `(N, 1)` losses, output `(N, 1)` weights in (0, 1).
    """

    def __init__(self, hidden: int = 100) -> None:
        super().__init__(nn.Linear(1, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Sigmoid())


class LearnedWeights:
    """A weighting network with its optimizer: proposes instance weights, learns from their gradient.

    Args:
        network: maps `(N, 1)` losses to `(N, 1)` weights.
        lr: learning rate of Adam.
        weight_decay: of Adam (L2, as published).
    """

    def __init__(self, network: nn.Module, *, lr: float, weight_decay: float = 1e-4) -> None:
        self.network = network
        self._optimizer = torch.optim.Adam(network.parameters(), lr=lr, weight_decay=weight_decay)

    def share(self, collective: Collective) -> None:
        """Give every process the network of the first: each drew its own from its own seed."""
        collective.share([p.data for p in self.network.parameters()])

    def propose(self, losses: Tensor) -> Tensor:
        """Instance weights `(N, ...)` for losses `(N, ...)`, differentiable in the network."""
        self._follow(losses)
        with torch.enable_grad(), torch.autocast(losses.device.type, enabled=False):
            weights: Tensor = self.network(losses.detach().reshape(-1, 1))
        return weights.reshape(losses.shape)

    def learn(self, proposed: Tensor, gradient: Tensor, collective: Collective) -> None:
        """One Adam step on `Σ_i gradient_i · ∂v(ℓ_i)/∂v`, summed over processes.

        `proposed` is what `propose` returned and `gradient`, of its shape, is `∂L/∂weights`.
        """
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        own = torch.autograd.grad(proposed, parameters, gradient, materialize_grads=True)
        summed = collective.sum(own)
        if not torch.stack([g.isfinite().all() for g in summed]).all():
            return  # one bad batch must not spoil the network for all later ones
        for p, g in zip(parameters, summed, strict=True):
            p.grad = g
        self._optimizer.step()
        self._optimizer.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """The network's and its optimizer's state."""
        return {"network": self.network.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state made by `state_dict`, in the precision it was saved in."""
        for tensor in state["network"].values():
            self._follow(tensor)
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])

    def _follow(self, like: Tensor) -> None:
        p = next(self.network.parameters())
        if like.is_floating_point() and (p.device, p.dtype) != (like.device, like.dtype):
            # In place (`Module.to` swaps `.data`), so the optimizer goes on holding these parameters;
            # loading its own state moves its moments along.
            self.network.to(like.device, like.dtype)
            self._optimizer.load_state_dict(self._optimizer.state_dict())
