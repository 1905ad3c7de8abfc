"""What a batch is, how a model gets it, and in which memory format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.utils._pytree import tree_leaves, tree_map

from gdw.errors import DataError, ModelError, listed
from gdw.functional.losses import IGNORE_INDEX
from gdw.hypergradient.precision import is_compiled

Forward = Callable[[nn.Module, Any], Tensor]
"""`(model, inputs) -> logits (N, C, ...)`."""

Batch = tuple[Any, Tensor]
"""`(inputs, targets)`; inputs are a tensor, a tuple of tensors or a mapping of tensors."""


def default_forward(model: nn.Module, inputs: Any) -> Tensor:
    """Compute the logits of `inputs`.

    A tuple is passed to the model as positional arguments, a mapping as keyword arguments. If the output
    has an attribute `.logits` or a key `"logits"` (as in transformers), that tensor is returned.

    Args:
        model: any module.
        inputs: a tensor, a tuple or a mapping.

    Returns:
        `(N, C, ...)`.

    Raises:
        ModelError: the output contains no tensor of logits.
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
            f"got {_output(output)}"
        )
    return logits


def _output(output: Any) -> str:
    """What a model returned in place of logits, and the `forward` that takes them from it."""
    kind, call = type(output).__name__, "pass forward=lambda model, inputs: model(inputs)"
    if isinstance(output, Mapping):
        key = next((k for k, v in output.items() if isinstance(v, Tensor)), "logits")
        return f"{kind} with the keys {listed(map(str, output))}: {call}[{key!r}]"
    if isinstance(output, (tuple, list)):
        return f"{kind} of length {len(output)}: {call}[0]"
    return f"{kind}: {call}..."


def as_pair(
    batch: Batch,
    name: str,
    *,
    ignore_index: int = IGNORE_INDEX,
    device: torch.device | None = None,
) -> Batch:
    """Return the batch as `(inputs, targets)` with a tensor of targets.

    Args:
        batch: the batch.
        name: what error messages call it.
        ignore_index: targets of this class get the index `IGNORE_INDEX`.
        device: of the tensor that is made of other targets.

    Raises:
        DataError: it is not a pair, or the targets are not numbers.
    """
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        from gdw.hypergradient.not_a_pair import described

        raise DataError(f"{name} must be a pair (inputs, targets), found {described(batch)}")
    inputs, targets = batch
    if not isinstance(targets, Tensor):
        targets = _as_tensor(targets, name, device)
    if ignore_index != IGNORE_INDEX and not targets.is_floating_point():
        targets = targets.long()
        targets = targets.masked_fill(targets == ignore_index, IGNORE_INDEX)
    return inputs, targets


def as_pairs(
    batch: Batch,
    meta_batch: Batch | None,
    ignore_index: int,
    device: torch.device,
    forward: Any = None,
) -> tuple[Batch, Batch | None]:
    """A training and a meta batch as pairs, see `as_pair`; those of `TokenForward` for each token."""
    targets_of = getattr(forward, "token_targets", lambda targets, _: targets)

    def pair_of(batch: Batch, name: str) -> Batch:
        inputs, targets = as_pair(batch, name, ignore_index=ignore_index, device=device)
        return inputs, targets_of(targets, inputs)

    pair = pair_of(batch, "the training batch")
    return pair, None if meta_batch is None else pair_of(meta_batch, "the meta batch")


@contextmanager
def in_meta_batch() -> Iterator[None]:
    """Inside, an error about targets says that they are those of the meta batch."""
    try:
        yield
    except DataError as error:
        raise DataError(f"the meta batch: {error}") from error


def _as_tensor(targets: Any, name: str, device: torch.device | None) -> Tensor:
    """Targets that are a list, an array or a series as a tensor."""
    import numpy as np

    try:
        array = np.asarray(targets)
        return torch.as_tensor(np.require(array, requirements=["C", "W"]), device=device)
    except (TypeError, ValueError, RuntimeError):
        raise DataError(
            f"the targets of {name} should be class numbers (N,) or probabilities (N, C), found "
            f"{type(targets).__name__} that is no array of numbers"
        ) from None


def as_indices(indices: Any, batch: Batch, total: int | None) -> Tensor:
    """Positions `(N,)` that a user gave for a batch of N, among `total` training examples or any.

    Raises:
        DataError: they are no whole numbers, not one for each example, or outside of the training set.
    """
    what = "indices should be positions in the training set, a whole number for each example of the batch"
    try:
        found = torch.as_tensor(indices)
    except (TypeError, ValueError, RuntimeError):
        raise DataError(f"{what}, found {type(indices).__name__}") from None
    # Targets of another length than the inputs have an error of their own.
    sizes = [part.shape[:1] for part in tree_leaves(batch) if isinstance(part, Tensor)]
    if found.is_floating_point() or found.dtype == torch.bool or found.shape not in sizes:
        size, shape = tuple(batch[1].shape[:1]), tuple(found.shape)
        raise DataError(f"{what}, shape {size}, found {found.dtype} of shape {shape}")
    if found.device.type == "cpu" and found.numel():  # another device would be waited for
        low, high = int(found.min()), int(found.max())
        if low < 0 or (total is not None and high >= total):
            limit = "" if total is None else f" to {total - 1}, as gdw.prepare saw {total} examples"
            raise DataError(f"{what}: from 0{limit}; found {low if low < 0 else high}")
    return found.long()


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on `device`. Neither the CPU nor a GPU waits for a copy from the CPU."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def join_batches(first: Batch, second: Batch, rows: int) -> Batch:
    """Append the first `rows` examples of the batch `second` to the batch `first`.

    If one batch has class indices and the other has probabilities, both get probabilities. Tokens `(B, L)` of
    different L are filled up at the end: with -1, or in a mapping with 0.

    Raises:
        DataError: inputs or targets of the two have different forms.
    """
    (x, y), (u, v) = first, second
    if y.is_floating_point() != v.is_floating_point():
        width = (y if y.is_floating_point() else v).shape[1]
        y, v = (t if t.is_floating_point() else one_hot(t, width).to(torch.float32) for t in (y, v))

    def join(a: Tensor, b: Tensor) -> Tensor:
        if a.is_floating_point() != b.is_floating_point():
            raise ValueError(f"{a.dtype} and {b.dtype}")
        b = b[:rows].to(a.dtype)
        if a.shape[1:] != b.shape[1:]:
            from gdw.functional.ragged import same_length

            a, b = same_length((a, b), filling=-1 if isinstance(x, Tensor) else 0)
        return torch.cat([a, b])

    try:
        inputs, targets = tree_map(join, (plain_tree(x), y), (plain_tree(u), v))
    except (RuntimeError, ValueError) as error:
        raise DataError(
            "training and clean examples must have inputs and targets of one form to share a batch: "
            f"{str(error).splitlines()[0]}"
        ) from error
    return inputs, targets


def plain_tree(inputs: Any) -> Any:
    """Return `inputs` with every mapping as a `dict` and every sequence as a `tuple`."""
    if isinstance(inputs, Mapping):
        return {key: plain_tree(value) for key, value in inputs.items()}
    if isinstance(inputs, (tuple, list)):
        return tuple(plain_tree(value) for value in inputs)
    return inputs


def map_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Apply `change` to every tensor in `value`, inside tuples, lists and dictionaries too.

    Subclasses of those containers are returned as they are.
    """
    if isinstance(value, Tensor):
        return change(value)
    if type(value) is tuple:
        return tuple(map_tensors(item, change) for item in value)
    if isinstance(value, list):
        return [map_tensors(item, change) for item in value]
    if type(value) is dict:
        return {key: map_tensors(item, change) for key, item in value.items()}
    return value


def tensors_in(inputs: Any) -> Iterator[Tensor]:
    """Every tensor in `inputs`, inside tuples, lists and mappings too."""
    if isinstance(inputs, Tensor):
        yield inputs
    elif isinstance(inputs, Mapping):
        yield from tensors_in(list(inputs.values()))
    elif isinstance(inputs, (tuple, list)):
        for item in inputs:
            yield from tensors_in(item)


def tensor_versions(inputs: Any) -> list[int]:
    """Autograd's counters of in-place changes, one for each input tensor."""
    return [tensor._version for tensor in tensors_in(inputs) if not tensor.is_inference()]


class MemoryFormat:
    """Passes images to convolutions channels-last where that is faster: in 32 or 16 bits.

    Only the order of the numbers in memory changes, not shapes or values; the layers that follow keep the
    order. (Dropout of images draws in that order, so the same seed drops other pixels.) A model that needs
    the other order (`view` where `reshape` would do) raises in its first pass; after that it gets its
    inputs unchanged.

    Attributes:
        proven: whether a pass has succeeded, so that errors of later ones have other causes.
        channels_last: None (the default) leaves the choice to the first pass. False: never. True: always,
            on any device, in any precision and for any model.
    """

    def __init__(self) -> None:
        self.channels_last: bool | None = None
        self._suits_model: bool | None = None
        self._changed = self.proven = False

    def apply(self, model: nn.Module, inputs: Any) -> Any:
        """Return `inputs` with images `(N, C, H, W)` in the format that suits `model`."""
        if self.channels_last is None and self._suits_model is None:
            self._suits_model = _has_convolutions(model)
        on = self._suits_model if self.channels_last is None else self.channels_last
        return map_tensors(inputs, self._converted) if on else inputs

    def give_up(self) -> bool:
        """A pass raised. Return whether to try it again with unchanged inputs, from now on."""
        if self.proven or self.channels_last is not None or not self._changed:
            return False
        self._suits_model = False
        return True

    def _converted(self, tensor: Tensor) -> Tensor:
        if tensor.dim() != 4 or not (self.channels_last or _is_faster_channels_last(tensor)):
            return tensor
        if tensor.device.type == "cpu" and not tensor.is_floating_point():
            return tensor
        converted = tensor.contiguous(memory_format=torch.channels_last)
        self._changed |= converted is not tensor
        return converted


def _is_faster_channels_last(images: Tensor) -> bool:
    """In 32 or 16 bits; on an NVIDIA GPU also bytes, of which the model makes such numbers."""
    return images.device.type in ("cpu", "cuda") and images.dtype != torch.float64


def _has_convolutions(model: nn.Module) -> bool:
    # A compiled model has chosen its formats.
    return not is_compiled(model) and any(isinstance(m, nn.Conv2d) for m in model.modules())
