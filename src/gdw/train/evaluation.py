"""Evaluating a model on a data set: metrics and predicted class probabilities."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Sized
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from gdw.errors import ModelError
from gdw.hypergradient.collective import Collective
from gdw.hypergradient.inputs import Forward, default_forward
from gdw.train.feed import Data, as_dataset, batches, consecutive, place
from gdw.train.user_dataset import UserDataset

BINS = 15


def evaluate(
    model: nn.Module,
    data: Data,
    *,
    batch_size: int = 512,
    forward: Forward | None = None,
    name: str = "data",
) -> dict[str, Any]:
    """Evaluate `model` on `data`.

    If `torch.distributed` is initialised, every process must call this function. Each one evaluates its
    share of the data, and all get the figures of the whole.

    Args:
        model: used in evaluation mode, on its own device and in its own dtype. Its modules are left in
            the modes they were in.
        data: a map-style data set of `(inputs, target)`, or a pair `(X, y)`.
        batch_size: examples per batch.
        forward: `(model, inputs) -> logits`, if `model(inputs)` is not enough.
        name: what the data are, for error messages.

    Returns:
        `accuracy`, `balanced_accuracy`, `nll`, `ece` and the `recall` of each class, see
        `ClassificationMetrics`.

    Raises:
        DataError: an input is not finite, and the model's output for it is not.
        ModelError: a target has no logit, or another output is not finite.

    Example:
        >>> import torch
        >>> model = torch.nn.Identity()  # its inputs are the logits
        >>> logits = torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0], [0.0, 2.0]])
        >>> evaluate(model, (logits, torch.tensor([0, 1, 1, 1])))["accuracy"]
        0.75
    """
    dataset = as_dataset(data, name)
    if isinstance(dataset, UserDataset):
        dataset.fill_up_for(model)
    rank, size = _rank_and_size()
    share = range(rank, len(cast(Sized, dataset)), size)
    # A process without a share still runs the model on one example, to learn the number of classes.
    rows = share or range(1)
    run = partial(logits_of, model, forward=forward or default_forward, name=name)
    # Examples on a device know how to be evaluated there.
    outputs = getattr(dataset, "outputs", None) or partial(
        _outputs, dataset, device_and_dtype(model)
    )
    metrics: ClassificationMetrics | None = None
    with evaluation_mode(model), torch.no_grad():
        for logits, targets in outputs(run, rows, batch_size, name):
            metrics = metrics or _metrics(logits)
            metrics.update(logits[: len(share)], targets[: len(share)])
    assert metrics is not None, "as_dataset refuses empty data"
    figures: dict[str, Any] = metrics.compute()
    return figures


def _outputs(
    dataset: Dataset[Any],
    place_of: tuple[torch.device, torch.dtype],
    run: Callable[[Any], Tensor],
    rows: range,
    batch_size: int,
    name: str,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Logits and targets of `rows`, batch by batch, checked."""
    parts = [[rows[i] for i in part] for part in consecutive(len(rows), batch_size)]
    device, dtype = place_of
    for part, batch in zip(parts, batches(dataset, parts), strict=True):
        inputs, targets = place(batch, device=device, dtype=dtype)
        logits = run(inputs)
        check_classes(logits, targets, name)
        require_finite(logits, inputs, part, dataset, name)
        yield logits, targets


def predict_probabilities(
    model: nn.Module, data: Data, *, batch_size: int = 512, forward: Forward | None = None
) -> Iterator[tuple[slice, Tensor]]:
    """Class probabilities of `data`, one batch at a time, in order.

    Args:
        model: used in evaluation mode, on its own device and in its own dtype. Its modules are left in
            the modes they were in.
        data: a map-style data set of `(inputs, target)`, or a pair `(X, y)`. The targets are not used.
        batch_size: examples per batch.
        forward: `(model, inputs) -> logits`, if `model(inputs)` is not enough.

    Yields:
        The positions of a batch in `data`, as a slice, and its probabilities: `(B, C)` float32 on the CPU.

    Raises:
        DataError: an input is not finite, and the model's output for it is not.
        ModelError: the logits do not have the shape `(B, C)`, or others are not finite.
    """
    dataset = as_dataset(data, "data")
    if isinstance(dataset, UserDataset):
        dataset.fill_up_for(model)
    device, dtype = device_and_dtype(model)
    parts = consecutive(len(cast(Sized, dataset)), batch_size)
    for rows, batch in zip(parts, batches(dataset, parts), strict=True):
        # The caller's code between two batches must not run without gradients, or in evaluation mode.
        with evaluation_mode(model), torch.no_grad():
            inputs, _ = place(batch, device=device, dtype=dtype)
            logits = logits_of(model, inputs, forward or default_forward, "data")
            _require_matrix(logits)
            require_finite(logits, inputs, rows, dataset)
            probabilities = logits.float().softmax(1).cpu()
        yield slice(rows[0], rows[-1] + 1), probabilities


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """A context in which `model` is in evaluation mode. On exit each module's mode is restored."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def device_and_dtype(model: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Device and dtype of the model's first floating-point parameter or buffer."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.float32


def logits_of(model: nn.Module, inputs: Any, forward: Forward, name: str) -> Tensor:
    """`forward(model, inputs)`.

    Raises:
        ModelError: the model does not take the names of a mapping as keywords, or whole numbers.
    """
    try:
        return forward(model, inputs)
    except (TypeError, RuntimeError) as error:
        from gdw.train.model_errors import explained

        raise explained(error, inputs, name) from error.__cause__


def check_classes(logits: Tensor, targets: Tensor, name: str) -> None:
    """Check that there is a logit for every target.

    Raises:
        ModelError: logits are not `(N, C)`, or targets are neither class indices below C nor
            probabilities `(N, C)`.
    """
    _require_matrix(logits)
    classes = logits.shape[1]
    if targets.is_floating_point():
        fits = targets.dim() == 2 and targets.shape[1] == classes
    else:
        fits = targets.dim() == 1 and int(targets.min()) >= 0 and int(targets.max()) < classes
    if not fits:
        from gdw.train.model_errors import misfit

        raise misfit(targets, classes, name)


def require_finite(
    logits: Tensor, inputs: Any, rows: Sequence[int], dataset: Any, name: str = "data"
) -> None:
    """Check that there are class probabilities for each example of a batch.

    Args:
        logits: `(B, C)`; -infinity rules a class out.
        inputs: of the batch.
        rows: the positions of the examples in `dataset`.
        dataset: what `as_dataset` returned.
        name: of the data set, for error messages.

    Raises:
        DataError: an input of an example without probabilities is not finite.
        ModelError: its inputs are.
    """
    if not bool(logits.isfinite().all()):
        from gdw.train.not_finite import refuse_without_probabilities

        refuse_without_probabilities(logits, inputs, rows, dataset, name)


def _require_matrix(logits: Tensor) -> None:
    if logits.dim() != 2:
        raise ModelError(
            f"expected logits of shape (N, C) from the model, found {tuple(logits.shape)}"
        )


class ClassificationMetrics:
    """Accuracy, balanced accuracy, recall of each class, negative log-likelihood and calibration error.

    The states are sums of at most C numbers, so the memory does not depend on the number of examples.
    `compute` adds them over the processes.

    Args:
        num_classes: C.
        dtype: of the sums.
        device: of the sums.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> None:
        sizes = num_classes, num_classes, 1, BINS, BINS
        sums = [torch.zeros(size, dtype=dtype, device=device) for size in sizes]
        self._sums = sums
        self._correct, self._count, self._nll, self._bin_confidence, self._bin_correct = sums

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Add a batch, which may be empty.

        Args:
            logits: `(N, C)`.
            targets: class indices `(N,)` int64, or class probabilities `(N, C)`, whose largest is the label.
        """
        dtype = self._nll.dtype
        log_p = logits.detach().to(dtype).log_softmax(1)
        labels = targets.argmax(1) if targets.dim() == 2 else targets
        confidence, predicted = log_p.exp().max(1)
        hit = (predicted == labels).to(dtype)
        self._correct.index_add_(0, labels, hit)
        self._count.index_add_(0, labels, torch.ones_like(hit))
        loss_targets = targets.to(dtype) if targets.is_floating_point() else targets
        self._nll += F.cross_entropy(log_p, loss_targets, reduction="sum")
        # Bin b holds confidences in [b/15, (b+1)/15); the last bin also holds a confidence of exactly 1.
        bins = (confidence * BINS).long().clamp_(0, BINS - 1)
        self._bin_confidence.index_add_(0, bins, confidence)
        self._bin_correct.index_add_(0, bins, hit)

    def compute(self) -> dict[str, Any]:
        """The figures, as floats.

        Returns:
            `accuracy`; `balanced_accuracy`, the mean recall of the classes that occur; `nll`; `ece` with 15
            bins (Guo et al., ICML 2017); `recall`, one per class, None for a class that does not occur.
        """
        correct, count, nll, bin_confidence, bin_correct = Collective().sum(self._sums)
        total = count.sum()
        recall = correct / count
        seen = count > 0
        return {
            "accuracy": (correct.sum() / total).item(),
            "balanced_accuracy": recall[seen].mean().item(),
            "nll": (nll.sum() / total).item(),
            "ece": ((bin_correct - bin_confidence).abs().sum() / total).item(),
            "recall": [
                value if occurs else None
                for value, occurs in zip(recall.tolist(), seen.tolist(), strict=True)
            ],
        }


def _metrics(logits: Tensor) -> ClassificationMetrics:
    # Apple's devices have no float64.
    dtype = torch.float32 if logits.device.type == "mps" else torch.float64
    return ClassificationMetrics(logits.shape[1], dtype=dtype, device=logits.device)


def _rank_and_size() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1
