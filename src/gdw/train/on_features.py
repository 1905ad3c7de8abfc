"""A preparation whose models are classifiers on the features of the network that the run fine-tunes."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Literal, cast

import torch
from torch import Tensor

from gdw.hypergradient.inputs import default_forward
from gdw.models.finetuned import Finetuned
from gdw.reweight.preparation import PlannedFit
from gdw.train.config import TrainConfig
from gdw.train.evaluation import device_and_dtype, evaluation_mode
from gdw.train.feed import DataSets, batches, consecutive, place
from gdw.train.output import KeptFits
from gdw.train.preparing import TrainerPreparation, trial_steps
from gdw.train.progress import FORWARD, Stage, StepTimes
from gdw.train.recommended import recommended

# What a step of a linear classifier takes, in seconds, until it is measured: little beside the network.
_STEP = 0.002


class FeaturePreparation(TrainerPreparation):
    """Computes the features of the untrained backbone once, and trains linear classifiers on them.

    To fine-tune a copy of the network for each model would take several times as long as the run.

    Args:
        model: the untrained network.
        sets, config: of the run.
        parts: the other arguments of `TrainerPreparation`.
    """

    def __init__(
        self, *, model: Finetuned, sets: DataSets, config: TrainConfig, **parts: Any
    ) -> None:
        self._network = TrainerPreparation(model=model, sets=sets, config=config, **parts)
        self._finetuned = model
        self._run: Stage | None = None
        suited = _suited(config, len(cast(Any, sets.train)), model.head.in_features)
        head = copy.deepcopy(model.head)
        super().__init__(
            model=head, sets=sets, config=suited, **{**parts, "forward": default_forward}
        )
        self._parts = [cast(Any, part) for part in (sets.train, sets.meta) if part is not None]
        size = config.eval_batch_size
        self._stage = Stage(
            f"features of {sum(map(len, self._parts)):,} examples, for the short trainings",
            epochs=1,
            batches=sum(math.ceil(len(part) / size) for part in self._parts),
            size=size,
        )

    @property
    def num_classes(self) -> int:
        return self._finetuned.head.out_features

    @cached_property
    def kept(self) -> KeptFits:
        # The features follow from the network and its inputs; they need not be computed to know them.
        return self._network.kept

    def plan(self, fits: Sequence[PlannedFit], run: Stage | None) -> None:
        self._run = run
        super().plan(fits, run)

    def _first(self, kept: int) -> list[Stage]:
        return [self._stage] if kept < len(self._planned) else []

    def _measure(self) -> None:
        # Beside the network the classifiers take no time that counts.
        if self._run is not None and self._run.times is None:
            self._time_network(self._run)
        if not self._progress.tried:
            self._progress.learn({self.batch_size: _STEP})
        _ = self._features  # before a stage of classifiers begins

    def _time_network(self, run: Stage) -> None:
        if (count := trial_steps([run])) > 1:
            seconds = self._network.step_seconds(run, count)
            run.times = StepTimes.fitted({int(run.size): seconds})
            self._stage.times = StepTimes(0.0, run.times.per_example * FORWARD)

    def _inputs(self, part: Literal["given", "clean"]) -> Tensor:
        return self._features[0 if part == "given" else 1]

    @cached_property
    def _features(self) -> list[Tensor]:
        """`(N, F)` float32 of the training set, and of the clean examples; standardised as the former are."""
        self._progress.begin(self._stage)
        done, found = 0, []
        with evaluation_mode(self._finetuned), torch.no_grad(), self._processes.autocast():
            device, dtype = device_and_dtype(self._finetuned)
            for part in self._parts:
                some, rows = [], consecutive(len(part), int(self._stage.size))
                for batch in batches(part, rows):
                    self._stop_if_signalled()
                    inputs, _ = place(batch, device=device, dtype=dtype)
                    some.append(self._finetuned.backbone(inputs).float().cpu())
                    done += 1
                    self._progress.batch(done)
                found.append(torch.cat(some))
        scale, mean = torch.std_mean(found[0], dim=0, correction=0)
        return [features.sub_(mean).div_(scale.clamp(min=1e-6)) for features in found]


def _suited(config: TrainConfig, examples: int, width: int) -> TrainConfig:
    """The options of a training on features, for a run with the options `config`."""
    best = recommended("features", examples=examples, width=width)
    none = {"accumulate": 1, "warmup_epochs": 0.0, "clip_grad_norm": None, "augment": "none"}
    return config.model_copy(update={**best, **none, "schedule": "cosine"})
