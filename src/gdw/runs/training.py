"""One training run: prepare the data, train, and fill the run folder."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdw.audit.evidence import EVIDENCE, Evidence
from gdw.errors import ConfigError, RunError
from gdw.files.documents import OutputLock
from gdw.files.representation import ShortRepr
from gdw.reweight.registry import METHODS
from gdw.runs.config import RunConfig
from gdw.runs.prepare import FINGERPRINT, prepare, read, save_fingerprint
from gdw.runs.prepared_data import PreparedData, Sources
from gdw.runs.resuming import require_places, require_same_data
from gdw.runs.run import ENCODER, Run
from gdw.runs.schema import SCHEMA
from gdw.runs.skipped_images import write_skipped
from gdw.train.run_folder import CONFIG, RunFolder, lock_run, make_folder, require_no_link

if TYPE_CHECKING:
    from torch import nn

    from gdw.train.monitoring import Callback
    from gdw.train.output import FitResult
    from gdw.train.trainer import Trainer


_OWN_MODEL = re.compile(r"auto|mlp(:.*)?|wrn-?\d+-\d+|(cifar-)?resnet-?\d+")


class Training(ShortRepr):
    """A training run. `prepare` reads and checks the data, `fit` trains and fills the run folder.

    Args:
        config: the options of data, model and training.
        output: the run folder: a new one, or with `resume` the one to continue.
        resume: continue an interrupted run.
    """

    def __init__(self, config: RunConfig, output: str | Path, *, resume: bool = False) -> None:
        self.config = config
        self.output = Path(output)
        self._resume = resume
        self._lock: OutputLock | None = None
        self._sources: Sources | None = None
        self._made = False

    def _shown(self) -> dict[str, Any]:
        return {"output": str(self.output), "config": self.config}

    @cached_property
    def trainer(self) -> Trainer:
        """The trainer, which needs PyTorch."""
        from gdw.train.trainer import Trainer

        return Trainer(config=self.config.training)

    @classmethod
    def resume(
        cls, output: str | Path, sections: Mapping[str, Mapping[str, Any]] | None = None
    ) -> Training:
        """Continue the interrupted run in `output` with the options it was started with.

        Args:
            output: the run folder.
            sections: options to change, under `data`, `model` and `training`. `prepare` refuses those that
                would change the result of the run.

        Raises:
            RunError: there is no run, or it is damaged or was written by a newer version of gdw.
        """
        return cls(Run(output, resume=True).config.replaced(sections or {}), output, resume=True)

    @property
    def is_first_process(self) -> bool:
        """Whether this is the process that prints and writes."""
        return self.trainer.processes.is_first

    def read(self) -> None:
        """Read the data before `prepare` imports PyTorch, which takes seconds, if one process trains.

        Raises: as `prepare`.
        """
        training = self.config.training
        if training.devices * training.nodes > 1 or "WORLD_SIZE" in os.environ:
            return
        with self._released_on_error():
            self._claim()
            if not self._is_surely_possible():
                self._require_possible()
            self._sources = read(self.config.data, seed=training.seed)

    def _is_surely_possible(self) -> bool:
        """Whether no error of `_require_possible` could come after a long time of reading."""
        model = self.config.model
        own = _OWN_MODEL.fullmatch(model.name) is not None and not model.pretrained
        needs_package = self.config.training.method == "cleanlab"
        return own and not needs_package and not self.config.data.add_clean

    def prepare(self) -> PreparedData:
        """Start the other processes, if any, and read and check the data.

        Until `fit` ends, no other process can write to the output. After an error here it is as before.

        Raises:
            RunError: another process writes the output, or it holds a run already; or, to resume, holds none,
                or one with other options or other data.
            DataError, ConfigError, OutputError: the data cannot be trained on, or the output not written.
        """
        self.trainer.launch()
        with self._released_on_error():
            self.trainer.processes.on_first(self._claim)
            return self._prepared()

    def _prepared(self) -> PreparedData:
        on_first = self.trainer.processes.on_first
        training = self.config.training
        self._require_possible()
        prepared = prepare(self.config.data, seed=training.seed, sources=self._sources)
        if self._resume:
            on_first(lambda: require_same_data(prepared.fingerprint, self.output / ENCODER))
        return prepared

    def _require_possible(self) -> None:
        """Check the method and the model, which needs PyTorch."""
        from gdw.models.build import require_buildable

        training = self.config.training
        method = METHODS[training.method]
        method.check_installed()
        require_buildable(self.config.model.name, pretrained=self.config.model.pretrained)
        if method.takes_clean(training.method_options) and self.config.data.add_clean:
            raise ConfigError(
                f"method {training.method!r} trains on the clean examples already and add_clean would count "
                "them twice: leave add_clean (--add-clean) out"
            )

    def model_name(self, prepared: PreparedData) -> str:
        """The full name of the network; "auto" is replaced by the choice for the data."""
        from gdw.models.build import full_name

        return full_name(self.config.model.name, prepared.schema.kind, prepared.encoder.input_shape)

    def build_model(self, prepared: PreparedData) -> nn.Module:
        """Build the network for the data, initialised from the seed of the run."""
        from gdw.models.build import build_model

        model = self.config.model
        with self._released_on_error():
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
        prepared: PreparedData,
        model: nn.Module,
        *,
        stop_after: int | None = None,
        callbacks: Sequence[Callback] = (),
    ) -> FitResult:
        """Train `model` and fill the run folder. A finished run also writes the evidence for an audit.

        Args:
            prepared: the data, from `prepare`. Without a clean set for a method that needs one, examples
                whose labels look right stand in, see `gdw.train.chosen_clean`.
            model: the network, trained in place.
            stop_after: stop when so many epochs are done, as in `gdw.Trainer.fit`.
            callbacks: see `gdw.train.Callback`.

        Raises:
            GDWError: as `gdw.Trainer.fit`.
        """
        from gdw.audit.recorder import Recorder

        recorder = Recorder(len(prepared.source))
        try:
            with self.trainer.shown():  # one display for all trainings
                if self.needs_choice(prepared):
                    prepared = self._with_chosen(prepared, model)
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
                evidence = self._with_rows(recorder.evidence(), prepared)
                self.trainer.processes.on_first(lambda: evidence.save(self.output / EVIDENCE))
        finally:
            self._release()
        return result

    def needs_choice(self, prepared: PreparedData) -> bool:
        """Whether the method needs a clean set and nobody has named one, so that `fit` chooses one."""
        return prepared.meta is None and METHODS[self.config.training.method].needs_clean

    def _with_chosen(self, prepared: PreparedData, model: nn.Module) -> PreparedData:
        from gdw.runs.chosen import with_chosen

        saved = self.output / ENCODER if self._resume else None
        return with_chosen(
            prepared, self.trainer, model, lambda: self._folder(prepared), saved=saved
        )

    def _with_rows(self, evidence: Evidence, prepared: PreparedData) -> Evidence:
        """Add the rows of the examples, and the labels of the clean examples if they are verified."""
        clean, data = prepared.clean, self.config.data
        rows = prepared.source.row_numbers
        if clean is None or not data.verified:
            return replace(evidence, rows=rows, clean_check=None, clean_agreement=None)
        given = None
        # Unverified labels of clean rows are known if both are columns of one file that noise did not change.
        if data.meta is None and data.meta_label is not None and data.noise is None:
            column = clean.rows.resolve_label(data.label)
            given = clean.codes(column, clean.label_names, names_declared=clean.names_declared)
        return replace(evidence, rows=rows, clean_true=clean.labels, clean_given=given)

    def _claim(self) -> None:
        """Lock the output; a second call does nothing."""
        if self._lock is None:
            self._lock = lock_run(self.output, resume=self._resume)
            if self._resume:
                self._require_same_options()

    @contextmanager
    def _released_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._release()
            raise

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _require_same_options(self) -> None:
        written = Run(self.output, resume=True).config
        require_places(written, self.output / CONFIG)
        conflicts = self.config.conflicts(written)
        if conflicts:
            raise RunError(
                f"{self.output} cannot be resumed with other settings: {', '.join(conflicts)}; "
                "use those of the run, or choose another output folder"
            )

    def _folder(self, prepared: PreparedData) -> RunFolder:
        """Create the run folder with the files that its model needs, or complete it to resume."""
        from gdw.data.encode.encoder import SETTINGS

        parts: dict[str, Callable[[Path], None]] = {
            SETTINGS: prepared.encoder.save,
            SCHEMA: prepared.schema.save,
            FINGERPRINT: lambda folder: save_fingerprint(prepared.fingerprint, folder),
        }
        chosen = prepared.chosen
        if chosen is not None:
            from gdw.runs.chosen import CHOSEN, save_chosen

            parts[CHOSEN] = lambda folder: save_chosen(chosen, folder)

        def fill(run: RunFolder) -> None:
            folder = run.file(ENCODER)
            require_no_link(folder)
            make_folder(folder)
            for name, save in parts.items():
                # A resumed run keeps the files its model was trained with; a new one replaces leftovers.
                if not (exists and (folder / name).is_file()):
                    save(folder)
            if any(part.skipped for part in prepared.parts):
                write_skipped(prepared.parts, run.path)

        self._claim()
        exists, self._made = self._resume or self._made, True
        if not exists:
            return RunFolder.create(self.output, self.config.plain(), fill=fill)
        run = RunFolder.open(self.output, resume=True)
        fill(run)
        return run
