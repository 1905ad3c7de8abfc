"""One training run: prepare the data, train, and fill the run folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gdw.audit.evidence import EVIDENCE
from gdw.errors import RunError
from gdw.files.documents import OutputLock
from gdw.files.representation import ShortRepr
from gdw.runs.config import RunConfig
from gdw.runs.network import (
    backbone_for,
    build_network,
    network_files,
    network_name,
    recommended_options,
    require_possible,
    require_possible_early,
    with_whole_path,
)
from gdw.runs.prepare import prepare, read
from gdw.runs.prepared_data import FINGERPRINT, PreparedData, Sources, save_fingerprint, with_rows
from gdw.runs.run import ENCODER, Run
from gdw.runs.schema import SCHEMA
from gdw.runs.skipped_images import write_skipped
from gdw.train.run_folder import CONFIG, RunFolder, lock_run, make_folder, require_no_link

if TYPE_CHECKING:
    from torch import nn

    from gdw.train.monitoring import Callback
    from gdw.train.output import FitResult
    from gdw.train.trainer import Trainer


class Training(ShortRepr):
    """A training run. `prepare` reads and checks the data, `fit` trains and fills the run folder.

    Args:
        config: the options of data, model and training.
        output: the run folder: a new one, or with `resume` the one to continue.
        resume: continue an interrupted run.
        choose: choose what the data need for the options that were not given: the backbone "auto", epochs,
            learning rate and others, as `gdw train` does. Default: those options keep their defaults, and
            "auto" is no backbone.

    Attributes:
        config: the options. `prepare` replaces what is chosen by the choice.
        chosen: the names of the options of training that were chosen.
        note: one line on the backbone that was chosen, or would be better; empty for none.
    """

    def __init__(
        self, config: RunConfig, output: str | Path, *, resume: bool = False, choose: bool = False
    ) -> None:
        self.config = config
        self.output = Path(output)
        self.chosen: tuple[str, ...] = ()
        self.note = ""
        self._resume = resume
        self._choose = choose and not resume
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
            self._continue()
            self._claim()
            require_possible_early(self.config)
            self._sources = self._read()

    def _read(self) -> Sources:
        """The rows, by which the backbone is chosen."""
        sources = read(self.config.data, seed=self.config.training.seed)
        name, self.note = backbone_for(self.config, sources.train, choose=self._choose)
        self._set(self.config.with_options(model={"backbone": name}))
        return sources

    def prepare(self) -> PreparedData:
        """Start the other processes, if any, and read and check the data.

        Until `fit` ends, no other process can write to the output. After an error here it is as before.

        Raises:
            RunError: another process writes the output, or it holds a run already; or, to resume, holds none,
                or one with other options or other data.
            DataError, ConfigError, OutputError: the data cannot be trained on, or the output not written.
        """
        self._continue()
        self.trainer.launch()
        with self._released_on_error():
            self.trainer.processes.on_first(self._claim)
            return self._prepared()

    def _prepared(self) -> PreparedData:
        on_first = self.trainer.processes.on_first
        require_possible(self.config)
        sources = self._sources or self._read()
        data, model, training = self.config.data, self.config.model, self.config.training
        seed, progress = training.seed, training.progress
        prepared = prepare(data, seed=seed, sources=sources, model=model, progress=progress)
        if self._resume:
            from gdw.runs.resuming import require_same_data

            on_first(lambda: require_same_data(prepared, self.output / ENCODER, data.meta))
        elif self._choose:
            best = recommended_options(self.config, prepared)
            self.chosen = tuple(best["training"])
            self._set(self.config.with_options(**best))
        return prepared

    def _continue(self) -> None:
        """Take from the run that is resumed what was chosen for its data; a folder gets its whole path."""
        self._set(with_whole_path(self.config))
        if self._resume and self.config.leaves_choices:
            self._set(self.config.continuing(Run(self.output, resume=True).config))

    def _set(self, config: RunConfig) -> None:
        self.config = config
        if "trainer" in vars(self):
            self.trainer.config = config.training

    def model_name(self, prepared: PreparedData) -> str:
        """The full name of the network; "auto" is replaced by the choice for the data."""
        return network_name(self.config.model, prepared)

    def build_model(self, prepared: PreparedData) -> nn.Module:
        """Build the network for the data, initialised from the seed of the run."""
        with self._released_on_error():
            return build_network(self.config.model, prepared, seed=self.config.training.seed)

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
            prepared: the data, from `prepare`. For a method that needs a clean set, examples whose labels
                look right are added to classes with few clean ones, see `PreparedData.lacking`.
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
                evidence = with_rows(recorder.evidence(), prepared, self.config.data)
                self.trainer.processes.on_first(lambda: evidence.save(self.output / EVIDENCE))
        finally:
            self._release()
        return result

    def needs_choice(self, prepared: PreparedData) -> bool:
        """Whether nobody has named a clean set, or enough of a class, so that `fit` chooses some."""
        return bool(prepared.lacking(self.config).any())

    def _with_chosen(self, prepared: PreparedData, model: nn.Module) -> PreparedData:
        from gdw.runs.chosen import with_chosen

        saved, make = self.output if self._resume else None, partial(self._folder, prepared)
        most = prepared.lacking(self.config)
        return with_chosen(prepared, self.trainer, model, make, most=most, saved=saved)

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
        from gdw.runs.resuming import require_places

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
            FINGERPRINT: lambda folder: save_fingerprint(prepared, folder),
        }
        parts |= network_files(self.config.model, prepared)
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
