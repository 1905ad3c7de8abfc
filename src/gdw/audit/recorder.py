"""A callback that records, for an audit, the model's predictions for the training examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gdw.audit.evidence import TOP, Evidence
from gdw.audit.probability_sums import probability_sums
from gdw.errors import ConfigError, RunError, counted
from gdw.files.representation import ShortRepr
from gdw.reweight.preparation import CleanCheck
from gdw.reweight.step_result import StepResult
from gdw.train.monitoring import Callback
from gdw.train.processes import Processes

if TYPE_CHECKING:
    from gdw.train.monitoring import TrainingView

DENSE_BYTES = 512 * 2**20
"""Up to this many bytes the mean probabilities of all classes are kept."""

CLASSES_WITH_WEIGHTS = 512
"""Up to this many classes the class-level weights are averaged by given label and class."""

# So many batches are copied from a GPU at once: each copy makes the training wait.
_BATCHES_AT_ONCE = 64


class Recorder(ShortRepr, Callback):
    """Records predictions and class-level weights of the training examples, for an audit.

    It uses the logits of the training passes, before each update, in the second half of the epochs. In
    the first half the predictions depend more on the random initialisation than on the labels.

    Args:
        num_examples: N. Later examples of the training set (clean ones that were appended) are ignored.
        dense_bytes: if N * C * 4 is larger, only the 16 largest mean probabilities of each example are
            kept, not those of all C classes.

    Example:
        >>> import torch, gdw
        >>> X, y = torch.randn(40, 2), torch.arange(40) % 2
        >>> recorder = gdw.audit.Recorder(40)
        >>> trainer = gdw.Trainer(method="plain", epochs=2, accelerator="cpu", progress="none")
        >>> _ = trainer.fit(torch.nn.Linear(2, 2), (X, y), callbacks=[recorder])
        >>> len(recorder.evidence())
        40
    """

    def __init__(self, num_examples: int, *, dense_bytes: int = DENSE_BYTES) -> None:
        self._examples = num_examples
        self._dense_bytes = dense_bytes
        self._run: TrainingView | None = None
        self._labels = torch.empty(0, dtype=torch.int64)
        self._sums: VisitSums | None = None
        self._classes = 0
        # Rows, probabilities and weights of batches that are not in the sums yet.
        self._waiting: list[tuple[Tensor, Tensor, Tensor]] = []

    def _shown(self) -> dict[str, Any]:
        return {"num_examples": self._examples, "dense_bytes": self._dense_bytes}

    def on_check(self, examples: int) -> None:
        if self._examples > examples:
            raise ConfigError(
                f"Recorder({self._examples}): the training set has {counted(examples, 'example')}; give "
                f"gdw.audit.Recorder({examples})"
            )

    def on_start(self, run: TrainingView) -> None:
        self._run = run
        targets = run.targets()[: self._examples]
        self._labels = targets.argmax(1) if targets.dim() == 2 else targets.long()

    def on_batch(self, epoch: int, indices: Sequence[int], result: StepResult) -> None:
        if epoch <= self._started().epochs // 2:
            return
        rows = torch.as_tensor(indices, dtype=torch.int64)
        logits = result.logits if result.label_logits is None else result.label_logits
        p, on_cpu = logits.float().softmax(1), logits.device.type == "cpu"
        # On a GPU the next step may use the same memory again.
        weights = result.weights.float() if on_cpu else result.weights.float().clone()
        self._waiting.append((rows, p, weights))
        if on_cpu or len(self._waiting) == _BATCHES_AT_ONCE:
            self._add_waiting()

    def _add_waiting(self) -> None:
        """Add the batches that wait to the sums."""
        if not self._waiting:
            return
        rows, *others = zip(*self._waiting, strict=True)
        sizes = [len(batch) for batch in rows]
        copied = [torch.cat(values).cpu().split(sizes) for values in others]
        self._waiting.clear()
        for batch, p, weights in zip(rows, *copied, strict=True):
            recorded = batch < self._examples
            known = batch[recorded]
            sums = self._sums_for(p.shape[1])
            sums.add(known, self._labels[known], p[recorded], weights[recorded])

    def state_dict(self) -> dict[str, Any]:
        processes = self._started().processes
        self._add_waiting()
        # With several processes, one of them may not have had a training example yet.
        classes = max(processes.gather(self._classes))
        if classes == 0:
            return {}
        return {"classes": classes, "sums": self._sums_for(classes).merged(processes).state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state:
            self._sums_for(state["classes"]).load(state["sums"])

    def evidence(self) -> Evidence:
        """The recorded means. Examples without a visit get the predictions of the final model.

        With several processes, every process must call it, and each gets the evidence of all examples.

        Returns:
            The evidence, without `rows` and the labels of the clean examples, which the recorder does not
            know.

        Raises:
            ConfigError: the recorder was not given to `Trainer.fit`.
        """
        run = self._started()
        self._add_waiting()
        classes = max(run.processes.gather(self._classes))
        if not classes:
            classes = next(run.predict(torch.zeros(1, dtype=torch.int64)))[1].shape[1]
        sums = self._sums_for(classes).merged(run.processes)
        unseen = (sums.visits == 0).nonzero().squeeze(1)
        if len(unseen):
            for rows, p in run.predict(unseen):
                sums.put(rows, self._labels[rows], p)
        return self._evidence(sums, classes, run.label_posterior(), run.clean_check())

    def _evidence(
        self,
        sums: VisitSums,
        classes: int,
        posterior: Tensor | None,
        check: CleanCheck | None,
    ) -> Evidence:
        width = min(classes, TOP)
        visits = sums.visits.clamp(min=1)
        top, probabilities = sums.probabilities.top(visits, width)
        has_weights = len(sums.by_label) > 0
        by_label = sums.by_label / sums.label_visits.clamp(min=1).unsqueeze(1)
        tensors: dict[str, Tensor | None] = {
            "given": self._labels,
            "p_given": sums.given / visits,
            "top_classes": top,
            "top_probabilities": probabilities,
            "weight_given": sums.weight_given / visits,
            "weight_top": sums.weight_top / visits,
            "visits": sums.visits.int(),
            "weights_by_label": by_label.float() if has_weights else None,
            "count_by_label": sums.label_visits.float() if has_weights else None,
        }
        if posterior is not None:
            q = posterior[: self._examples].float().cpu()
            largest = q.topk(width, dim=1)
            tensors["posterior_classes"] = largest.indices.int()
            tensors["posterior_probabilities"] = largest.values
            tensors["posterior_given"] = q.gather(1, self._labels.unsqueeze(1)).squeeze(1)
        if check is not None:
            columns = (check.weight, check.predicted, check.echoed, check.doubted, check.missed)
            tensors["clean_check"] = torch.stack(columns, dim=1).float()
            tensors["clean_agreement"] = torch.tensor([check.agreement], dtype=torch.float32)
        arrays: dict[str, Any] = {k: None if v is None else v.numpy() for k, v in tensors.items()}
        return Evidence(num_classes=classes, **arrays)

    def _sums_for(self, classes: int) -> VisitSums:
        """The sums, allocated at the first call, when the number of classes is known."""
        if self._sums is None:
            self._classes = classes
            self._sums = VisitSums(self._examples, classes, dense_bytes=self._dense_bytes)
        if classes != self._classes:
            raise RunError(
                f"the checkpoint is damaged: its record of the training has {self._classes} classes, the "
                f"model {classes}; start the run again"
            )
        return self._sums

    def _started(self) -> TrainingView:
        if self._run is None:
            raise ConfigError(
                "the recorder has not seen a training run: give it to "
                "gdw.Trainer(...).fit(..., callbacks=[recorder]) first"
            )
        return self._run


class VisitSums:
    """Sums over the visits of N examples of C classes, in one process until they are merged.

    Attributes:
        visits, given, weight_given, weight_top: float32 `(N,)`, the sums behind the fields of `Evidence`.
        by_label, label_visits: float64 `(C, C)` and `(C,)`; empty if C > 512.
        probabilities: the sums of predicted probabilities.
    """

    NAMES = ("visits", "given", "weight_given", "weight_top", "by_label", "label_visits")

    def __init__(self, examples: int, classes: int, *, dense_bytes: int) -> None:
        self.visits = torch.zeros(examples, dtype=torch.float32)
        self.given = torch.zeros(examples, dtype=torch.float32)
        self.weight_given = torch.zeros(examples, dtype=torch.float32)
        self.weight_top = torch.zeros(examples, dtype=torch.float32)
        square = classes if classes <= CLASSES_WITH_WEIGHTS else 0
        self.by_label = torch.zeros(square, square, dtype=torch.float64)
        self.label_visits = torch.zeros(square, dtype=torch.float64)
        self.probabilities = probability_sums(examples, classes, dense_bytes=dense_bytes)

    def add(self, rows: Tensor, labels: Tensor, p: Tensor, weights: Tensor) -> None:
        """Count one visit of `rows` `(B,)` with labels `(B,)`, probabilities and weights `(B, C)`."""
        column = labels.unsqueeze(1)
        top_other = p.scatter(1, column, -1.0).argmax(1, keepdim=True)
        self.visits[rows] += 1
        self.given[rows] += p.gather(1, column).squeeze(1)
        self.weight_given[rows] += weights.gather(1, column).squeeze(1)
        self.weight_top[rows] += weights.gather(1, top_other).squeeze(1)
        if len(self.by_label):
            self.by_label.index_add_(0, labels, weights.double())
            self.label_visits += labels.bincount(minlength=len(self.by_label))
        self.probabilities.add(rows, p)

    def put(self, rows: Tensor, labels: Tensor, p: Tensor) -> None:
        """Set the probabilities of `rows` without a visit to `p` `(B, C)`."""
        self.given[rows] = p.gather(1, labels.unsqueeze(1)).squeeze(1)
        self.probabilities.put(rows, p)

    def merged(self, processes: Processes) -> VisitSums:
        """The sums of all processes, which must all call it; with one process, these sums themselves."""
        if processes.size == 1:
            return self
        merged = object.__new__(VisitSums)
        for name in self.NAMES:
            setattr(merged, name, processes.sum(getattr(self, name).clone()).cpu())
        merged.probabilities = self.probabilities.merged(processes)
        return merged

    def state(self) -> dict[str, Any]:
        """The sums for a checkpoint, without a copy."""
        sums = {name: getattr(self, name) for name in self.NAMES}
        return {**sums, "means": self.probabilities.state()}

    def load(self, state: Mapping[str, Any]) -> None:
        """Copy the sums of a checkpoint into these."""
        for name in self.NAMES:
            getattr(self, name).copy_(state[name])
        self.probabilities.load(state["means"])
