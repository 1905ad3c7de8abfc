"""Following a training while it runs: callbacks, the figures of an epoch, and times in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
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

    def weighting_network(self) -> Any | None:
        """The method's network from losses `(n, 1)` to weights `(n, 1)`; None without one."""
        return getattr(self._reweighter, "weighting_network", None)

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


# The sums of an epoch, the keys of its saved state: two counts, and what is summed on the device.
_COUNTS = ("examples", "meta_batches")
_ON_DEVICE = ("correct", "loss", "weight", "label_weight", "other_weight", "meta_loss")

# How many batches a GPU computes before it is asked whether their losses are finite.
_CHECKED_EVERY = 50


class EpochSums:
    """The sums over the training batches of one process in the present epoch, for its record.

    They are kept on the device of the model. Reading them waits for it, adding to them does not.

    Attributes:
        seconds: what the steps took.
        checked: for so many batches of the epoch the losses are known to be finite.
    """

    def __init__(self) -> None:
        self.checked = 0
        self._counts = dict.fromkeys(_COUNTS, 0.0)
        self._start = [0.0] * len(_ON_DEVICE)
        self._total: Tensor | None = None
        self._scales: dict[int, Tensor] = {}
        self.seconds = 0.0

    def add(self, result: StepResult, targets: Tensor) -> None:
        """Add a batch."""
        examples = len(result.logits)
        figures = _batch_figures(result, targets)
        if self._total is None:
            self._total = torch.tensor(self._start, dtype=figures.dtype).to(figures.device)
        if examples not in self._scales:
            self._scales[examples] = scale = torch.full_like(figures, examples)
            scale[0].fill_(1)  # a number of examples
            scale[-1].fill_(1)  # counted by batches
        self._total += figures * self._scales[examples]
        self._counts["examples"] += examples
        self._counts["meta_batches"] += result.meta_loss is not None

    def _read(self) -> dict[str, float]:
        sums = self._start if self._total is None else self._total.tolist()
        return {**self._counts, **dict(zip(_ON_DEVICE, sums, strict=True))}

    def are_finite(self, done: int, batches: int) -> bool:
        """Whether all losses are finite, as far as it is known: a GPU is asked at some batches only.

        Args:
            done: the batches of the epoch that are done.
            batches: those of a whole epoch.
        """
        on_cpu = self._total is None or self._total.device.type == "cpu"
        if not on_cpu and done % _CHECKED_EVERY and done < batches:
            return True
        sums = self._read()
        finite = math.isfinite(sums["loss"]) and math.isfinite(sums["meta_loss"])
        self.checked = done if finite else self.checked
        return finite

    def mean_loss(self) -> float:
        """The mean training loss of this process so far."""
        sums = self._read()
        return sums["loss"] / max(1.0, sums["examples"])

    def record(self, processes: Processes) -> dict[str, Any]:
        """The figures of the epoch over all processes; `weight` is the one that the gradient used."""
        # Apple's devices have no float64.
        dtype = torch.float32 if processes.device.type == "mps" else torch.float64
        sums = self._read()
        values = processes.sum(torch.tensor(list(sums.values()), dtype=dtype))
        total = dict(zip(sums, values.tolist(), strict=True))
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
        return {**self._read(), "seconds": self.seconds}

    @classmethod
    def from_states(cls, states: Sequence[Mapping[str, float]]) -> EpochSums:
        """The total of one or more `state_dict`s; its time is the longest of theirs."""
        total = cls()
        total._counts = {name: sum(state[name] for state in states) for name in _COUNTS}
        total._start = [sum(state[name] for state in states) for name in _ON_DEVICE]
        total.seconds = max(state["seconds"] for state in states)
        return total


class Stopped(Exception):  # noqa: N818 - nothing is wrong
    """A signal to stop came during an evaluation."""


def stoppable(forward: Forward, requested: Callable[[], bool]) -> Forward:
    """`forward`, which raises `Stopped` from the moment on when a stop is `requested`."""

    def run(model: nn.Module, inputs: Any) -> Tensor:
        if requested():
            raise Stopped
        return forward(model, inputs)

    return run


def _batch_figures(result: StepResult, targets: Tensor) -> Tensor:
    """The number of correct predictions, means over the batch and the meta loss: see `_ON_DEVICE`."""
    labels = targets.argmax(1) if targets.dim() == 2 else targets
    label_weight = result.weights.gather(1, labels[:, None]).mean()
    classes = result.weights.shape[1]
    weight = result.weights.mean()
    other_weight = (weight * classes - label_weight) / max(1, classes - 1)
    correct = (result.logits.argmax(1) == labels).sum()
    meta_loss = torch.zeros_like(result.loss) if result.meta_loss is None else result.meta_loss
    values = (correct, result.loss, weight, label_weight, other_weight, meta_loss)
    # bfloat16 would round the number of correct predictions.
    dtype = torch.promote_types(result.loss.dtype, torch.float32)
    stacked = torch.stack([value.to(dtype) for value in values])
    return stacked if stacked.device.type == "mps" else stacked.double()


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
