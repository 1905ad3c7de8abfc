"""`gdw.Trainer`: model, data and configuration in; trained model, history and run folder out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from gdw.data.examples import Examples
from gdw.errors import ConfigError, ModelError
from gdw.hypergradient.inputs import Forward, default_forward
from gdw.reweight import METHODS, Reweighter, build
from gdw.train import feed
from gdw.train.callback import Callback
from gdw.train.config import TrainConfig
from gdw.train.evaluation import evaluate
from gdw.train.interrupt import Interrupt
from gdw.train.loop import Loop
from gdw.train.precheck import check_before_training
from gdw.train.preparation import Build, TrainerPreparation
from gdw.train.processes import Processes
from gdw.train.progress import make_progress
from gdw.train.random_state import seeded
from gdw.train.result import FitResult, last_epochs_mean
from gdw.train.store import Output, Store
from gdw.train.streams import Sets, Streams


class Trainer:
    """Trains a model by any method of `gdw.reweight`, on one process or many.

    `Trainer(epochs=20, lr=0.01)` or `Trainer(config=TrainConfig(...))`; the options are those of
    `TrainConfig`. `forward` is `(model, inputs) -> logits` for models that `model(inputs)` does not
    fit. A wrong option raises `ConfigError`.
    """

    def __init__(
        self, config: TrainConfig | None = None, *, forward: Forward | None = None, **options: Any
    ) -> None:
        if config is not None and options:
            raise ConfigError(
                f"expected config= or single options, found both (also {', '.join(options)})"
            )
        self.config = config if config is not None else TrainConfig(**options)
        self._forward = forward or default_forward
        self._processes: Processes | None = None
        self._build: Build | None = None

    def launch(self) -> None:
        """Start the other processes that `devices * nodes` asks for, running this script in each.

        `fit` does it too; calling it first spares the other processes the work that lies before.
        With one process, or under torchrun, nothing is started.
        """
        if self._processes is None:
            processes = Processes(self.config)
            processes.launch()
            self._processes = processes

    @property
    def processes(self) -> Processes:
        """This process among those of the run (`rank`, `size`, `device`, ...), launched if need be."""
        self.launch()
        assert self._processes is not None
        return self._processes

    def fit(
        self,
        model: nn.Module,
        train: feed.Data,
        meta: feed.Data | None = None,
        *,
        test: feed.Data | None = None,
        output: Output | None = None,
        resume: bool = False,
        stop_after: int | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> FitResult:
        """Train `model` in place.

        Args:
            model: returns logits `(N, C)`; moved to the device, and in precision "64" to float64.
            train, meta, test: each a `gdw.data.Examples`, another map-style data set of
                `(inputs, target)`, or a pair `(X, y)` of tensors, arrays or data frames of numbers, `y`
                classes from 0 to C-1 or `(N, C)` class probabilities. `meta` are the clean
                examples; methods without need of them do not look at them (add them to `train` for
                a fair comparison). `test` is evaluated after every epoch; `meta` is not, since the
                weights are fitted to it: its loss is in the history.
            output: folder of the run, made here; or a function that makes it, called once all checks
                have passed. None: nothing is written.
            resume: continue the run that `output` holds from its newest checkpoint, to what a
                straight run would have given, bit for bit on the same machine. Random transforms
                *inside a data set* are an exception when `workers` > 0: those of `meta`, and after a
                stop within an epoch those of `train`, are drawn anew. (`augment` is no exception.)
            stop_after: stop once that many epochs, 1 or more, are done in all (the learning rate
                still follows `epochs`).
            callbacks: see `Callback`.

        Ctrl-C or SIGTERM ends the current step, writes a checkpoint and returns; a second one raises
        `KeyboardInterrupt`. `model.safetensors` holds the weights at return, whichever way it came about.
        The process-wide random state is afterwards what it was before.

        Raises:
            ConfigError: options that do not go together, such as a method that needs `meta` without it.
            DataError, ModelError: data or a model that cannot be trained on, before anything is written.
            RunError: `output` holds a run (without `resume`), none, or a different one (with it).
            DivergenceError: a loss or parameter that is not finite.
        """
        until = _last_epoch(self.config.epochs, stop_after)
        config, processes = self.config, self.processes
        sets = self._sets(train, meta, test)
        self._make_ready(model, sets)
        # Under one seed on all processes, so that their weighting networks start alike.
        with seeded(config.seed, processes.device):
            optimizer = _optimizer(config, model)
            reweighter = self._reweighter(model, optimizer)
        joins_clean = METHODS[config.method].joins_clean
        streams = Streams(sets, config, processes, model, joins_clean=joins_clean)
        store = Store(processes, kept=config.checkpoints_kept)
        loop = Loop(
            config=config,
            processes=processes,
            streams=streams,
            model=model,
            optimizer=optimizer,
            reweighter=reweighter,
            forward=self.forward,
            store=store,
            callbacks=callbacks,
        )
        # Last, so that a mistake found above leaves no folder behind.
        store.open(output, config, resume=resume)
        with seeded(config.seed + processes.rank, processes.device):
            state = store.resume(config, sets.sizes()) if resume else None
            if state is not None:
                loop.restore(state)
            else:
                reweighter.prepare(self._preparation(model, sets))
            before = loop.position.epoch
            interrupted, signalled = self._run(loop, streams.batches_per_epoch, until)
        store.save_model(model)
        last = min(config.last_epochs, len(store.history))
        return FitResult(
            history=store.history,
            final=last_epochs_mean(store.history, last),
            averaged_epochs=last,
            interrupted=interrupted,
            epochs_done=loop.position.epoch,
            epochs_before=before,
            signalled=signalled,
        )

    def evaluate(self, model: nn.Module, data: feed.Data) -> dict[str, Any]:
        """`gdw.train.evaluate` with this trainer's device, precision, forward and batch size."""
        model.to(self.processes.device)
        return evaluate(model, data, batch_size=self.config.eval_batch_size, forward=self.forward)

    def forward(self, model: nn.Module, inputs: Any) -> Tensor:
        """Logits `(N, C)` under the run's autocast, in the type that the model computed them in.

        The type tells how precisely the model computes.
        """
        with self.processes.autocast():
            return self._forward(model, inputs)

    def _make_ready(self, model: nn.Module, sets: Sets) -> None:
        """The model in train mode on the device, the same on every process, and able to train on these."""
        config, processes = self.config, self.processes
        model.to(processes.device, torch.float64 if config.precision == "64" else None)
        if not model.training:
            model.train()
        processes.share(model)
        check_before_training(
            model, vars(sets), self.forward, config=config, processes=processes.size
        )

    def _preparation(self, model: nn.Module, sets: Sets) -> TrainerPreparation:
        def fit_plainly(
            config: TrainConfig, copied: nn.Module, data: Examples, build: Build | None
        ) -> None:
            trainer = Trainer(config=config, forward=self._forward)
            trainer._processes, trainer._build = self.processes, build
            # Also a signal in the last epoch, which ended: there is more to come after it.
            if trainer.fit(copied, data).signalled:
                raise KeyboardInterrupt(
                    "interrupted while preparing, before the first epoch; a run in a folder can be resumed "
                    "and prepares anew"
                )

        def say(what: str) -> None:
            if self.processes.is_first and self.config.progress != "none":
                print(f"preparing: {what}", file=sys.stderr, flush=True)

        return TrainerPreparation(
            config=self.config,
            sets=sets,
            model=model,
            forward=self.forward,
            fit_plainly=fit_plainly,
            say=say,
        )

    def _sets(self, train: feed.Data, meta: feed.Data | None, test: feed.Data | None) -> Sets:
        METHODS[self.config.method].check_installed()
        needs_clean = METHODS[self.config.method].needs_clean
        if needs_clean and meta is None:
            raise ConfigError(
                f"method {self.config.method!r} learns from clean examples: "
                "give meta=..., or choose method='plain'"
            )
        return Sets(
            train=feed.as_dataset(train, "train"),
            meta=feed.as_dataset(meta, "meta") if needs_clean and meta is not None else None,
            test=feed.as_dataset(test, "test") if test is not None else None,
        )

    def _reweighter(self, model: nn.Module, optimizer: Optimizer) -> Reweighter:
        if self._build is not None:
            return self._build(model, optimizer)
        return build(
            self.config.method,
            model,
            optimizer,
            forward=self.forward,
            label_smoothing=self.config.label_smoothing,
            **self.config.method_options,
        )

    def _run(self, loop: Loop, batches: int, until: int) -> tuple[bool, bool]:
        """Whether a signal stopped the run, and whether one came at all."""
        progress = make_progress(
            self.config.progress,
            shown=self.processes.is_first,
            epochs=self.config.epochs,
            batches=batches,
            done=loop.position.epoch,
        )
        try:
            with Interrupt() as interrupt:
                stopped = loop.run(until, interrupt=interrupt, progress=progress)
                return stopped, self.processes.any(interrupt.requested)[0]
        finally:
            progress.close()


def _last_epoch(epochs: int, stop_after: int | None) -> int:
    if stop_after is None:
        return epochs
    if stop_after < 1:
        raise ConfigError(
            f"stop_after: expected 1 epoch or more, found {stop_after}; leave it out to train all"
        )
    return min(epochs, stop_after)


def _optimizer(config: TrainConfig, model: nn.Module) -> Optimizer:
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ModelError(
            "the model has no trainable parameter: set requires_grad on those to train"
        )
    if config.optimizer == "adamw":
        return AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay)
    return SGD(
        parameters,
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
    )
