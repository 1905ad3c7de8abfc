"""`gdw.Trainer`: trains a model, with history, checkpoints and a run folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from gdw.data.examples import Examples
from gdw.errors import ConfigError
from gdw.files.representation import ShortRepr
from gdw.hypergradient.inputs import Forward, default_forward
from gdw.reweight.base import Reweighter
from gdw.reweight.registry import METHODS, build
from gdw.train.before_training import (
    in_words,
    last_epoch,
    make_optimizer,
    make_ready,
    make_sets,
    make_streams,
    run_stage,
)
from gdw.train.config import TrainConfig
from gdw.train.evaluation import evaluate
from gdw.train.feed import Data, DataSets, require_cpu_by_default
from gdw.train.loop import Loop
from gdw.train.monitoring import Callback, require_callbacks
from gdw.train.output import FitResult, Output, TrainingOutput
from gdw.train.preparing import Build, TrainerPreparation, make_preparation
from gdw.train.processes import Interrupt, Processes, seeded
from gdw.train.progress import Progress, Stage, make_progress
from gdw.train.resuming import warn_of_stop
from gdw.train.user_dataset import UserDataset


class Trainer(ShortRepr):
    """Trains a model by any method of `gdw.reweight`, on one process or several.

    Args:
        config: the options; or give them one by one, as in `Trainer(epochs=20, lr=0.01)`.
        forward: `(model, inputs) -> logits`, if `model(inputs)` is not enough.
        options: those of `TrainConfig`.

    Raises:
        ConfigError: an option is unknown, wrong, or contradicts another.

    Example:
        >>> import torch, gdw
        >>> X, y = torch.randn(60, 4), torch.randint(3, (60,))
        >>> trainer = gdw.Trainer(method="plain", epochs=2, batch_size=20, progress="none")
        >>> result = trainer.fit(torch.nn.Linear(4, 3), (X, y), test=(X, y))
        >>> [record["epoch"] for record in result.history]
        [1, 2]
    """

    def __init__(
        self, config: TrainConfig | None = None, *, forward: Forward | None = None, **options: Any
    ) -> None:
        if config is not None and options:
            raise ConfigError(f"expected config= or options, found both ({', '.join(options)} too)")
        self.config = config if config is not None else TrainConfig(**options)
        self._forward = forward or default_forward
        self._processes: Processes | None = None
        self._build: Build | None = None
        self._progress: Progress | None = None
        self._nested = False

    def launch(self) -> None:
        """Start the other processes of `devices * nodes`, which run this script too.

        `fit` does this as well. Call it earlier so that the other processes skip nothing but the work
        before it. With one process, or under torchrun, nothing is started.
        """
        if self._processes is None:
            require_cpu_by_default()
            processes = Processes(self.config)
            processes.launch()
            self._processes = processes

    @property
    def processes(self) -> Processes:
        """The processes that train together, launched if necessary."""
        self.launch()
        assert self._processes is not None
        return self._processes

    def fit(
        self,
        model: nn.Module,
        train: Data,
        meta: Data | None = None,
        *,
        test: Data | None = None,
        output: Output | None = None,
        resume: bool = False,
        stop_after: int | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> FitResult:
        """Train `model` in place.

        Args:
            model: returns logits `(N, C)`. It is moved to the device, and to float64 for precision "64".
            train: the training set: a `gdw.data.Examples`, another map-style data set, or a pair `(X, y)` of
                tensors, arrays or data frames of numbers; `y` holds classes from 0 to C-1 or class
                probabilities `(N, C)`. Items of a data set are `(inputs, target)`, or mappings (as of Hugging
                Face), dataclasses or named tuples with a `label`, `target` or `y`; what is left is the
                input, or several inputs by name, which the model gets as keywords.
            meta: the clean examples, in the same form. Methods that do not need them ignore them; for a
                fair comparison add them to `train`.
            test: evaluated after every epoch. (`meta` is not, because the weights are fitted to it.)
            output: the run folder to make, or a function that makes it after all checks; None for none.
            resume: continue the training in `output` from its newest checkpoint, or its preparation from the
                last model that was finished. On the same machine the result equals an uninterrupted
                training bit for bit, with one exception: with `workers` > 0, random transforms inside a data
                set are drawn anew for `meta`, and for `train` after a stop within an epoch. (`augment` is
                not affected.)
            stop_after: stop when this many epochs are done in all. The learning rate still follows `epochs`.
            callbacks: see `Callback`.

        Returns:
            The history and the mean of the last epochs. On the first Ctrl-C, SIGTERM or SIGHUP `fit` finishes
            the step, writes a checkpoint, warns and returns; the second one raises `KeyboardInterrupt`. In
            any case `model.safetensors` holds the weights at return, and the process-wide random state is
            restored.

        Raises:
            ConfigError: options contradict each other, or a method that needs `meta` did not get it.
            DataError, ModelError: the data or the model cannot be used; raised before anything is written.
            RunError: `output` already holds a run; with `resume`, it holds no run or a different one; or
                another process of the training is lost.
            DivergenceError: a loss or parameter is not finite.
            StoppedInPreparation: a signal stopped the preparation; a `KeyboardInterrupt`.
        """
        require_callbacks(callbacks)
        config, processes = self.config, self.processes
        until = last_epoch(config.epochs, stop_after)
        sets = make_sets(METHODS[config.method], config.method, train, meta, test)
        _introduce(sets, model, callbacks)
        threads = make_ready(model, sets, config, processes, self.forward)
        optimizer, reweighter = self.method(model)
        written = TrainingOutput(processes, kept=config.checkpoints_kept)
        loop = Loop(
            config=config,
            processes=processes,
            streams=make_streams(config, sets, model, processes),
            model=model,
            optimizer=optimizer,
            reweighter=reweighter,
            forward=self.forward,
            output=written,
            callbacks=callbacks,
        )
        # Opened last, so that an error above leaves no folder.
        with _connected(processes), threads, written.opened(output, config, resume=resume):
            with seeded(config.seed + processes.rank, processes.device), self.shown() as progress:
                resumed = resume and written.resume(loop.restore, config, sets, model)
                before = loop.position.epoch
                if not self._nested:
                    batches = loop.batches_per_epoch
                    run = run_stage(config, sets, until, batches=batches, first=before)
                    if not resumed:
                        self.prepare(reweighter, model, sets, run=run, folder=written.preparation)
                    progress.begin(run, in_words([], 0, run))
                with Interrupt() as interrupt:
                    interrupted = loop.run(until, interrupt=interrupt, progress=progress)
                    signalled = processes.any(interrupt.requested)[0]
            written.save_model(model)
        if interrupted and processes.is_first and not self._nested:
            warn_of_stop(loop.position.epoch, config.epochs, resumable=written.folder is not None)
        done = {"epochs_done": loop.position.epoch, "epochs_before": before}
        stopped = {"interrupted": interrupted, "signalled": signalled}
        return written.result(last_epochs=config.last_epochs, **done, **stopped)

    def evaluate(self, model: nn.Module, data: Data) -> dict[str, Any]:
        """`gdw.train.evaluate` with this trainer's device, precision, forward and batch size."""
        model.to(self.processes.device)
        return evaluate(model, data, batch_size=self.config.eval_batch_size, forward=self.forward)

    def forward(self, model: nn.Module, inputs: Any) -> Tensor:
        """Logits `(N, C)` under this trainer's autocast, in the dtype that the model computes in.

        The dtype tells the method how precise the model is.
        """
        with self.processes.autocast():
            return self._forward(model, inputs)

    def prepare(
        self,
        reweighter: Reweighter,
        model: nn.Module,
        sets: DataSets,
        *,
        run: Stage | None = None,
        folder: Path | None = None,
    ) -> None:
        """Let the method prepare itself, see `preparing`; `run` is the training that comes after it."""
        with self.preparing(model, sets, folder=folder) as preparation:
            preparation.plan(reweighter.planned_fits(preparation), run)
            reweighter.prepare(preparation)

    @contextmanager
    def preparing(
        self, model: nn.Module, sets: DataSets, *, folder: Path | None = None
    ) -> Iterator[TrainerPreparation]:
        """A context with copies of the untrained `model` to train on parts of `sets`.

        Their predictions are kept in `folder`. A signal raises `StoppedInPreparation`.
        """
        with self.shown() as progress, Interrupt() as interrupt:
            preparation = make_preparation(
                config=self.config,
                sets=sets,
                model=model,
                forward=self.forward,
                own_forward=self._forward is not default_forward,
                processes=self.processes,
                fit_plainly=self._fit_plainly,
                progress=progress,
                folder=folder,
                signalled=lambda: interrupt.requested,
            )
            with preparation.stoppable():
                yield preparation

    def _fit_plainly(
        self,
        config: TrainConfig,
        model: nn.Module,
        data: Examples,
        build: Build | None,
        progress: Progress,
    ) -> None:
        trainer = Trainer(config, forward=self._forward)
        trainer._processes, trainer._build, trainer._progress = self.processes, build, progress
        trainer._nested = True
        # Also after a signal in the last epoch, which was completed.
        if trainer.fit(model, data).signalled:
            raise KeyboardInterrupt

    def method(self, model: nn.Module) -> tuple[Optimizer, Reweighter]:
        """An optimizer for `model`, and the method that weights its gradient."""
        # The same seed on all processes, so that their weighting networks start with equal weights.
        with seeded(self.config.seed, self.processes.device):
            optimizer = make_optimizer(self.config, model)
            reweighter = self._reweighter(model, optimizer)
        reweighter.names_rows = False
        return optimizer, reweighter

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

    @contextmanager
    def shown(self) -> Iterator[Progress]:
        """A context in which one display, as `config.progress` says, follows all trainings."""
        if self._progress is not None:
            yield self._progress
            return
        self._progress = make_progress(self.config.progress, shown=self.processes.is_first)
        try:
            yield self._progress
        finally:
            self._progress.display.close()
            self._progress = None


@contextmanager
def _connected(processes: Processes) -> Iterator[None]:
    """Inside, it is a `RunError` if another process of the training is lost."""
    try:
        yield
    except RuntimeError as error:
        if processes.size == 1:
            raise
        from gdw.train.connection_errors import explained

        raise explained(error) from error.__cause__


def _introduce(sets: DataSets, model: nn.Module, callbacks: Sequence[Callback]) -> None:
    """Let the callbacks check the data, and the data sets fill up texts as the model needs it."""
    for callback in callbacks:
        callback.on_check(len(sets.train))
    for dataset in vars(sets).values():
        if isinstance(dataset, UserDataset):
            dataset.fill_up_for(model)
