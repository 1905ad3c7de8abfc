"""Instance weights from a network that reads the loss."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from gdw.hypergradient import Collective
from gdw.hypergradient.preserve import Copies


class WeightingNetwork(nn.Sequential):
    """An MLP 1→100→1 with ReLU and then sigmoid (Shu et al., "Meta-Weight-Net", NeurIPS 2019, section 2).

    Input: losses `(N, 1)`. Output: weights `(N, 1)` in (0, 1).
    """

    def __init__(self, hidden: int = 100) -> None:
        # The first weights do not depend on the default dtype; `LearnedWeights` converts them.
        wide, narrow = (nn.Linear(*s, dtype=torch.float32) for s in ((1, hidden), (hidden, 1)))
        super().__init__(wide, nn.ReLU(), narrow, nn.Sigmoid())


class LearnedWeights:
    """A weighting network `v` with its optimizer: it proposes instance weights and learns from G.

    Args:
        network: maps losses `(N, 1)` to weights `(N, 1)`.
        lr: learning rate of Adam.
        weight_decay: of Adam (L2, as published).
    """

    def __init__(self, network: nn.Module, *, lr: float, weight_decay: float = 1e-4) -> None:
        self.network = network
        self._optimizer = torch.optim.Adam(
            network.parameters(), lr=lr, weight_decay=weight_decay, foreach=False
        )
        self._copies = Copies()

    def share(self, collective: Collective) -> None:
        """Give every process the network of the first one; each has drawn its own."""
        collective.share([p.data for p in self.network.parameters()])

    def propose(self, losses: Tensor) -> Tensor:
        """Compute instance weights `(N, ...)` from losses `(N, ...)`, with a graph to the network."""
        self._match(losses)
        kind = losses.device.type
        with (
            torch.enable_grad(),
            nullcontext() if kind == "meta" else torch.autocast(kind, enabled=False),
        ):
            weights: Tensor = self.network(losses.detach().reshape(-1, 1))
        return weights.reshape(losses.shape)

    def learn(self, proposed: Tensor, gradient: Tensor, collective: Collective) -> None:
        """Take one Adam step on `Σ_i gradient_i · ∂v(ℓ_i)/∂v`, summed over processes.

        Args:
            proposed: what `propose` returned, `(N, ...)`.
            gradient: `∂L/∂weights`, `(N, ...)`.
            collective: sums over processes.
        """
        parameters = [p for p in self.network.parameters() if p.requires_grad]
        local = torch.autograd.grad(proposed, parameters, gradient, materialize_grads=True)
        summed = collective.sum(local)
        # One bad batch must not spoil the network for all later ones.
        finite = (torch.stack(torch._foreach_norm(summed, math.inf)) < math.inf).all()
        if _is_read_at_once(finite) and not finite:
            return
        with self._undone_unless(finite):
            for p, g in zip(parameters, summed, strict=True):
                p.grad = g
            self._optimizer.step()
        for p in parameters:
            p.grad = None

    @contextmanager
    def _undone_unless(self, kept: Tensor) -> Iterator[None]:
        """Inside, the optimizer steps; the step is undone if `kept` is false, a scalar on the device.

        Python need not know it: asking a GPU would mean to wait for it.
        """
        if _is_read_at_once(kept):
            yield
            return
        tensors = self.tensors()
        before = dict(zip(tensors, self._copies.of(tensors), strict=True))
        yield
        tensors = self.tensors()
        # What the optimizer made in its first step was zero before.
        old = [before[t] if t in before else torch.zeros_like(t) for t in tensors]
        with torch.no_grad():
            chosen = [torch.where(kept, t, o) for t, o in zip(tensors, old, strict=True)]
            torch._foreach_copy_(tensors, chosen)

    def tensors(self) -> list[Tensor]:
        """The parameters of the network and the state of its optimizer, as far as they are on its device."""
        states = self._optimizer.state.values()
        tensors = [*self.network.parameters(), *(t for state in states for t in state.values())]
        return [t for t in tensors if t.device == tensors[0].device]

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the network and of its optimizer."""
        return {"network": self.network.state_dict(), "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned, in the precision in which it was saved."""
        for tensor in state["network"].values():
            self._match(tensor)
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._suit_device()

    def _match(self, like: Tensor) -> None:
        """Move the network to the device and dtype of `like`."""
        p = next(self.network.parameters())
        if like.is_floating_point() and (p.device, p.dtype) != (like.device, like.dtype):
            # In place (`Module.to` swaps `.data`), so the optimizer still holds these parameters; loading
            # its own state moves its moments too.
            self.network.to(like.device, like.dtype)
            self._suit_device()

    def _suit_device(self) -> None:
        """Keep also the optimizer's count of steps on a GPU, so that no step waits for it.

        And step there with one operation for all parameters. On a CPU that takes longer than one for each.
        """
        kind = next(self.network.parameters()).device.type
        on_gpu = kind == "cuda"
        state = self._optimizer.state_dict()
        for group in state["param_groups"]:
            group["capturable"] = on_gpu
            group["foreach"] = kind != "cpu"
        if not on_gpu:
            for of_parameter in state["state"].values():
                of_parameter["step"] = of_parameter["step"].cpu()
        self._optimizer.load_state_dict(state)


def _is_read_at_once(scalar: Tensor) -> bool:
    return scalar.device.type == "cpu"
