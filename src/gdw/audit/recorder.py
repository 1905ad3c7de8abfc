"""A callback that keeps what training sees of each example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gdw.audit.evidence import TOP, Evidence
from gdw.audit.means import DENSE_BYTES
from gdw.audit.sums import Sums
from gdw.errors import ConfigError
from gdw.reweight import StepResult
from gdw.train.callback import Callback

if TYPE_CHECKING:
    from gdw.train.watched import Watched

_SLOTS = 2 * TOP


class Recorder(Callback):
    """Records the predictions and the class-level weights of the training examples, for an audit.

    `gdw.Trainer(...).fit(model, train, meta, callbacks=[recorder])`, then `recorder.evidence()`. What is
    recorded are the logits of the training passes, before each update, in the second half of the epochs:
    the first half says more of the random start than of the labels.

    Args:
        num_examples: N; examples beyond the first N of the training set (clean ones, as a rule) are passed
            over.
        dense_bytes: while N·C·4 is no more, all mean probabilities are kept; beyond, the largest 16 of
            each example.
    """

    def __init__(self, num_examples: int, *, dense_bytes: int = DENSE_BYTES) -> None:
        self._examples = num_examples
        self._dense_bytes = dense_bytes
        self._run: Watched | None = None
        self._labels = torch.empty(0, dtype=torch.int64)
        self._sums: Sums | None = None
        self._classes = 0

    def on_start(self, run: Watched) -> None:
        self._run = run
        targets = run.targets()[: self._examples]
        self._labels = targets.argmax(1) if targets.dim() == 2 else targets.long()

    def on_batch(self, epoch: int, indices: Sequence[int], result: StepResult) -> None:
        if epoch <= self._started().epochs // 2:
            return
        rows = torch.as_tensor(indices, dtype=torch.int64)
        known = rows < self._examples
        p = result.logits.float().softmax(1).cpu()
        sums = self._of(p.shape[1])
        rows, weights = rows[known], result.weights.float().cpu()
        sums.add(rows, self._labels[rows], p[known], weights[known])

    def state_dict(self) -> dict[str, Any]:
        processes = self._started().processes
        # Of two processes one may have seen no training example yet.
        classes = max(processes.gather(self._classes))
        if classes == 0:
            return {}
        return {"classes": classes, "sums": self._of(classes).merged(processes).state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if state:
            self._of(state["classes"]).load(state["sums"])

    def evidence(self) -> Evidence:
        """What was recorded, with the final model's own predictions for examples never visited.

        Every process of the run must call it, and gets the whole.

        Raises:
            ConfigError: the recorder has watched no training.
        """
        run = self._started()
        classes = max(run.processes.gather(self._classes))
        if not classes:
            classes = next(run.predict(torch.zeros(1, dtype=torch.int64)))[1].shape[1]
        sums = self._of(classes).merged(run.processes)
        unseen = (sums.visits == 0).nonzero().squeeze(1)
        if len(unseen):
            for rows, p in run.predict(unseen):
                sums.put(rows, self._labels[rows], p)
        return self._evidence(sums, classes, run.label_posterior())

    def _evidence(self, sums: Sums, classes: int, posterior: Tensor | None) -> Evidence:
        width = min(classes, TOP)
        visits = sums.visits.clamp(min=1)
        top, probabilities = sums.means.top(visits, width)
        has_weights = len(sums.by_label) > 0
        by_label = sums.by_label / sums.label_visits.clamp(min=1).unsqueeze(1)
        found: dict[str, Tensor | None] = {
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
            found["posterior_classes"] = largest.indices.int()
            found["posterior_probabilities"] = largest.values
            found["posterior_given"] = q.gather(1, self._labels.unsqueeze(1)).squeeze(1)
        arrays: dict[str, Any] = {k: None if v is None else v.numpy() for k, v in found.items()}
        return Evidence(num_classes=classes, **arrays)

    def _of(self, classes: int) -> Sums:
        """The sums, made when the number of classes is known."""
        if self._sums is None:
            self._classes = classes
            self._sums = Sums(self._examples, classes, dense_bytes=self._dense_bytes, width=_SLOTS)
        return self._sums

    def _started(self) -> Watched:
        if self._run is None:
            raise ConfigError(
                "the recorder has watched no training: give it to "
                "gdw.Trainer(...).fit(..., callbacks=[recorder]) first"
            )
        return self._run
