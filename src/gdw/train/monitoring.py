"""Following a training while it runs: callbacks, the figures of an epoch, and times in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gdw.errors import ConfigError, nearest
from gdw.files.representation import ShortRepr
from gdw.hypergradient.inputs import Forward
from gdw.reweight.base import Reweighter
from gdw.reweight.preparation import CleanCheck
from gdw.reweight.step_result import StepResult
from gdw.train.config import TrainConfig
from gdw.train.evaluation import predict_probabilities
from gdw.train.feed import targets_of
from gdw.train.processes import Processes, random_state_kept


class TrainingView(ShortRepr):
    """What a callback may read from a training.

    Attributes:
        epochs: how many epochs the whole training has.
        processes: the processes that train together.
    """

    def __init__(
        self,
        *,
        config: TrainConfig,
        processes: Processes,
        train: Any,
        model: nn.Module,
        forward: Forward,
        reweighter: Reweighter,
    ) -> None:
        self.epochs = config.epochs
        self.processes = processes
        self._batch_size = config.eval_batch_size
        self._train = train
        self._model = model
        self._forward = forward
        self._reweighter = reweighter

    def _shown(self) -> dict[str, Any]:
        return {"epochs": self.epochs, "examples": len(self._train), "reweighter": self._reweighter}

    def targets(self) -> Tensor:
        """The targets of the training set: classes `(N,)` or class probabilities `(N, C)`, on the CPU.

        A data set of the user's own may be read from end to end. The random state is left unchanged.
        """
        with random_state_kept():
            return targets_of(self._train)

    def label_posterior(self) -> Tensor | None:
        """The method's class probabilities for the training set, see `Reweighter.label_posterior`."""
        return self._reweighter.label_posterior()

    def clean_check(self) -> CleanCheck | None:
        """How models did on clean examples that they were trained without, see `Reweighter.clean_check`."""
        return self._reweighter.clean_check()

    def predict(self, indices: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Predict training examples with the present model in evaluation mode, batch by batch.

        Args:
            indices: `(n,)` int64, positions in the training set.

        Yields:
            The indices `(B,)` of a batch and its class probabilities `(B, C)`, float32 on the CPU.
        """
        predictions = predict_probabilities(
            self._model,
            self._train.select(indices),
            batch_size=self._batch_size,
            forward=self._forward,
        )
        for rows, probabilities in predictions:
            yield indices[rows], probabilities


class Callback:
    """Base class of callbacks. Its methods do nothing; override the ones that you need.

    They are called on every process. An exception in one of them ends the training.
    """

    def on_check(self, examples: int) -> None:
        """Called before anything is written, with the number of training examples; an error refuses them."""

    def on_start(self, training: TrainingView) -> None:
        """Called before the first step of `fit`; after `load_state_dict` if the training is resumed."""

    def on_batch(self, epoch: int, indices: Sequence[int], result: StepResult) -> None:
        """Called after `backward` of a training batch, before the optimizer step.

        Args:
            epoch: the epoch, from 1.
            indices: the positions of this process's examples in the training set, in the order of
                `result.logits`.
            result: the losses, logits and weights of the batch.
        """

    def on_epoch(self, record: dict[str, Any]) -> None:
        """Called at the end of an epoch with its record, before it is written. Entries may be added."""

    def state_dict(self) -> dict[str, Any]:
        """The state to save in a checkpoint: tensors and plain values.

        Called on every process, so processes may exchange their parts. The state of the first is kept.
        """
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what `state_dict` returned. Called on the first process only.

        Not called if the checkpoint has no state of a callback of this class.
        """


def require_callbacks(callbacks: Any) -> None:
    """Check that `callbacks` is a sequence of callbacks whose hooks will be called; `ConfigError` if not."""
    if not isinstance(callbacks, (list, tuple)):
        raise ConfigError(
            f"callbacks: expected a list of gdw.train.Callback, found {_described(callbacks)}; "
            "one callback is [callback]"
        )
    hooks = [name for name in vars(Callback) if name.startswith("on_")]
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise ConfigError(
                "callbacks: expected objects of subclasses of gdw.train.Callback, found "
                f"{_described(callback)}"
            )
        for name in dir(type(callback)):
            if name.startswith("on_") and name not in hooks:
                raise ConfigError(
                    f"{type(callback).__name__}.{name} would never be called.{nearest(name, hooks)} The "
                    f"hooks are {', '.join(hooks)}; name a method of your own without on_"
                )


def _described(value: Any) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__


# The keys of a saved state.
_SUMS = (
    "examples",
    "correct",
    "loss",
    "weight",
    "label_weight",
    "other_weight",
    "meta_batches",
    "meta_loss",
)


class EpochSums:
    """The sums over the training batches of one process in the present epoch, for its record."""

    def __init__(self) -> None:
        self._sums = dict.fromkeys(_SUMS, 0.0)
        self.seconds = 0.0

    def add(self, result: StepResult, targets: Tensor) -> bool:
        """Add a batch. Returns whether its losses are finite."""
        examples = len(result.logits)
        figures = _batch_figures(result, targets)
        for name, value in figures.items():
            self._sums[name] += value if name == "correct" else value * examples
        self._sums["examples"] += examples
        finite = math.isfinite(figures["loss"])
        if result.meta_loss is not None:
            meta_loss = float(result.meta_loss)
            self._sums["meta_batches"] += 1
            self._sums["meta_loss"] += meta_loss
            finite = finite and math.isfinite(meta_loss)
        return finite

    @property
    def mean_loss(self) -> float:
        """The mean training loss of this process so far."""
        return self._sums["loss"] / max(1.0, self._sums["examples"])

    def record(self, processes: Processes) -> dict[str, Any]:
        """The figures of the epoch over all processes; `weight` is the one that the gradient used."""
        # Apple's devices have no float64.
        dtype = torch.float32 if processes.device.type == "mps" else torch.float64
        values = processes.sum(torch.tensor(list(self._sums.values()), dtype=dtype))
        total = dict(zip(_SUMS, values.tolist(), strict=True))
        n, meta_batches = total["examples"], total["meta_batches"]
        return {
            "train_loss": total["loss"] / n,
            "train_accuracy": total["correct"] / n,
            "meta_loss": total["meta_loss"] / meta_batches if meta_batches else None,
            "weight": total["weight"] / n,
            "weight_label": total["label_weight"] / n,
            "weight_other": total["other_weight"] / n,
            "seconds": self.seconds,
            "examples_per_second": n / max(1e-9, self.seconds),
        }

    def state_dict(self) -> dict[str, float]:
        return {**self._sums, "seconds": self.seconds}

    @classmethod
    def from_states(cls, states: Sequence[Mapping[str, float]]) -> EpochSums:
        """The total of one or more `state_dict`s; its time is the longest of theirs."""
        total = cls()
        total._sums = {name: sum(state[name] for state in states) for name in _SUMS}
        total.seconds = max(state["seconds"] for state in states)
        return total


def _batch_figures(result: StepResult, targets: Tensor) -> dict[str, float]:
    """Means over the batch, and the number of correct predictions, copied from the device at once."""
    labels = targets.argmax(1) if targets.dim() == 2 else targets
    label_weight = result.weights.gather(1, labels[:, None]).mean()
    classes = result.weights.shape[1]
    weight = result.weights.mean()
    other_weight = (weight * classes - label_weight) / max(1, classes - 1)
    correct = (result.logits.argmax(1) == labels).sum()
    names = ("loss", "weight", "label_weight", "other_weight", "correct")
    values = (result.loss, weight, label_weight, other_weight, correct)
    # bfloat16 would round the number of correct predictions.
    dtype = torch.promote_types(result.loss.dtype, torch.float32)
    stacked = torch.stack([value.to(dtype) for value in values])
    return dict(zip(names, stacked.tolist(), strict=True))


def summary(record: Mapping[str, Any]) -> str:
    """The main figures of an epoch's record in a few words."""
    parts = [f"loss {_number(record['train_loss'])}"]
    if record.get("meta_loss") is not None:
        parts.append(f"meta loss {_number(record['meta_loss'])}")
    if record.get("test_accuracy") is not None:
        parts.append(f"accuracy {record['test_accuracy']:.2%}")
    if record.get("test_balanced_accuracy") is not None:
        parts.append(f"balanced {record['test_balanced_accuracy']:.2%}")
    parts.append(f"{record['examples_per_second']:,.0f} examples/s")
    return "  ".join(parts)


def _number(value: float | None) -> str:
    return "?" if value is None else f"{value:.4f}"
