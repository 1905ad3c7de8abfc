"""What a batch is, and how a model's logits are had from its inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.utils._pytree import tree_map

from gdw.errors import DataError, ModelError

Forward = Callable[[nn.Module, Any], Tensor]
Batch = tuple[Any, Tensor]


def default_forward(model: nn.Module, inputs: Any) -> Tensor:
    """Logits of `inputs`: a tensor, a tuple (positional arguments) or a mapping (keyword arguments).

    An output with `.logits`, or a mapping that has `"logits"`, is understood (Hugging Face style).

    Raises:
        ModelError: the output holds no tensor of logits.
    """
    if isinstance(inputs, Mapping):
        output = model(**inputs)
    elif isinstance(inputs, (tuple, list)):
        output = model(*inputs)
    else:
        output = model(inputs)
    logits = getattr(output, "logits", output)
    if isinstance(logits, Mapping) and "logits" in logits:
        logits = logits["logits"]
    if not isinstance(logits, Tensor):
        raise ModelError(
            f"the model must return logits (a tensor, or an object with .logits), "
            f"got {type(output).__name__}: pass forward=lambda model, inputs: ..."
        )
    return logits


def as_pair(batch: Batch, what: str) -> Batch:
    """The batch as `(inputs, targets)`, or a `DataError` that says what `what` should be."""
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise DataError(
            f"{what} must be a pair (inputs, targets), found {type(batch).__name__}"
            + (f" of length {len(batch)}" if hasattr(batch, "__len__") else "")
            + "; for a mapping that holds its labels, pass (batch, batch.pop('labels'))"
        )
    inputs, targets = batch
    return inputs, targets


def joined(first: Batch, second: Batch, rows: int) -> Batch:
    """One batch of `first`, then the first `rows` examples of `second`.

    Inputs may be tensors, or tuples or mappings of them. `DataError` for two that do not fit together.
    """
    (x, y), (u, v) = first, second
    if y.is_floating_point() != v.is_floating_point():
        # Classes beside probabilities: both as probabilities.
        width = (y if y.is_floating_point() else v).shape[1]
        y, v = (t if t.is_floating_point() else one_hot(t, width).to(torch.float32) for t in (y, v))

    def join(a: Tensor, b: Tensor) -> Tensor:
        if a.is_floating_point() != b.is_floating_point():
            raise ValueError(f"{a.dtype} beside {b.dtype}")
        return torch.cat([a, b[:rows].to(a.dtype)])

    try:
        inputs, targets = tree_map(join, (plain_tree(x), y), (plain_tree(u), v))
    except (RuntimeError, ValueError) as error:
        raise DataError(
            "training and clean examples must have inputs and targets of one form to share a batch: "
            f"{str(error).splitlines()[0]}"
        ) from error
    return inputs, targets


def plain_tree(inputs: Any) -> Any:
    """`inputs` with mappings of any kind as dictionaries and sequences as tuples."""
    if isinstance(inputs, Mapping):
        return {key: plain_tree(value) for key, value in inputs.items()}
    if isinstance(inputs, (tuple, list)):
        return tuple(plain_tree(value) for value in inputs)
    return inputs


def each_tensor(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """`value` with every tensor in it changed; looks into tuples, lists and dictionaries, not their kin."""
    if isinstance(value, Tensor):
        return change(value)
    if type(value) is tuple:
        return tuple(each_tensor(item, change) for item in value)
    if isinstance(value, list):
        return [each_tensor(item, change) for item in value]
    if type(value) is dict:
        return {key: each_tensor(item, change) for key, item in value.items()}
    return value


def versions_of(inputs: Any) -> list[int]:
    """How often each input tensor was changed in place, as autograd counts it."""
    if isinstance(inputs, Tensor):
        return [] if inputs.is_inference() else [inputs._version]
    if isinstance(inputs, Mapping):
        return [v for value in inputs.values() for v in versions_of(value)]
    if isinstance(inputs, (tuple, list)):
        return [v for value in inputs for v in versions_of(value)]
    return []
