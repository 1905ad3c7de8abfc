"""One training run: prepare, train, leave behind a folder that can be evaluated, used and resumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from gdw.models.build import build_model, choose_model
from gdw.reweight import METHODS
from gdw.runs.config import RunConfig
from gdw.runs.prepare import Prepared, prepare
from gdw.train.config import TrainConfig
from gdw.train.result import FitResult
from gdw.train.run import RunFolder
from gdw.train.trainer import Trainer

ENCODER = "encoder"


class Training:
    """A run about to happen: `prepare` finds every mistake, `fit` trains.

    Args:
        config: data, model and training options.
        output: the run folder; new, or with `resume` the one to continue.
        resume: continue.
    """

    def __init__(self, config: RunConfig, output: str | Path, *, resume: bool = False) -> None:
        self.config = config
        self.output = Path(output)
        self._resume = resume
        self.trainer = Trainer(config=config.training)

    @classmethod
    def resume(cls, output: str | Path, training: Mapping[str, Any]) -> Training:
        """The interrupted run in `output`, with the options it was started with.

        `training` holds options to change; those that would make it another run are refused later.
        Raises `RunError` when there is none, or it is of a newer version or damaged.
        """
        run = RunFolder.open(output)
        config = RunConfig.from_run(run.config, run.file("config.yaml"))
        config.training = TrainConfig(**{**config.training.plain(), **training})
        return cls(config, output, resume=True)

    @property
    def is_first_process(self) -> bool:
        """Whether this process is the one that speaks and writes."""
        return self.trainer.processes.is_first

    def prepare(self) -> Prepared:
        """Start the other processes, if any, and read and check the data; nothing is written.

        Raises `RunError` when the output already holds a run, `DataError` or `ConfigError` for data
        that cannot be trained on.
        """
        self.trainer.launch()
        if not self._resume:
            self.trainer.processes.on_first(lambda: RunFolder.require_free(self.output))
        training = self.config.training
        needs_meta = METHODS[training.method].needs_meta
        return prepare(self.config.data, seed=training.seed, needs_meta=needs_meta)

    def model_name(self, prepared: Prepared) -> str:
        """The network's name, with "auto" resolved for the data."""
        name = self.config.model.name
        if name != "auto":
            return name
        return choose_model(prepared.schema.kind, prepared.encoder.input_shape)

    def build_model(self, prepared: Prepared) -> nn.Module:
        """The network for the prepared data, drawn from the run's seed."""
        model = self.config.model
        return build_model(
            self.model_name(prepared),
            input_shape=prepared.encoder.input_shape,
            num_classes=len(prepared.schema.label_names),
            mean_std=prepared.encoder.mean_std,
            pretrained=model.pretrained,
            weights=model.weights,
            seed=self.config.training.seed,
        )

    def fit(
        self, prepared: Prepared, model: nn.Module, *, stop_after: int | None = None
    ) -> FitResult:
        """Train `model` and fill the run folder. Errors as of `gdw.Trainer.fit`."""
        output: Path | Callable[[], RunFolder] = self.output
        if not self._resume:
            output = lambda: self._create(prepared)  # noqa: E731
        return self.trainer.fit(
            model,
            prepared.train,
            prepared.meta,
            test=prepared.test,
            output=output,
            resume=self._resume,
            stop_after=stop_after,
        )

    def _create(self, prepared: Prepared) -> RunFolder:
        run = RunFolder.create(self.output, self.config.plain())
        folder = run.file(ENCODER)
        folder.mkdir()
        prepared.encoder.save(folder)
        prepared.schema.save(folder)
        return run
