"""What `Reweighter.prepare` may do: train copies of the model. Their predictions outlive an interrupt."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils._pytree import tree_leaves

from gdw._version import __version__
from gdw.data.examples import Examples
from gdw.files.representation import ShortRepr
from gdw.hypergradient.inputs import Forward
from gdw.reweight.base import Reweighter
from gdw.reweight.preparation import PlannedFit, Predict, Subset, clean_targets
from gdw.reweight.robust.method import CorrectedPlain
from gdw.seeding import generator
from gdw.train.before_training import StoppedInPreparation, in_words
from gdw.train.config import TrainConfig
from gdw.train.evaluation import device_and_dtype, predict_probabilities
from gdw.train.feed import DataSets, targets_of
from gdw.train.output import KeptFits
from gdw.train.processes import Processes, random_state, restore_random_state, seeded
from gdw.train.progress import TRAINING, Progress, Stage
from gdw.train.resuming import digest

Build: TypeAlias = Callable[[nn.Module, Optimizer], Reweighter]
FitPlainly: TypeAlias = Callable[[TrainConfig, nn.Module, Examples, "Build | None", Progress], None]

# A trial takes at most this share of the steps that will be taken, and so many at least and at most.
_SHARE_OF_TRIAL, _SHORTEST_TRIAL, _LONGEST_TRIAL = 1 / 100, 3, 6


class TrainerPreparation(ShortRepr):
    """The `gdw.reweight.Preparation` of a training. Every process does the same work.

    Args:
        config: the options of the training.
        sets: its data sets.
        model: the untrained model; copies of it are trained.
        forward: `(model, inputs) -> logits`.
        processes: those that train together.
        fit_plainly: `(config, model, data, build, progress)` trains a model in place, with the reweighter
            that `build` makes; None: with `Plain`.
        progress: follows the trainings.
        folder: where predictions are kept; None: nowhere.
        signalled: whether a signal asks this process to stop.
    """

    def __init__(
        self,
        *,
        config: TrainConfig,
        sets: DataSets,
        model: nn.Module,
        forward: Forward,
        processes: Processes,
        fit_plainly: FitPlainly,
        progress: Progress,
        folder: Path | None,
        signalled: Callable[[], bool],
    ) -> None:
        self._config, self._sets, self._model, self._forward = config, sets, model, forward
        self._processes, self._fit_plainly, self._progress = processes, fit_plainly, progress
        self._folder, self._signalled = folder, signalled
        self._planned: list[Stage] = []
        self.epochs = config.epochs
        self.batch_size = config.batch_size
        self.seed = config.seed

    @cached_property
    def given(self) -> Tensor:
        return targets_of(self._sets.train)

    @cached_property
    def clean(self) -> Tensor | None:
        return None if self._sets.meta is None else targets_of(self._sets.meta)

    @cached_property
    def verified(self) -> int:
        verified = getattr(self._sets.meta, "verified", None)
        return len(clean_targets(self)) if verified is None else verified

    @cached_property
    def num_classes(self) -> int:
        few = Subset("given", torch.arange(min(2, len(self._sets.train))))
        return self._predict(self._model, few).shape[1]

    @cached_property
    def kept(self) -> KeptFits:
        """The models that are finished."""
        if self._folder is None:
            return KeptFits(None, self._processes, "", self.say)
        parts = self._sets.train, self._sets.meta
        inputs = [part.inputs for part in parts if isinstance(part, Examples)]
        model, labels = self._model.state_dict().values(), (self.given, self.clean)
        run = digest(__version__, self._config.decisive, *labels, *tree_leaves(inputs), *model)
        return KeptFits(self._folder, self._processes, run, self._progress.display.announce)

    def plan(self, fits: Sequence[PlannedFit], run: Stage | None) -> None:
        """Tell the progress what will be done: models to train, then the `run` itself."""
        for fit in fits:
            size = min(fit.examples, self.batch_size)
            stage = Stage(TRAINING, fit.epochs, fit.examples // size, size, predicted=fit.predicted)
            self._planned.append(stage)
        kept = self.kept.count if fits else 0
        stages = [*self._first(kept), *self._planned[kept:], *([] if run is None else [run])]
        self._progress.plan(stages, in_words(self._planned, kept, run))

    def _first(self, kept: int) -> list[Stage]:  # noqa: ARG002
        """What comes before the models, of which `kept` are finished."""
        return []

    @contextmanager
    def stoppable(self) -> Iterator[None]:
        """Inside, a signal raises `StoppedInPreparation`, at the latest at the end."""
        try:
            yield
            self._stop_if_signalled()
        except KeyboardInterrupt as error:
            raise self._stopped() from error

    def _stop_if_signalled(self) -> None:
        if self._processes.any(self._signalled())[0]:
            raise KeyboardInterrupt

    def _stopped(self) -> StoppedInPreparation:
        kept = self.kept.count if "kept" in vars(self) else 0
        if self._folder is None:
            what = "nothing is kept without a run folder"
        elif not kept:
            what = "none of its trainings had finished"
        else:
            what = f"{kept} of {max(kept, len(self._planned))} short trainings are kept"
        return StoppedInPreparation(what, resumable=self._folder is not None)

    def say(self, what: str) -> None:
        self._progress.display.say(what)

    def fit(
        self,
        subsets: Sequence[Subset],
        *,
        epochs: int | None = None,
        seed: int = 0,
        what: str = "",
        offset: Tensor | None = None,
        noise: Tensor | None = None,
    ) -> Predict:
        self._stop_if_signalled()
        warmup = min(self._config.warmup_epochs, (epochs or 2) / 2)
        epochs = epochs or self.epochs
        name = digest(epochs, seed, offset, noise, *(v for s in subsets for v in vars(s).values()))
        predicted = self.kept.read(name)
        build = None if offset is None else self._corrected(subsets, offset, noise)

        @cache
        def model() -> nn.Module:
            self._measure()
            total = sum(len(subset.indices) for subset in subsets)
            size = min(total, self.batch_size)
            self._progress.begin(Stage(what or "a first model", epochs, total // size, size))
            options: dict[str, Any] = {"epochs": epochs, "warmup_epochs": warmup}
            return self._trained(subsets, seed, self._progress, build, **options)

        if not predicted:
            model()

        def predict(subset: Subset) -> Tensor:
            key = digest(*vars(subset).values())
            if key in predicted:
                return self._recalled(**predicted[key])
            p = self._predict(model(), subset)
            # Data sets with random transforms draw others on each process, but there is one set of labels.
            own = p if self._processes.is_first else torch.zeros_like(p)
            p = self._processes.sum(own).to(p.device)
            if self._folder is not None:
                states = self._processes.gather(random_state(self._processes.device))
                predicted[key] = {"probabilities": p, "random": states}
                self.kept.write(name, predicted)
            return p

        return predict

    def _recalled(self, probabilities: Tensor, random: Sequence[dict[str, Any]]) -> Tensor:
        """Kept probabilities; random numbers that a data set drew for them are drawn again."""
        if len(random) == self._processes.size:
            restore_random_state(random[self._processes.rank], self._processes.device)
        return probabilities

    def _trained(
        self,
        subsets: Sequence[Subset],
        seed: int,
        progress: Progress,
        build: Build | None,
        **options: Any,
    ) -> nn.Module:
        """A copy of the model, trained on this device, without checkpoints, by plain training."""
        model = copy.deepcopy(self._model)
        fit_seed = int(generator(self._config.seed, "preparation", "fit", seed).integers(2**31))
        fixed = {"method": "plain", "method_options": {}, "seed": fit_seed}
        config = self._config.model_copy(update={**fixed, **options})
        # Joining reads examples, and a data set with random transforms draws random numbers for them.
        with seeded(fit_seed, device_and_dtype(model)[0]):
            first, *others = map(self._examples, subsets)
            data = first.joined(*others) if others else first
        self._fit_plainly(config, model, data, build, progress)
        return model

    def _measure(self) -> None:
        """Take a few steps of the sizes that will be taken, to know how long they take."""
        count = trial_steps(self._planned)
        # Reading could change the state of a data set of the user's own.
        known = self._progress.tried or not isinstance(self._sets.train, Examples)
        if not known and count >= _SHORTEST_TRIAL:
            sizes = {stage.size: stage for stage in self._planned}.values()
            self._progress.learn({int(s.size): self.step_seconds(s, count) for s in sizes})

    def step_seconds(self, stage: Stage, count: int) -> float:
        """The seconds that a step of `stage` takes, in a trial of `count` steps that changes nothing."""
        from gdw.train.trial import Trial

        trial, size, at_once = Trial(), int(stage.size), min(stage.batches, count)
        some = Subset("given", torch.arange(at_once * size) % len(self.given))
        epochs, single = math.ceil(count / at_once), {"accumulate": 1, "warmup_epochs": 0}
        # With this rate it does not diverge.
        options: dict[str, Any] = {"epochs": epochs, "batch_size": size, "lr": 1e-9, **single}
        self._trained([some], 0, trial, None, **options)
        return trial.seconds

    def _corrected(self, subsets: Sequence[Subset], offset: Tensor, noise: Tensor | None) -> Build:
        doubtful = torch.cat([torch.full((len(s.indices),), s.part == "given") for s in subsets])

        def build(model: nn.Module, optimizer: Optimizer) -> Reweighter:
            return CorrectedPlain(
                model,
                optimizer,
                doubtful=doubtful,
                offset=offset,
                noise=noise,
                forward=self._forward,
            )

        return build

    def _predict(self, model: nn.Module, subset: Subset) -> Tensor:
        batches = predict_probabilities(
            model,
            self._examples(subset),
            batch_size=self._config.eval_batch_size,
            forward=self._forward,
        )
        predictions = []
        for _, probabilities in batches:
            self._stop_if_signalled()
            predictions.append(probabilities)
        return torch.cat(predictions)

    def _inputs(self, part: Literal["given", "clean"]) -> Any:
        """What the models see of that part."""
        dataset: Any = self._sets.train if part == "given" else self._sets.meta
        return dataset.inputs

    def _examples(self, subset: Subset) -> Examples:
        given = subset.part == "given"
        targets = self.given if given else self.clean
        assert targets is not None, "a method that asks for clean examples says so by needs_clean"
        # The targets may be on a device, but those of a subset are on the CPU.
        inputs = self._inputs(subset.part)
        selected = Examples(inputs, targets).select(subset.indices, "train" if given else "meta")
        return selected if subset.targets is None else Examples(selected.inputs, subset.targets)


def trial_steps(stages: Sequence[Stage]) -> int:
    """How many steps a trial takes, before those of `stages`; too few to measure if they are few."""
    return min(_LONGEST_TRIAL, int(sum(stage.steps for stage in stages) * _SHARE_OF_TRIAL))


def make_preparation(
    *, model: nn.Module, sets: DataSets, own_forward: bool, **parts: Any
) -> TrainerPreparation:
    """The preparation of a training; that of a network with a pretrained backbone may be on its features."""
    suits = parts["config"].prepare_on == "features" and not own_forward
    if suits and isinstance(sets.train, Examples):
        from gdw.models.finetuned import Finetuned

        if isinstance(model, Finetuned):
            from gdw.train.on_features import FeaturePreparation

            return FeaturePreparation(model=model, sets=sets, **parts)
    return TrainerPreparation(model=model, sets=sets, **parts)
