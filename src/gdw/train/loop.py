"""The training loop over epochs and batches, the same for every method; it can be saved at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from gdw.errors import DivergenceError
from gdw.hypergradient.inputs import Batch, Forward
from gdw.hypergradient.own_names import OwnNames
from gdw.hypergradient.preserve import with_own_names
from gdw.reweight.base import Reweighter
from gdw.train.config import TrainConfig, lr_factor
from gdw.train.evaluation import evaluate
from gdw.train.feed import BatchStreams
from gdw.train.monitoring import Callback, EpochSums, Stopped, TrainingView, stoppable
from gdw.train.output import TrainingOutput
from gdw.train.processes import Interrupt, Processes, random_state, restore_random_state
from gdw.train.progress import Progress
from gdw.train.resuming import require_sound


@dataclass
class TrainingPosition:
    """How far the training is: complete epochs, batches of the present epoch, optimizer steps in all."""

    epoch: int = 0
    batch: int = 0
    step: int = 0


class Loop:
    """Trains `model` from `position` on. `Trainer.fit` makes one on every process.

    An optimizer step averages the gradients of `accumulate` batches, fewer at the end of an epoch.
    Checkpoints are written between two steps.
    """

    def __init__(
        self,
        *,
        config: TrainConfig,
        processes: Processes,
        streams: BatchStreams,
        model: nn.Module,
        optimizer: Optimizer,
        reweighter: Reweighter,
        forward: Forward,
        output: TrainingOutput,
        callbacks: Sequence[Callback],
    ) -> None:
        self.position = TrainingPosition()
        self._config = config
        self._processes = processes
        self._streams = streams
        self._model = model
        self._optimizer = optimizer
        self._reweighter = reweighter
        self._forward = forward
        self._output = output
        self._callbacks = callbacks
        self._sums = EpochSums()
        self.batches_per_epoch = streams.batches_per_epoch
        steps = math.ceil(self.batches_per_epoch / config.accumulate)
        total, warmup = config.epochs * steps, round(config.warmup_epochs * steps)
        self._scheduler = LambdaLR(
            optimizer,
            lambda step: lr_factor(step, total=total, warmup=warmup, schedule=config.schedule),
        )

    def run(self, until: int, *, interrupt: Interrupt, progress: Progress) -> bool:
        """Train until `until` epochs are complete. Returns whether a signal stopped the training before."""
        view = TrainingView(
            config=self._config,
            processes=self._processes,
            train=self._streams.sets.train,
            model=self._model,
            forward=self._forward,
            reweighter=self._reweighter,
        )
        for callback in self._callbacks:
            callback.on_start(view)
        if self._config.capture == "auto" and self._processes.device.type == "cuda":
            from gdw.reweight.captured import capture_steps

            capture_steps(self._reweighter, tell=progress.display.announce)
        if self.position.epoch < until:
            self.checkpoint()
        meta = self._meta_batches(self.position.batch)
        while self.position.epoch < until:
            stopped = self._train_epoch(meta, interrupt, progress)
            record = None if stopped else self._close_epoch(interrupt)
            if record is None:
                self.checkpoint()
                return True
            progress.epoch(record)
            if self._processes.any(interrupt.requested)[0]:
                return self.position.epoch < until
        return False

    def _meta_batches(self, batch: int) -> Iterator[Batch] | None:
        """The meta batches from the one that belongs to number `batch` of this epoch on."""
        if not self._reweighter.needs_meta or self._streams.sets.meta is None:
            return None
        done = self.position.epoch * self.batches_per_epoch + batch
        return self._streams.meta(done, self._reweighter.clean_targets())

    def _train_epoch(
        self, meta: Iterator[Batch] | None, interrupt: Interrupt, progress: Progress
    ) -> bool:
        """Take the remaining optimizer steps of the epoch. Returns whether a signal stopped it."""
        left = self.batches_per_epoch - self.position.batch
        self._reweighter.begin_epoch(self.position.epoch + 1, self._config.epochs)
        batches = self._train_batches(self.position.batch)
        self._sums.checked = self.position.batch
        while left:
            count = min(self._config.accumulate, left)
            left -= count
            began = time.perf_counter()
            stopped = self._step(batches, count, meta, interrupt)
            self._sums.seconds += time.perf_counter() - began
            progress.batch(self.position.batch, self._sums.mean_loss)
            if stopped and left:
                return True
            every = self._config.checkpoint_every
            if left and every is not None and self.position.step % every == 0:
                self.checkpoint()
        return False

    def _train_batches(self, start: int) -> Iterator[tuple[list[int], Batch]]:
        epoch = self.position.epoch
        part = self._reweighter.trains_on(epoch + 1, self._config.epochs)
        return self._streams.train(epoch, start=start, part=part)

    def _step(
        self,
        batches: Iterator[tuple[list[int], Batch]],
        count: int,
        meta: Iterator[Batch] | None,
        interrupt: Interrupt,
    ) -> bool:
        """One optimizer step on the next `count` batches. Returns whether any process got a signal."""
        odd, cause = False, ""
        for _ in range(count):
            indices, batch = next(batches)
            meta_batch = None if meta is None else next(meta)
            result = self._reweighter.backward(batch, meta_batch, indices=indices)
            for callback in self._callbacks:
                callback.on_batch(self.position.epoch + 1, indices, result)
            self._sums.add(result, batch[1])
            self.position.batch += 1
            if not odd and not self._sums.are_finite(self.position.batch, self.batches_per_epoch):
                odd, cause = True, self._cause(indices, batch, meta_batch)
        stopped, odd = self._processes.any(interrupt.requested, odd)
        if odd:
            cause = max(self._processes.gather(cause))
            raise self._divergence("the loss is not finite", cause)
        self._update(count)
        return stopped

    def _cause(self, indices: list[int], batch: Batch, meta_batch: Batch | None) -> str:
        """Which inputs explain losses that are not finite, in this batch or in one since the last look."""
        epoch, last, first = self.position.epoch, self.position.batch - 1, self._sums.checked
        cause = self._streams.not_finite(indices, batch, meta_batch, epoch, last)
        if cause or first == last:
            return cause
        from gdw.train.not_finite import cause_in_batches

        batches, meta = self._train_batches(first), self._meta_batches(first)
        return cause_in_batches(self._streams.not_finite, batches, meta, epoch, range(first, last))

    def _update(self, count: int) -> None:
        if count > 1:
            for parameter in self._model.parameters():
                if parameter.grad is not None:
                    parameter.grad.div_(count)
        if self._config.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(self._model.parameters(), self._config.clip_grad_norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._scheduler.step()
        self.position.step += 1

    def _close_epoch(self, interrupt: Interrupt) -> dict[str, Any] | None:
        """Evaluate, and write the record of the epoch and a checkpoint; None if a signal came before."""
        began = time.perf_counter()
        self._sums.mean_loss()  # the last steps may still be in work on the device
        self._sums.seconds += time.perf_counter() - began
        self._require_finite_parameters()
        self._processes.share_buffers(self._model)
        figures = self._evaluate(interrupt)
        if figures is None:
            return None
        self.position = TrainingPosition(self.position.epoch + 1, 0, self.position.step)
        record = {
            "epoch": self.position.epoch,
            "step": self.position.step,
            "lr": self._rate_of_last_step(),
            **self._sums.record(self._processes),
            **figures,
        }
        self._sums = EpochSums()
        for callback in self._callbacks:
            callback.on_epoch(record)
        self._output.append(record)
        self.checkpoint()
        return record

    def _rate_of_last_step(self) -> float:
        factor = self._scheduler.lr_lambdas[0](self.position.step - 1)
        return float(self._scheduler.base_lrs[0] * factor)

    def _evaluate(self, interrupt: Interrupt) -> dict[str, Any] | None:
        """The figures of the test data; None if a signal came before all were predicted."""
        test, size = self._streams.test, self._config.eval_batch_size
        if test is None:
            return {}
        alone = self._processes.size == 1  # several would not stop at the same batch
        forward = stoppable(self._forward, lambda: alone and interrupt.requested)
        try:
            figures = evaluate(self._model, test, batch_size=size, forward=forward, name="test")
        except Stopped:
            return None
        return {f"test_{name}": value for name, value in figures.items()}

    def checkpoint(self) -> None:
        """Save the whole state if there is a run folder. `DivergenceError` if a parameter is not finite."""
        self._require_finite_parameters()
        if self._output.folder is None:
            return
        random_states = self._processes.gather(random_state(self._processes.device))
        sums = self._processes.gather(self._sums.state_dict())
        callbacks = [[type(c).__name__, c.state_dict()] for c in self._callbacks]

        def state() -> dict[str, Any]:
            return {
                "config": self._config.plain(),
                **self._streams.sets.state,
                "position": asdict(self.position),
                "model": with_own_names(self._model).state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "scheduler": self._scheduler.state_dict(),
                "reweighter": self._reweighter.state_dict(),
                "tally": sums,
                "callbacks": callbacks,
                "random_state": random_states,
            }

        self._output.save_checkpoint(state, step=self.position.step)

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a `state` of `checkpoint`. With other processes, each draws from its own seed."""
        parts = {n: vars(self)[f"_{n}"] for n in ("optimizer", "scheduler", "reweighter")}
        require_sound(state, parts, self._config.epochs, self.batches_per_epoch)
        self.position = TrainingPosition(**state["position"])
        OwnNames(self._model).load_state_dict(state["model"])
        for name, part in parts.items():
            part.load_state_dict(state[name])
        if self._processes.is_first:
            self._restore_callbacks(state.get("callbacks", []))
        rank = self._processes.rank
        if len(state["tally"]) == self._processes.size:
            self._sums = EpochSums.from_states([state["tally"][rank]])
            restore_random_state(state["random_state"][rank], self._processes.device)
        elif self._processes.is_first:  # it takes over the sums of all
            self._sums = EpochSums.from_states(state["tally"])

    def _restore_callbacks(self, states: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Give each state to the next callback of its class. There may be other callbacks than before."""
        left = list(self._callbacks)
        for name, state in states:
            callback = next((c for c in left if type(c).__name__ == name), None)
            if callback is not None:
                left.remove(callback)
                callback.load_state_dict(state)

    def _require_finite_parameters(self) -> None:
        finite = [p.isfinite().all() for p in self._model.parameters()]
        # One question to the device, not one for each parameter.
        if not torch.stack([f.to(finite[0].device) for f in finite]).all():
            raise self._divergence("the model's parameters are not finite")

    def _divergence(self, reason: str, cause: str = "") -> DivergenceError:
        epoch, step = self.position.epoch + 1, self.position.batch
        kept = f"; the last good checkpoint is {newest}" if (newest := self._output.newest) else ""
        advice = f"Try a lower lr (now {self._config.lr:g}) or clip_grad_norm"
        return DivergenceError(
            f"training {'stopped' if cause else 'diverged'}: {reason} in epoch {epoch}, "
            f"step {step}{kept}. {cause or advice}",
            epoch=epoch,
            step=step,
        )
