"""CUFIT: a linear probe selects for a network, which selects for the model."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.functional import broadcast_instance_weights
from gdw.hypergradient import Problem, TrainingPass
from gdw.hypergradient.inputs import default_forward
from gdw.reweight.baselines.instance_weights import InstanceWeighted, labelled
from gdw.reweight.baselines.peer import Follower, Peer, resettable_layers


class CUFIT(InstanceWeighted):
    """CUFIT, curriculum fine-tuning (Yu et al., NeurIPS 2024, arXiv 2412.00150), section 3.

    Three modules see the same batches and are trained at the same time. A linear probe of frozen features
    trains on all examples. The intermediate network, a second copy of the model, trains on the examples whose
    label is the class that the probe predicts. The model trains on those whose label is the class that the
    intermediate network predicts. Only the model is evaluated.

    Inputs `(N, F)` are taken for frozen features, and the probe is linear in them. For other inputs the probe
    is the last layer of another copy, whose other layers stay as they were at the start; the model should
    then be pretrained. The cost is about twice that of plain training. With several processes each step
    counts the examples of all processes.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, **options: Any) -> None:
        super().__init__(model, optimizer, **options)
        # Copied before the intermediate network follows the optimizer, or a copy of it would follow too.
        self._start = copy.deepcopy((self.model, optimizer))
        self._intermediate = Peer(self._problem, reset="head")
        self._probe: Follower | None = None
        self._shape: tuple[int, int] | None = None

    def _instance_weights(
        self, training_pass: TrainingPass, targets: Tensor, indices: Tensor | None
    ) -> Tensor:
        inputs = training_pass.inputs
        if self._probe is None:
            self._shape = _shape_of(inputs, training_pass.logits)
            self._probe = self._new_probe()
        probe_pass, middle_pass = (
            module.training_pass((inputs, targets)) for module in (self._probe, self._intermediate)
        )
        known = labelled(training_pass.losses, targets)
        everything, by_probe, by_middle = (
            self._problem.collective.mean_over(chosen, training_pass.count)
            for chosen in (
                known,
                known & _agrees(probe_pass.logits, targets),
                known & _agrees(middle_pass.logits, targets),
            )
        )
        for module, passed, weights in (
            (self._probe, probe_pass, everything),
            (self._intermediate, middle_pass, by_probe),
        ):
            module.accumulate(passed, broadcast_instance_weights(weights, passed.class_gradient))
        return by_middle

    def _new_probe(self) -> Follower:
        """A linear layer with weights of the shape `_shape`; without a shape, the copy's last layer."""
        network, optimizer, shape = *self._start, self._shape
        del self._start
        forward = self._problem.forward
        if shape is None:
            copied = Problem(network, optimizer, self._problem.loss, forward)
            head = {id(p) for m in resettable_layers(copied)[-1:] for p in m.parameters()}
            for parameter in network.parameters():
                parameter.requires_grad_(
                    parameter.requires_grad and (not head or id(parameter) in head)
                )
        else:
            like = next(network.parameters())
            network, forward = _linear(shape, like), default_forward
            group = {k: v for k, v in optimizer.param_groups[0].items() if k != "params"}
            optimizer.param_groups.clear()
            optimizer.state.clear()
            optimizer.add_param_group({**group, "params": list(network.parameters())})
        return Follower(self._problem, Problem(network, optimizer, self._problem.loss, forward))

    def state_dict(self) -> dict[str, Any]:
        probe = None if self._probe is None else self._probe.state_dict()
        middle = self._intermediate.state_dict()
        shape = None if self._shape is None else torch.tensor(self._shape)
        return {**super().state_dict(), "middle": middle, "probe": probe, "shape": shape}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        super().load_state_dict(state)
        self._intermediate.load_state_dict(state["middle"])
        if state["probe"] is None:
            return
        if self._probe is None:
            shape = state["shape"]
            self._shape = None if shape is None else (int(shape[0]), int(shape[1]))
            self._probe = self._new_probe()
        self._probe.load_state_dict(state["probe"])


def _shape_of(inputs: Any, logits: Tensor) -> tuple[int, int] | None:
    """The numbers of classes and features, if the inputs are vectors of features; else None."""
    is_vector = isinstance(inputs, Tensor) and inputs.is_floating_point() and inputs.dim() == 2
    return (logits.shape[1], inputs.shape[1]) if is_vector and logits.dim() == 2 else None


def _linear(shape: tuple[int, int], like: Tensor) -> nn.Module:
    """A linear layer with the weight `shape` `(C, F)`, all zero, in the dtype and place of `like`."""
    classes, features = shape
    layer: nn.Module = nn.utils.skip_init(
        nn.Linear, features, classes, device=like.device, dtype=like.dtype
    )
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
    return layer


def _agrees(logits: Tensor, targets: Tensor) -> Tensor:
    """Whether the class with the largest logit is the label, `(N, ...)`."""
    labels = targets.argmax(1) if targets.is_floating_point() else targets
    return logits.argmax(1) == labels
