"""One training run: prepare, train, leave behind a folder that can be evaluated, used and resumed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from gdw.audit.evidence import EVIDENCE, Evidence
from gdw.audit.recorder import Recorder
from gdw.data.encode.encoder import SETTINGS
from gdw.errors import ConfigError, RunError
from gdw.models.build import build_model, choose_model
from gdw.reweight import METHODS
from gdw.runs.config import RunConfig
from gdw.runs.fingerprint import FINGERPRINT, require_same_data, save_fingerprint
from gdw.runs.prepare import Prepared, prepare
from gdw.runs.schema import SCHEMA
from gdw.train.callback import Callback
from gdw.train.result import FitResult
from gdw.train.run_folder import CONFIG, RunFolder
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
    def resume(
        cls, output: str | Path, sections: Mapping[str, Mapping[str, Any]] | None = None
    ) -> Training:
        """The interrupted run in `output`, with the options it was started with.

        `sections` (`data`, `model`, `training`) holds options to change; those that would make it
        another run are refused by `prepare`. Raises `RunError` when there is none, or it is of a newer
        version or damaged.
        """
        return cls(_written(output).replaced(sections or {}), output, resume=True)

    @property
    def is_first_process(self) -> bool:
        """Whether this process is the one that speaks and writes."""
        return self.trainer.processes.is_first

    def prepare(self) -> Prepared:
        """Start the other processes, if any, and read and check the data; nothing is written.

        Raises `RunError` when the output already holds a run or, to resume, none or one of other options
        or other data; `DataError` or `ConfigError` for data that cannot be trained on.
        """
        self.trainer.launch()
        on_first = self.trainer.processes.on_first
        on_first(self._require_same_options if self._resume else self._require_free)
        training = self.config.training
        method = METHODS[training.method]
        method.check_installed()
        if method.takes_clean(training.method_options) and self.config.data.add_clean:
            raise ConfigError(
                f"method {training.method!r} trains on the clean examples anyway: leave add_clean "
                "(--add-clean) out, or they count twice"
            )
        prepared = prepare(self.config.data, seed=training.seed, needs_clean=method.needs_clean)
        if self._resume:
            on_first(lambda: require_same_data(prepared.fingerprint, self.output / ENCODER))
        return prepared

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
        self,
        prepared: Prepared,
        model: nn.Module,
        *,
        stop_after: int | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> FitResult:
        """Train `model` and fill the run folder; a complete run leaves the evidence for an audit.

        Errors as of `gdw.Trainer.fit`.
        """
        recorder = Recorder(len(prepared.source))
        result = self.trainer.fit(
            model,
            prepared.train,
            prepared.meta,
            test=prepared.test,
            output=lambda: self._folder(prepared),
            resume=self._resume,
            stop_after=stop_after,
            callbacks=[recorder, *callbacks],
        )
        if result.epochs_done == self.config.training.epochs:
            evidence = self._complete(recorder.evidence(), prepared)
            self.trainer.processes.on_first(lambda: evidence.save(self.output / EVIDENCE))
        return result

    def _complete(self, evidence: Evidence, prepared: Prepared) -> Evidence:
        """With what only the data know: rows, and the labels of the clean examples."""
        clean, data = prepared.clean, self.config.data
        rows = prepared.source.row_numbers
        if clean is None:
            return replace(evidence, rows=rows)
        given = None
        # Where labels were spoiled those of the clean rows were not, and another file has none of them.
        if data.meta is None and data.meta_label is not None and data.noise is None:
            column = clean.rows.resolve_label(data.label)
            given = clean.codes(column, clean.label_names, names_declared=clean.names_declared)
        return replace(evidence, rows=rows, clean_true=clean.labels, clean_given=given)

    def _require_free(self) -> None:
        RunFolder.require_free(self.output)

    def _require_same_options(self) -> None:
        written = _written(self.output)
        _require_places(written, self.output / CONFIG)
        conflicts = self.config.conflicts(written)
        if conflicts:
            raise RunError(
                f"{self.output} cannot be resumed with other settings: {', '.join(conflicts)}; "
                "use those of the run, or choose another output folder"
            )

    def _folder(self, prepared: Prepared) -> RunFolder:
        """The run folder with all that is needed to use its model, made or completed."""
        parts: dict[str, Callable[[Path], None]] = {
            SETTINGS: prepared.encoder.save,
            SCHEMA: prepared.schema.save,
            FINGERPRINT: lambda folder: save_fingerprint(prepared.fingerprint, folder),
        }

        def fill(run: RunFolder) -> None:
            folder = run.file(ENCODER)
            folder.mkdir(exist_ok=True)
            for name, save in parts.items():
                # What a run has is what its model was trained with; a new one overwrites leftovers.
                if not (self._resume and (folder / name).is_file()):
                    save(folder)

        if not self._resume:
            return RunFolder.create(self.output, self.config.plain(), fill=fill)
        run = RunFolder.open(self.output, resume=True)
        fill(run)
        return run


def _written(output: str | Path) -> RunConfig:
    """The options in the run folder `output`."""
    run = RunFolder.open(output, resume=True)
    return RunConfig.from_run(run.config, run.file(CONFIG))


def _require_places(config: RunConfig, where: Path) -> None:
    """Relative paths of the run `config` in `where` lead from here to where they led then."""
    for options in (config.data, config.model):
        for name in sorted(options.paths):
            place = getattr(options, name)
            if place is not None and not Path(place).is_absolute() and not Path(place).exists():
                raise RunError(
                    f"there is no {place!r} in {Path.cwd()}: {where} names it ({name}) relative to the "
                    "folder where the run was started; resume it from that folder"
                )
