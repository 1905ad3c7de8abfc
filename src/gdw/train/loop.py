"""The loop over epochs and batches, for every method alike; its state can be saved at any step."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from gdw.errors import DivergenceError
from gdw.hypergradient.inputs import Forward
from gdw.reweight import Reweighter
from gdw.train import feed, random_state
from gdw.train.callback import Callback
from gdw.train.config import TrainConfig
from gdw.train.evaluation import evaluate
from gdw.train.interrupt import Interrupt
from gdw.train.processes import Processes
from gdw.train.progress import Progress
from gdw.train.schedule import scheduler
from gdw.train.store import Store
from gdw.train.streams import Streams
from gdw.train.tally import Tally
from gdw.train.watched import Watched


@dataclass
class Position:
    """How far a run is: whole epochs, batches of the epoch after them, and optimizer steps in all."""

    epoch: int = 0
    batch: int = 0
    step: int = 0


class Loop:
    """Trains `model` from where `position` stands. Built by `Trainer.fit`, on every process alike.

    An optimizer step is `accumulate` batches (fewer at the end of an epoch); a checkpoint lies
    always between two steps.
    """

    def __init__(
        self,
        *,
        config: TrainConfig,
        processes: Processes,
        streams: Streams,
        model: nn.Module,
        optimizer: Optimizer,
        reweighter: Reweighter,
        forward: Forward,
        store: Store,
        callbacks: Sequence[Callback],
    ) -> None:
        self.position = Position()
        self._config = config
        self._processes = processes
        self._streams = streams
        self._model = model
        self._optimizer = optimizer
        self._reweighter = reweighter
        self._forward = forward
        self._store = store
        self._callbacks = callbacks
        self._tally = Tally()
        self._lr = 0.0
        steps = math.ceil(streams.batches_per_epoch / config.accumulate)
        self._scheduler = scheduler(
            optimizer,
            total=config.epochs * steps,
            warmup=round(config.warmup_epochs * steps),
            schedule=config.schedule,
        )

    def run(self, until: int, *, interrupt: Interrupt, progress: Progress) -> bool:
        """Train until `until` whole epochs are done; whether a signal stopped it before."""
        watched = self._watched()
        for callback in self._callbacks:
            callback.on_start(watched)
        if self.position.epoch < until:
            self.checkpoint()
        needs_meta = self._reweighter.needs_meta
        targets = self._reweighter.clean_targets()
        meta = self._streams.meta(self._seen(), targets) if needs_meta else None
        while self.position.epoch < until:
            if self._train_epoch(meta, interrupt, progress):
                self.checkpoint()
                return True
            record = self._close_epoch()
            progress.epoch(record)
            if self._processes.any(interrupt.requested)[0]:
                return self.position.epoch < until
        return False

    def _train_epoch(
        self, meta: Iterator[feed.Batch] | None, interrupt: Interrupt, progress: Progress
    ) -> bool:
        """Take the optimizer steps left in this epoch; whether a signal cut it short."""
        left = self._streams.batches_per_epoch - self.position.batch
        epoch, epochs = self.position.epoch + 1, self._config.epochs
        self._reweighter.begin_epoch(epoch, epochs)
        batches = self._streams.train(
            self.position.epoch,
            start=self.position.batch,
            part=self._reweighter.trains_on(epoch, epochs),
        )
        while left:
            group = min(self._config.accumulate, left)
            left -= group
            began = time.perf_counter()
            stopped = self._step(batches, group, meta, interrupt)
            self._tally.seconds += time.perf_counter() - began
            rate = self._tally.rate * self._processes.size
            progress.batch(self.position.batch, self._tally.mean_loss, rate)
            if stopped and left:
                return True
            every = self._config.checkpoint_every
            if left and every is not None and self.position.step % every == 0:
                self.checkpoint()
        return False

    def _step(
        self,
        batches: Iterator[tuple[list[int], feed.Batch]],
        group: int,
        meta: Iterator[feed.Batch] | None,
        interrupt: Interrupt,
    ) -> bool:
        """One optimizer step on the next `group` batches; whether any process was asked to stop."""
        finite = True
        for _ in range(group):
            indices, batch = next(batches)
            meta_batch = None if meta is None else next(meta)
            result = self._reweighter.backward(batch, meta_batch, indices=indices)
            for callback in self._callbacks:
                callback.on_batch(self.position.epoch + 1, indices, result)
            finite = self._tally.add(result, batch[1]) and finite
            self.position.batch += 1
        stopped, diverged = self._processes.any(interrupt.requested, not finite)
        if diverged:
            raise self._divergence("the loss is not finite")
        self._update(group)
        return stopped

    def _update(self, group: int) -> None:
        parameters = [p for p in self._model.parameters() if p.grad is not None]
        for parameter in parameters:
            if group > 1 and parameter.grad is not None:
                parameter.grad.div_(group)
        if self._config.clip_grad_norm is not None:
            nn.utils.clip_grad_norm_(parameters, self._config.clip_grad_norm)
        self._lr = float(self._optimizer.param_groups[0]["lr"])
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._scheduler.step()
        self.position.step += 1

    def _close_epoch(self) -> dict[str, Any]:
        """Evaluate, write the epoch's line of the history and a checkpoint."""
        self._refuse_broken()
        self._processes.share_buffers(self._model)
        self.position.epoch += 1
        self.position.batch = 0
        record = {
            "epoch": self.position.epoch,
            "step": self.position.step,
            "lr": self._lr,
            **self._tally.record(self._processes),
            **self._evaluate(),
        }
        self._tally = Tally()
        for callback in self._callbacks:
            callback.on_epoch(record)
        self._store.append(record)
        self.checkpoint()
        return record

    def _evaluate(self) -> dict[str, Any]:
        if self._streams.sets.test is None:
            return {}
        figures = evaluate(
            self._model,
            self._streams.sets.test,
            batch_size=self._config.eval_batch_size,
            forward=self._forward,
        )
        return {f"test_{name}": value for name, value in figures.items()}

    def checkpoint(self) -> None:
        """Save the whole state, if the run has a folder; `DivergenceError` rather than a broken one."""
        self._refuse_broken()
        if self._store.run is None:
            return
        states = self._processes.gather(random_state.capture(self._processes.device))
        tallies = self._processes.gather(self._tally.state_dict())
        watching = [[type(c).__name__, c.state_dict()] for c in self._callbacks]

        def state() -> dict[str, Any]:
            return {
                "config": self._config.plain(),
                "sizes": self._streams.sets.sizes(),
                "position": asdict(self.position),
                "model": self._model.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "scheduler": self._scheduler.state_dict(),
                "reweighter": self._reweighter.state_dict(),
                "tally": tallies,
                "callbacks": watching,
                "random_state": states,
            }

        self._store.save(state, step=self.position.step)

    def restore(self, state: dict[str, Any]) -> None:
        """Stand where `state`, written by `checkpoint`, was taken.

        With another number of processes than then, the sums of the epoch move to the first process
        and each process goes on drawing (dropout) from its own seed.
        """
        self.position = Position(**state["position"])
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        self._scheduler.load_state_dict(state["scheduler"])
        self._reweighter.load_state_dict(state["reweighter"])
        if self._processes.is_first:
            self._restore_callbacks(state.get("callbacks", []))
        rank = self._processes.rank
        if len(state["tally"]) == self._processes.size:
            self._tally = Tally.of([state["tally"][rank]])
            random_state.restore(state["random_state"][rank], self._processes.device)
        elif self._processes.is_first:
            self._tally = Tally.of(state["tally"])

    def _restore_callbacks(self, states: Sequence[tuple[str, dict[str, Any]]]) -> None:
        """Each state to the next callback of its class: a resumed run may be watched by others too."""
        left = list(self._callbacks)
        for name, state in states:
            callback = next((c for c in left if type(c).__name__ == name), None)
            if callback is not None:
                left.remove(callback)
                callback.load_state_dict(state)

    def _watched(self) -> Watched:
        return Watched(
            config=self._config,
            processes=self._processes,
            train=self._streams.sets.train,
            model=self._model,
            forward=self._forward,
            reweighter=self._reweighter,
        )

    def _refuse_broken(self) -> None:
        if not all(bool(torch.isfinite(p).all()) for p in self._model.parameters()):
            raise self._divergence("the model's parameters are not finite")

    def _divergence(self, what: str) -> DivergenceError:
        epoch, step = self.position.epoch + 1, self.position.batch
        kept = f"; the last good checkpoint is {self._store.newest}" if self._store.newest else ""
        return DivergenceError(
            f"training diverged: {what} in epoch {epoch}, step {step}{kept}. "
            f"Try a lower lr (now {self._config.lr:g}) or clip_grad_norm",
            epoch=epoch,
            step=step,
        )

    def _seen(self) -> int:
        """Training batches behind the run."""
        return self.position.epoch * self._streams.batches_per_epoch + self.position.batch
